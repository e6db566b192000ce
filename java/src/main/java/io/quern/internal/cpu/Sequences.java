package io.quern.internal.cpu;

import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import io.quern.Buffer;
import io.quern.DType;
import io.quern.internal.device.TypedMemory;
import java.lang.foreign.MemorySegment;

/** Where the sequences of a ragged batch begin and end. */
final class Sequences {
  private MemorySegment offsets;
  private boolean wide;
  private long count;
  private long tokens;

  /** Takes the offsets of a call. */
  void take(Buffer offsets, long tokens) {
    this.offsets = HostDevice.segment(TypedMemory.of(offsets));
    this.wide = offsets.dtype() == DType.I64;
    this.count = offsets.shape().dim(0) - 1;
    this.tokens = tokens;
  }

  /** The tokens of a call are one sequence. */
  void takeOne(long tokens) {
    offsets = null;
    count = 1;
    this.tokens = tokens;
  }

  void clear() {
    offsets = null;
  }

  /** How many there are. */
  long count() {
    return count;
  }

  /** Where sequence {@code s} begins. */
  long offset(long s) {
    if (offsets == null) {
      return s == 0 ? 0 : tokens;
    }
    return wide ? offsets.get(JAVA_LONG, s * Long.BYTES) : offsets.get(JAVA_INT, s * Integer.BYTES);
  }

  /** The first sequence whose offsets descend or leave [0, tokens], or −1. */
  long firstBad() {
    for (long s = 0; s < count; s++) {
      if (isOutside(offset(s)) || offset(s + 1) < offset(s) || isOutside(offset(s + 1))) {
        return s;
      }
    }
    return -1;
  }

  /** The offset that makes a sequence bad. */
  long badValue(long s) {
    return isOutside(offset(s)) ? offset(s) : offset(s + 1);
  }

  private boolean isOutside(long offset) {
    return offset < 0 || offset > tokens;
  }
}
