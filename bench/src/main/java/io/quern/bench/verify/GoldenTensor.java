package io.quern.bench.verify;

import io.quern.DType;
import io.quern.Shape;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;

/**
 * The values of an input, an expected output or a result, in host memory.
 *
 * @param dtype element type
 * @param shape extents
 * @param data the elements, row-major, dense, little-endian, of any alignment
 */
public record GoldenTensor(DType dtype, Shape shape, MemorySegment data) {
  private static final ValueLayout.OfShort SHORT =
      ValueLayout.JAVA_SHORT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
  private static final ValueLayout.OfInt INT =
      ValueLayout.JAVA_INT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
  private static final ValueLayout.OfLong LONG =
      ValueLayout.JAVA_LONG_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

  /** The same elements in another shape of the same size. */
  GoldenTensor reshaped(Shape other) {
    if (other.size() != shape.size()) {
      throw new IllegalArgumentException("%s cannot become %s".formatted(shape, other));
    }
    return new GoldenTensor(dtype, other, data);
  }

  boolean isIntegral() {
    return !dtype.isFloat() && dtype != DType.F64;
  }

  /** The element widened exactly, but for 64-bit integers, which are rounded. */
  double asDouble(long i) {
    return switch (dtype) {
      case F32 -> Float.intBitsToFloat(data.get(INT, 4 * i));
      case F16 -> Float.float16ToFloat(data.get(SHORT, 2 * i));
      case BF16 -> Float.intBitsToFloat(data.get(SHORT, 2 * i) << 16);
      case F64 -> Double.longBitsToDouble(data.get(LONG, 8 * i));
      case U64 -> {
        long bits = asLong(i);
        yield bits >= 0 ? bits : 0x1p63 + (double) (bits & Long.MAX_VALUE);
      }
      default -> asLong(i);
    };
  }

  /** The element of an integral tensor; a U64 over 2^63 − 1 comes out negative. */
  long asLong(long i) {
    return switch (dtype) {
      case I8 -> data.get(ValueLayout.JAVA_BYTE, i);
      case U8, BOOL -> data.get(ValueLayout.JAVA_BYTE, i) & 0xFF;
      case I16 -> data.get(SHORT, 2 * i);
      case U16 -> data.get(SHORT, 2 * i) & 0xFFFF;
      case I32 -> data.get(INT, 4 * i);
      case U32 -> Integer.toUnsignedLong(data.get(INT, 4 * i));
      case I64, U64 -> data.get(LONG, 8 * i);
      case F32, F16, BF16, F64 -> throw new IllegalStateException(dtype + " is not integral");
    };
  }

  /** The element as a person reads it. */
  public String text(long i) {
    if (isIntegral()) {
      return dtype == DType.U64 ? Long.toUnsignedString(asLong(i)) : Long.toString(asLong(i));
    }
    double value = asDouble(i);
    return dtype == DType.F64 ? Double.toString(value) : Float.toString((float) value);
  }
}
