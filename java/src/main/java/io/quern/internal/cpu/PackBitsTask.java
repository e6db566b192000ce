package io.quern.internal.cpu;

import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import io.quern.DType;
import io.quern.internal.device.TypedMemory;
import io.quern.internal.kernel.Operator;
import io.quern.op.BitOrder;
import io.quern.op.PackBits;
import io.quern.op.TreeStatus;
import java.lang.foreign.MemorySegment;

/** The operands of a {@code PackBits}, and where each segment is written. */
public abstract class PackBitsTask extends RowTask {
  /** Sums of bytes stop here, so that they cannot overflow. */
  private static final long MOST_BYTES = 1L << 62;

  private MemorySegment x;
  private MemorySegment offsets;
  private boolean longOffsets;
  private MemorySegment out;
  private MemorySegment outOffsets;
  private MemorySegment status;
  private long count;
  private long segments;
  private long bytes;
  private boolean big;

  @Override
  protected final Operator operator() {
    return Operator.PACK_BITS;
  }

  /** Takes the operands of a call and runs it. */
  public final void run(HostStream stream, PackBits.Spec spec, PackBits.Operands operands) {
    x = HostDevice.segment(TypedMemory.of(operands.x()));
    offsets = HostDevice.segment(TypedMemory.of(operands.offsets()));
    longOffsets = spec.offsets() == DType.I64;
    out = HostDevice.segment(TypedMemory.of(operands.out()));
    outOffsets =
        operands.outOffsets() == null
            ? null
            : HostDevice.segment(TypedMemory.of(operands.outOffsets()));
    status = HostDevice.segment(TypedMemory.of(operands.status()));
    count = operands.x().shape().size();
    segments = operands.offsets().shape().size() - 1;
    bytes = operands.out().shape().size();
    big = spec.order() == BitOrder.BIG;
    stream.run(this, segments, count / Math.max(1, segments));
  }

  @Override
  protected void clear() {
    x = null;
    offsets = null;
    out = null;
    outOffsets = null;
    status = null;
  }

  @Override
  @SuppressWarnings("EnumOrdinal") // the numbers that users see
  protected final void run(int worker, long from, long to) {
    long begin = 0;
    for (long s = 0; s < from; s++) {
      begin = Math.min(MOST_BYTES, begin + bytesOf(s));
    }
    for (long s = from; s < to; s++) {
      long end = Math.min(MOST_BYTES, begin + bytesOf(s));
      TreeStatus found = isGood(s) ? TreeStatus.OK : TreeStatus.OFFSETS;
      if (end > begin && end > bytes) {
        found = TreeStatus.CAPACITY;
      } else if (end > begin) {
        pack(x, offset(s), offset(s + 1) - offset(s), out, begin, big);
      }
      status.set(JAVA_INT, s * Integer.BYTES, found.ordinal());
      note(s, begin);
      begin = end;
    }
    if (to == segments) {
      note(segments, begin);
    }
  }

  private void note(long s, long begin) {
    if (outOffsets != null) {
      outOffsets.set(JAVA_LONG, s * Long.BYTES, begin);
    }
  }

  private boolean isGood(long s) {
    return offset(s) >= 0 && offset(s) <= offset(s + 1) && offset(s + 1) <= count;
  }

  private long bytesOf(long s) {
    return isGood(s) ? Math.ceilDiv(offset(s + 1) - offset(s), Byte.SIZE) : 0;
  }

  private long offset(long s) {
    return longOffsets
        ? offsets.get(JAVA_LONG, s * Long.BYTES)
        : offsets.get(JAVA_INT, s * Integer.BYTES);
  }

  /** Packs {@code elements} bytes from {@code from} on into the bytes from {@code target} on. */
  protected abstract void pack(
      MemorySegment x, long from, long elements, MemorySegment out, long target, boolean big);
}
