package io.quern.op;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_INT_UNALIGNED;
import static java.lang.foreign.ValueLayout.JAVA_SHORT_UNALIGNED;

import io.quern.DType;
import io.quern.InvalidDataException;
import io.quern.InvalidDataException.Kind;
import io.quern.Shape;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;

/** An output as documentation says it is left: poisoned at first, then written row by row. */
final class ReferenceRows {
  private final String name;
  private final DType dtype;
  private final boolean strided;
  private final long dim;
  private final byte[] bytes;

  ReferenceRows(String name, DType dtype, long rows, long dim, boolean strided) {
    this.name = name;
    this.dtype = dtype;
    this.strided = strided;
    this.dim = dim;
    this.bytes =
        PreparedCase.poison(PreparedCase.elements(strided, Shape.of(rows, dim)) * dtype.byteSize());
  }

  /** A value, rounded. */
  void set(long row, long column, float value) {
    setBits(row, column, EmbeddingReference.encode(dtype, value));
  }

  void setBits(long row, long column, int bits) {
    MemorySegment segment = MemorySegment.ofArray(bytes);
    long i = PreparedCase.position(strided, row, column, dim);
    switch (dtype.byteSize()) {
      case 1 -> segment.set(JAVA_BYTE, i, (byte) bits);
      case Short.BYTES -> segment.setAtIndex(JAVA_SHORT_UNALIGNED, i, (short) bits);
      default -> segment.setAtIndex(JAVA_INT_UNALIGNED, i, bits);
    }
  }

  void zeros(long row) {
    for (long column = 0; column < dim; column++) {
      setBits(row, column, 0);
    }
  }

  /** A row of another matrix: bits where the dtypes are equal, else rounded values. */
  void copy(RandomRows from, long source, long row) {
    for (long column = 0; column < dim; column++) {
      int bits = from.bits(source, column);
      if (from.dtype() == dtype) {
        setBits(row, column, bits);
      } else {
        set(row, column, EmbeddingReference.decode(from.dtype(), bits));
      }
    }
  }

  Outcome.Output output() {
    return new Outcome.Output(name, dtype, bytes);
  }

  /** An element of an input. */
  static float value(RandomRows rows, long row, long column) {
    return EmbeddingReference.decode(rows.dtype(), rows.bits(row, column));
  }

  /** NaN if one is; a zero is +0. */
  static float max(float a, float b) {
    if (Float.isNaN(a) || Float.isNaN(b)) {
      return Float.NaN;
    }
    float max = a > b ? a : b;
    return max == 0 ? 0 : max;
  }

  /** The faults of a call, of which the lowest is reported. */
  static final class Faults {
    private final String operator;
    private final List<InvalidDataException> faults = new ArrayList<>();

    Faults(String operator) {
      this.operator = operator;
    }

    void add(Kind kind, long position, long value, long limit) {
      faults.add(new InvalidDataException(operator, kind, position, value, limit));
    }

    InvalidDataException lowest() {
      InvalidDataException lowest = null;
      for (InvalidDataException fault : faults) {
        if (lowest == null
            || fault.kind().ordinal() < lowest.kind().ordinal()
            || fault.kind() == lowest.kind() && fault.position() < lowest.position()) {
          lowest = fault;
        }
      }
      return lowest;
    }
  }

  /** Offsets of segments or sequences of these lengths, from {@code lead} on. */
  static long[] offsets(List<Integer> lengths, int lead) {
    long[] offsets = new long[lengths.size() + 1];
    offsets[0] = lead;
    for (int i = 0; i < lengths.size(); i++) {
      offsets[i + 1] = offsets[i] + lengths.get(i);
    }
    return offsets;
  }

  /** Whether offsets are usable as a ragged batch's; else that is noted. */
  static boolean areOffsets(long[] offsets, long tokens, Faults faults) {
    for (int s = 0; s < offsets.length - 1; s++) {
      boolean badStart = offsets[s] < 0 || offsets[s] > tokens;
      if (badStart
          || offsets[s + 1] < offsets[s]
          || offsets[s + 1] < 0
          || offsets[s + 1] > tokens) {
        faults.add(Kind.OFFSETS, s, badStart ? offsets[s] : offsets[s + 1], tokens);
        return false;
      }
    }
    return true;
  }
}
