package io.quern.internal.scalar;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static java.lang.foreign.ValueLayout.JAVA_SHORT;

import io.quern.DType;
import java.lang.foreign.MemorySegment;

/** How an element is read as F32 and rounded on store: to nearest even, a NaN stays a NaN. */
final class Element {
  private static final int BF16_SHIFT = 16;

  private Element() {}

  static float load(DType dtype, MemorySegment segment, long offset) {
    return switch (dtype) {
      case F32 -> segment.get(JAVA_FLOAT, offset);
      case F16 -> Float.float16ToFloat(segment.get(JAVA_SHORT, offset));
      case BF16 -> Float.intBitsToFloat(segment.get(JAVA_SHORT, offset) << BF16_SHIFT);
      default -> throw new AssertionError(dtype);
    };
  }

  static void store(DType dtype, MemorySegment segment, long offset, float value) {
    switch (dtype) {
      case F32 -> segment.set(JAVA_FLOAT, offset, value);
      case F16 -> segment.set(JAVA_SHORT, offset, Float.floatToFloat16(value));
      case BF16 -> segment.set(JAVA_SHORT, offset, toBfloat16(value));
      default -> throw new AssertionError(dtype);
    }
  }

  /** Adds just under half of the last kept bit, and the rest of it where that bit is odd. */
  private static short toBfloat16(float value) {
    int bits = Float.floatToRawIntBits(value);
    if (Float.isNaN(value)) {
      return (short) ((bits >> BF16_SHIFT) | 0x40);
    }
    return (short) ((bits + 0x7fff + ((bits >> BF16_SHIFT) & 1)) >> BF16_SHIFT);
  }
}
