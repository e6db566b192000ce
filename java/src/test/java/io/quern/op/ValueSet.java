package io.quern.op;

import io.quern.DType;
import java.util.SplittableRandom;

/** What the tables of a case hold. Never constants. */
public enum ValueSet {
  /** Standard normal. */
  NORMAL,
  /** Values that are subnormal in F16 or F32, of both signs. */
  SUBNORMAL,
  /**
   * Any bit pattern in 16 bit; in F32 NaNs, infinities, zeros of both signs, and values at a
   * rounding border.
   */
  SPECIAL,
  /** −1, 0 and 1, so that many rows are equal, opposite or zero. */
  FEW;

  private static final float[] TINY = {0x1p-15f, 0x1p-18f, 0x1p-23f, 0x1p-130f, 0x1p-145f};

  /** The first three of {@link #TINY} are not all zero in F16. */
  private static final int TINY_IN_F16 = 3;

  private static final int[] EDGES = {
    0x00000000,
    0x80000000,
    0x7f800000,
    0xff800000, // zeros, infinities
    0x7fc00000,
    0xffc12345,
    0x7f800001, // quiet and signalling NaNs
    0x7f7fffff,
    0xff7fffff,
    0x00800000,
    0x00000001, // largest, least normal, least subnormal
    0x3f801000,
    0x3f803000,
    0x3f808000,
    0x3f818000, // halfway between two F16, two BF16, even and odd
    0x477fe000,
    0x477fefff,
    0x477ff000, // F16: largest, last to round to it, first to overflow
    0x33000000,
    0x33000001,
    0x387fe000, // F16: half of the least subnormal, just above, largest subnormal
    0x7f7f8000 // BF16: overflows to infinity
  };

  /** The next element, as the bits of {@code dtype} (16 bit in the low half). */
  int next(DType dtype, SplittableRandom random) {
    return switch (this) {
      case NORMAL -> encode(dtype, (float) random.nextGaussian());
      case SUBNORMAL -> {
        float scale = TINY[random.nextInt(dtype == DType.F16 ? TINY_IN_F16 : TINY.length)];
        yield encode(dtype, (float) random.nextGaussian() * scale);
      }
      case FEW -> encode(dtype, random.nextInt(3) - 1);
      case SPECIAL -> {
        if (dtype != DType.F32) {
          yield random.nextInt();
        }
        yield random.nextBoolean()
            ? EDGES[random.nextInt(EDGES.length)]
            : encode(dtype, (float) random.nextGaussian());
      }
    };
  }

  private static int encode(DType dtype, float value) {
    return switch (dtype) {
      case F32 -> Float.floatToRawIntBits(value);
      case F16 -> Float.floatToFloat16(value);
      case BF16 -> Float.floatToRawIntBits(value) >> 16;
      default -> throw new IllegalArgumentException("no table is " + dtype);
    };
  }
}
