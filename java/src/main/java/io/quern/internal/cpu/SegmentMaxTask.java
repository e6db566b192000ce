package io.quern.internal.cpu;

import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;
import static java.lang.foreign.ValueLayout.JAVA_SHORT;

import io.quern.Buffer;
import io.quern.DType;
import io.quern.InvalidDataException.Kind;
import io.quern.internal.device.TypedMemory;
import io.quern.internal.kernel.Operator;
import io.quern.op.SegmentMax;
import java.lang.foreign.MemorySegment;

/**
 * The operands of a {@code SegmentMax}, and the walk over its rows. Every range of segments looks
 * at all ids, and at the rows of its own segments.
 *
 * <p>While a call runs, a segment without a row yet holds {@link #EMPTY} in its first element: a
 * NaN that no other step stores.
 */
public abstract class SegmentMaxTask extends RowTask {
  /** All bits set, in any dtype. */
  protected static final int EMPTY = -1;

  private MemorySegment ids;
  private boolean longIds;
  private long rows;
  private MemorySegment x;
  private long stride;
  private MemorySegment out;
  private long outStride;
  private long segments;

  /** Elements of a row. */
  protected long dim;

  /** Of the rows and the output. */
  protected DType dtype;

  @Override
  protected final Operator operator() {
    return Operator.SEGMENT_MAX;
  }

  /** Takes the operands of a call. */
  public final void pool(SegmentMax.Spec spec, Buffer x, Buffer ids, Buffer out) {
    dtype = spec.x();
    dim = spec.dim();
    longIds = spec.ids() == DType.I64;
    this.ids = HostDevice.segment(TypedMemory.of(ids));
    this.x = HostDevice.segment(TypedMemory.of(x));
    this.out = HostDevice.segment(TypedMemory.of(out));
    rows = x.shape().dim(0);
    segments = out.shape().dim(0);
    stride = x.rowStride() * dtype.byteSize();
    outStride = out.rowStride() * dtype.byteSize();
  }

  @Override
  protected final void clear() {
    ids = null;
    x = null;
    out = null;
  }

  @Override
  protected final void run(int worker, long from, long to) {
    for (long s = from; s < to; s++) {
      mark(out, s * outStride);
    }
    for (long i = 0; i < rows; i++) {
      long id = longIds ? ids.get(JAVA_LONG, i * Long.BYTES) : ids.get(JAVA_INT, i * Integer.BYTES);
      if (id >= from && id < to) {
        take(worker, x, i * stride, out, id * outStride);
      } else if (from == 0 && id != -1 && (id < 0 || id >= segments)) {
        report(Kind.INDEX, i, id, segments);
      }
    }
    for (long s = from; s < to; s++) {
      finish(worker, out, s * outStride);
    }
  }

  /** Makes a segment empty. */
  private void mark(MemorySegment out, long target) {
    if (dtype == DType.F32) {
      out.set(JAVA_INT, target, EMPTY);
    } else {
      out.set(JAVA_SHORT, target, (short) EMPTY);
    }
  }

  /** Whether a segment is still empty. */
  protected final boolean isEmpty(MemorySegment out, long target) {
    return dtype == DType.F32
        ? out.get(JAVA_INT, target) == EMPTY
        : out.get(JAVA_SHORT, target) == (short) EMPTY;
  }

  /** Makes a segment's row the maximum of itself and of a row. A NaN it stores is not EMPTY. */
  protected abstract void take(
      int worker, MemorySegment x, long source, MemorySegment out, long target);

  /** Makes a row of zeros of an empty segment. */
  protected abstract void finish(int worker, MemorySegment out, long target);
}
