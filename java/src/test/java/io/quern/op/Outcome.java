package io.quern.op;

import io.quern.DType;
import io.quern.InvalidDataException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import java.util.Objects;

/**
 * What a run left behind.
 *
 * @param dtype of the output
 * @param bytes the output's memory, gaps between rows included
 * @param fault the bad data that was reported, or null
 */
public record Outcome(DType dtype, byte[] bytes, InvalidDataException fault) {
  private static final ValueLayout.OfInt INT =
      ValueLayout.JAVA_INT_UNALIGNED.withOrder(ByteOrder.nativeOrder());
  private static final ValueLayout.OfShort SHORT =
      ValueLayout.JAVA_SHORT_UNALIGNED.withOrder(ByteOrder.nativeOrder());

  /** Bits of element {@code i}, in the low half where it has 16. */
  public int bits(int i) {
    MemorySegment segment = MemorySegment.ofArray(bytes);
    return dtype == DType.F32 ? segment.getAtIndex(INT, i) : segment.getAtIndex(SHORT, i) & 0xffff;
  }

  /** Number of elements, gaps included. */
  public int elements() {
    return bytes.length / dtype.byteSize();
  }

  /**
   * Whether both are the same: bits equal, or both NaN; the same fault. Null if so, else the first
   * difference.
   */
  public String difference(Outcome other) {
    if (dtype != other.dtype || bytes.length != other.bytes.length) {
      return "%d elements of %s against %d of %s"
          .formatted(elements(), dtype, other.elements(), other.dtype);
    }
    if (!describe(fault).equals(describe(other.fault))) {
      return describe(fault) + " against " + describe(other.fault);
    }
    long from = MemorySegment.ofArray(bytes).mismatch(MemorySegment.ofArray(other.bytes));
    for (int i = from < 0 ? elements() : (int) from / dtype.byteSize(); i < elements(); i++) {
      int mine = bits(i);
      int others = other.bits(i);
      if (mine != others && !(isNaN(dtype, mine) && isNaN(dtype, others))) {
        return "element %d (gaps counted) is 0x%x against 0x%x".formatted(i, mine, others);
      }
    }
    return null;
  }

  static boolean isNaN(DType dtype, int bits) {
    return switch (dtype) {
      case F32 -> (bits & 0x7fffffff) > 0x7f800000;
      case F16 -> (bits & 0x7fff) > 0x7c00;
      case BF16 -> (bits & 0x7fff) > 0x7f80;
      default -> throw new IllegalArgumentException("no output is " + dtype);
    };
  }

  private static String describe(InvalidDataException fault) {
    return fault == null
        ? "no fault"
        : "%s, %s, position %d, value %d, limit %d"
            .formatted(
                fault.operator(), fault.kind(), fault.position(), fault.value(), fault.limit());
  }

  @Override
  public boolean equals(Object other) {
    return other instanceof Outcome outcome && difference(outcome) == null;
  }

  @Override
  public int hashCode() {
    return Objects.hash(dtype, bytes.length);
  }

  @Override
  public String toString() {
    return "%d elements of %s, %s".formatted(elements(), dtype, describe(fault));
  }
}
