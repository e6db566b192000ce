package io.quern.internal.simd;

import java.util.Arrays;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorMask;
import jdk.incubator.vector.VectorOperators;

/**
 * The first k elements of a row in the order (value descending, index ascending), NaN below −∞. A
 * worker's scratch: {@link #begin}, {@link #offer} pieces of the row in order, {@link #end}, and
 * {@link #index} has the answer.
 *
 * <p>A few are kept as a sorted list, whose last value nearly all others fail to pass: a comparison
 * of vectors. More are found among integers in the order of the values: the digit at which the
 * count reaches k cuts most of them off, and the rest is sorted digit by digit.
 */
final class RowRank {
  /** The longest list: an insertion moves half of it. */
  private static final int LIST = 64;

  private static final int LANES = Species.LANES;
  private static final int GROUP = 4 * LANES;

  /** Digits of the sort: 11, 11 and 10 bits. */
  private static final int DIGIT_BITS = 11;

  private static final int DIGITS = 1 << DIGIT_BITS;
  private static final int PASSES = 3;
  private static final int TOP_SHIFT = Integer.SIZE - DIGIT_BITS;

  private final float[] listed = new float[LIST];
  private final int[] counts = new int[PASSES * DIGITS];
  private int[] indices = new int[LIST];
  private int[] keys = new int[0];
  private int[] otherKeys = new int[0];
  private int[] otherIndices = new int[0];
  private int k;
  private int n;
  private int count;
  private boolean list;

  /** One for each worker. */
  static RowRank[] ofEach(int workers) {
    RowRank[] ranks = new RowRank[workers];
    Arrays.setAll(ranks, i -> new RowRank());
    return ranks;
  }

  /** Begins a row of {@code n} elements, of which {@code k ≤ n} are wanted. */
  void begin(int k, int n) {
    this.k = k;
    this.n = n;
    count = 0;
    list = k <= LIST;
    if (!list && keys.length < n) {
      indices = new int[n];
      keys = new int[n];
      otherKeys = new int[n];
      otherIndices = new int[n];
    }
  }

  /** Takes the next elements of the row, the first of which has index {@code first}. */
  void offer(float[] x, int at, int length, int first) {
    if (list) {
      if (k > 0) {
        offerToList(x, at, length, first);
      }
    } else {
      toKeys(x, at, length, keys, first);
    }
  }

  /** Ends the row. */
  void end() {
    if (!list) {
      sort();
    }
  }

  /** The index of the element of a rank below k. */
  int index(int rank) {
    return indices[rank];
  }

  private void offerToList(float[] x, int at, int length, int first) {
    int i = 0;
    while (i < length && isOpen()) {
      insert(x[at + i], first + i);
      i++;
    }
    for (; i <= length - GROUP; i += GROUP) {
      if (anyAbove(x, at + i, listed[k - 1])) {
        for (int j = i; j < i + GROUP; j += LANES) {
          long above = above(x, at + j, listed[k - 1]);
          while (above != 0) {
            int lane = Long.numberOfTrailingZeros(above);
            insert(x[at + j + lane], first + j + lane);
            above &= above - 1;
          }
        }
      }
    }
    for (; i < length; i++) {
      insert(x[at + i], first + i);
    }
  }

  /** Whether any element may enter, whatever it is. */
  private boolean isOpen() {
    return count < k || Float.isNaN(listed[k - 1]);
  }

  private static boolean anyAbove(float[] x, int at, float least) {
    VectorMask<Float> a =
        FloatVector.fromArray(Species.FLOAT, x, at).compare(VectorOperators.GT, least);
    VectorMask<Float> b =
        FloatVector.fromArray(Species.FLOAT, x, at + LANES).compare(VectorOperators.GT, least);
    VectorMask<Float> c =
        FloatVector.fromArray(Species.FLOAT, x, at + 2 * LANES).compare(VectorOperators.GT, least);
    VectorMask<Float> d =
        FloatVector.fromArray(Species.FLOAT, x, at + 3 * LANES).compare(VectorOperators.GT, least);
    return a.or(b).or(c.or(d)).anyTrue();
  }

  private static long above(float[] x, int at, float least) {
    return FloatVector.fromArray(Species.FLOAT, x, at).compare(VectorOperators.GT, least).toLong();
  }

  /** Puts an element into the list if it goes before the last; equal ones came earlier. */
  private void insert(float value, int index) {
    int place;
    if (count < k) {
      place = count++;
    } else if (isBefore(value, listed[k - 1])) {
      place = k - 1;
    } else {
      return;
    }
    while (place > 0 && isBefore(value, listed[place - 1])) {
      listed[place] = listed[place - 1];
      indices[place] = indices[place - 1];
      place--;
    }
    listed[place] = value;
    indices[place] = index;
  }

  private static boolean isBefore(float a, float b) {
    return a > b || (Float.isNaN(b) && !Float.isNaN(a));
  }

  /** Integers whose unsigned order, ascending, is that of the values. */
  private static void toKeys(float[] x, int at, int length, int[] keys, int first) {
    for (int i = 0; i < length; i++) {
      float value = x[at + i];
      int bits = Float.floatToRawIntBits(value + 0.0f); // −0 becomes +0
      int ordered = bits ^ (~(bits >> 31) & 0x7fffffff);
      keys[first + i] = Float.isNaN(value) ? -1 : ordered;
    }
  }

  private void sort() {
    int m = cut();
    Arrays.fill(counts, 0);
    for (int i = 0; i < m; i++) {
      int key = keys[i];
      counts[key & (DIGITS - 1)]++;
      counts[DIGITS + (key >>> DIGIT_BITS & (DIGITS - 1))]++;
      counts[2 * DIGITS + (key >>> 2 * DIGIT_BITS)]++;
    }
    for (int pass = 0; pass < PASSES; pass++) {
      int base = pass * DIGITS;
      int shift = pass * DIGIT_BITS;
      if (counts[base + (keys[0] >>> shift & (DIGITS - 1))] == m) {
        continue; // all have the same digit
      }
      int place = 0;
      for (int digit = base; digit < base + DIGITS; digit++) {
        int here = counts[digit];
        counts[digit] = place;
        place += here;
      }
      for (int i = 0; i < m; i++) {
        int key = keys[i];
        int to = counts[base + (key >>> shift & (DIGITS - 1))]++;
        otherKeys[to] = key;
        otherIndices[to] = indices[i];
      }
      int[] swap = keys;
      keys = otherKeys;
      otherKeys = swap;
      swap = indices;
      indices = otherIndices;
      otherIndices = swap;
    }
  }

  /** Keeps what has the digits of the first k or lower ones, in order; how many that is. */
  private int cut() {
    if (k == n) {
      for (int i = 0; i < n; i++) {
        indices[i] = i;
      }
      return n;
    }
    Arrays.fill(counts, 0, DIGITS, 0);
    for (int i = 0; i < n; i++) {
      counts[keys[i] >>> TOP_SHIFT]++;
    }
    int digit = 0;
    int upto = counts[0];
    while (upto < k) {
      upto += counts[++digit];
    }
    int kept = 0;
    for (int i = 0; i < n; i++) {
      int key = keys[i];
      keys[kept] = key;
      indices[kept] = i;
      kept += key >>> TOP_SHIFT <= digit ? 1 : 0;
    }
    return kept;
  }
}
