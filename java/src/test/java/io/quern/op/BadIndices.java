package io.quern.op;

import io.quern.DType;
import java.util.SplittableRandom;

/** Spoils indices of a case here and there. */
final class BadIndices {
  /** One index in so many is replaced by −1, and one by a bad one. */
  private static final int ONE_IN = 8;

  private BadIndices() {}

  /** Puts −1 and ids outside [0, vocab) among ids. */
  static void amongIds(long[] ids, long vocab, DType dtype, SplittableRandom random) {
    for (int i = 0; i < ids.length; i++) {
      switch (random.nextInt(ONE_IN)) {
        case 0 -> ids[i] = -1;
        case 1 -> ids[i] = outside(vocab, dtype, random);
        default -> {}
      }
    }
  }

  /** Puts numbers outside [0, limit) among numbers that have no −1 of their own. */
  static void among(long[] numbers, long limit, DType dtype, SplittableRandom random) {
    for (int i = 0; i < numbers.length; i++) {
      if (random.nextInt(ONE_IN) == 0) {
        numbers[i] = random.nextBoolean() ? -1 : outside(limit, dtype, random);
      }
    }
  }

  private static long outside(long limit, DType dtype, SplittableRandom random) {
    boolean wide = dtype == DType.I64;
    return switch (random.nextInt(wide ? 6 : 4)) {
      case 0 -> limit;
      case 1 -> -2;
      case 2 -> wide ? Long.MAX_VALUE : Integer.MAX_VALUE;
      case 3 -> wide ? Long.MIN_VALUE : Integer.MIN_VALUE;
      case 4 -> 1L << 32; // 0 in its low half
      default -> 0xffff_ffffL; // -1 in its low half
    };
  }
}
