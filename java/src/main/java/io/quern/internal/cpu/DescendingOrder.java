package io.quern.internal.cpu;

import java.util.Arrays;

/**
 * Orders values by (value descending, index ascending), NaN below −∞ (rule 8): a stable sort by
 * digits. Zeros of both signs are equal. An object is a worker's scratch.
 */
final class DescendingOrder {
  private static final int DIGITS = 4;
  private static final int DIGIT_BITS = 8;
  private static final int DIGIT_VALUES = 1 << DIGIT_BITS;

  private final int[] starts = new int[DIGIT_VALUES];
  private int[] keys = {};
  private int[] order = {};
  private int[] spare = {};

  /** Makes room for so many values. */
  void reserve(int values) {
    if (keys.length < values) {
      keys = new int[values];
      order = new int[values];
      spare = new int[values];
    }
  }

  /**
   * The indices, from 0, of {@code n} values from {@code at} on, in order. Valid until the next
   * call.
   */
  int[] of(float[] values, int at, int n) {
    for (int i = 0; i < n; i++) {
      float value = values[at + i];
      int bits = Float.floatToRawIntBits(value + 0.0f);
      // The greatest float is the least unsigned number.
      keys[i] = Float.isNaN(value) ? -1 : bits < 0 ? bits : ~bits ^ Integer.MIN_VALUE;
      order[i] = i;
    }
    int[] from = order;
    int[] to = spare;
    for (int digit = 0; digit < DIGITS; digit++) {
      int shift = digit * DIGIT_BITS;
      Arrays.fill(starts, 0);
      for (int i = 0; i < n; i++) {
        starts[keys[i] >>> shift & DIGIT_VALUES - 1]++;
      }
      int sum = 0;
      for (int value = 0; value < DIGIT_VALUES; value++) {
        int count = starts[value];
        starts[value] = sum;
        sum += count;
      }
      for (int i = 0; i < n; i++) {
        to[starts[keys[from[i]] >>> shift & DIGIT_VALUES - 1]++] = from[i];
      }
      int[] swap = from;
      from = to;
      to = swap;
    }
    return from; // after an even number of digits where it began
  }
}
