package io.quern.internal.cpu;

import io.quern.Buffer;
import io.quern.internal.device.TypedMemory;
import io.quern.internal.kernel.Operator;
import io.quern.op.WindowPool;
import java.lang.foreign.MemorySegment;

/** The operands of a {@code WindowPool}, and the way from an output row to its window. */
public abstract class WindowTask extends RowTask {
  /** The call's spec. */
  protected WindowPool.Spec spec;

  /** The rows. */
  protected MemorySegment x;

  /** Bytes from one row to the next. */
  protected long stride;

  private MemorySegment out;
  private long outStride;
  private long length;
  private long windows;

  @Override
  protected final Operator operator() {
    return Operator.WINDOW_POOL;
  }

  /** Takes the operands of a call. */
  public final void pool(WindowPool.Spec spec, Buffer x, long length, Buffer out) {
    this.spec = spec;
    this.length = length;
    this.windows = spec.windows(length);
    this.x = HostDevice.segment(TypedMemory.of(x));
    this.out = HostDevice.segment(TypedMemory.of(out));
    stride = x.rowStride() * spec.x().byteSize();
    outStride = out.rowStride() * spec.out().byteSize();
  }

  @Override
  protected final void clear() {
    x = null;
    out = null;
  }

  @Override
  protected final void run(int worker, long from, long to) {
    for (long row = from; row < to; row++) {
      long sequence = row / windows * length;
      long begin = row % windows * spec.stride() - spec.padding();
      long end = Math.min(length, begin + spec.window());
      pool(worker, sequence + Math.max(0, begin), sequence + end, out, row * outStride);
    }
  }

  /** Pools rows {@code begin} to {@code end}, at least one, into the row at byte {@code target}. */
  protected abstract void pool(int worker, long begin, long end, MemorySegment out, long target);
}
