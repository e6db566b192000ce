package io.quern.op;

import io.quern.DType;
import io.quern.InvalidDataException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import java.util.List;
import java.util.Objects;

/**
 * What a run left behind.
 *
 * @param outputs in the order in which the case made them
 * @param fault the bad data that was reported, or null
 */
public record Outcome(List<Output> outputs, InvalidDataException fault) {
  /** Copies the list. */
  public Outcome {
    outputs = List.copyOf(outputs);
  }

  /** Bytes of all outputs. */
  public int byteSize() {
    return outputs.stream().mapToInt(output -> output.bytes.length).sum();
  }

  /**
   * The memory of one output.
   *
   * @param bytes gaps between rows included
   */
  public record Output(String name, DType dtype, byte[] bytes) {
    private static final ValueLayout.OfInt INT =
        ValueLayout.JAVA_INT_UNALIGNED.withOrder(ByteOrder.nativeOrder());
    private static final ValueLayout.OfShort SHORT =
        ValueLayout.JAVA_SHORT_UNALIGNED.withOrder(ByteOrder.nativeOrder());
    private static final ValueLayout.OfLong LONG =
        ValueLayout.JAVA_LONG_UNALIGNED.withOrder(ByteOrder.nativeOrder());

    /** Bits of element {@code i}, in the low part where it has fewer than 64. */
    public long bits(int i) {
      MemorySegment segment = MemorySegment.ofArray(bytes);
      return switch (dtype.byteSize()) {
        case 1 -> bytes[i] & 0xff;
        case Short.BYTES -> segment.getAtIndex(SHORT, i) & 0xffff;
        case Integer.BYTES -> segment.getAtIndex(INT, i) & 0xffffffffL;
        default -> segment.getAtIndex(LONG, i);
      };
    }

    /** Number of elements, gaps included. */
    public int elements() {
      return bytes.length / dtype.byteSize();
    }

    private String difference(Output other) {
      if (!name.equals(other.name) || dtype != other.dtype || bytes.length != other.bytes.length) {
        return "%s of %d elements of %s against %s of %d of %s"
            .formatted(name, elements(), dtype, other.name, other.elements(), other.dtype);
      }
      long from = MemorySegment.ofArray(bytes).mismatch(MemorySegment.ofArray(other.bytes));
      for (int i = from < 0 ? elements() : (int) from / dtype.byteSize(); i < elements(); i++) {
        long mine = bits(i);
        long others = other.bits(i);
        if (mine != others && !(isNaN(dtype, mine) && isNaN(dtype, others))) {
          return "element %d (gaps counted) of %s is 0x%x against 0x%x"
              .formatted(i, name, mine, others);
        }
      }
      return null;
    }

    @Override
    public boolean equals(Object other) {
      return other instanceof Output output && difference(output) == null;
    }

    @Override
    public int hashCode() {
      return Objects.hash(name, dtype, bytes.length);
    }

    @Override
    public String toString() {
      return "%s of %d elements of %s".formatted(name, elements(), dtype);
    }
  }

  /**
   * Whether both are the same: bits equal, or both NaN; the same fault. Null if so, else the first
   * difference.
   */
  public String difference(Outcome other) {
    if (outputs.size() != other.outputs.size()) {
      return outputs + " against " + other.outputs;
    }
    if (!describe(fault).equals(describe(other.fault))) {
      return describe(fault) + " against " + describe(other.fault);
    }
    for (int i = 0; i < outputs.size(); i++) {
      String difference = outputs.get(i).difference(other.outputs.get(i));
      if (difference != null) {
        return difference;
      }
    }
    return null;
  }

  static boolean isNaN(DType dtype, long bits) {
    return switch (dtype) {
      case F32 -> (bits & 0x7fffffff) > 0x7f800000;
      case F16 -> (bits & 0x7fff) > 0x7c00;
      case BF16 -> (bits & 0x7fff) > 0x7f80;
      default -> false;
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
    return outputs.hashCode();
  }

  @Override
  public String toString() {
    return outputs + ", " + describe(fault);
  }
}
