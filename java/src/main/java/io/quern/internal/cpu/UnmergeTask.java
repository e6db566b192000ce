package io.quern.internal.cpu;

import static java.lang.foreign.ValueLayout.JAVA_INT;

import io.quern.internal.device.TypedMemory;
import io.quern.internal.kernel.Operator;
import io.quern.op.TokenUnmerge;
import java.lang.foreign.MemorySegment;

/** A call of TokenUnmerge: finds each token's row; a back end copies it. */
public abstract class UnmergeTask extends RowTask {
  private MemorySegment slot;
  private MemorySegment y;
  private MemorySegment out;
  private long stride;
  private long outStride;
  private long tokens;
  private long merged;
  private boolean droppedToFirst;

  @Override
  protected final Operator operator() {
    return Operator.TOKEN_UNMERGE;
  }

  /** Takes the operands of a call. */
  public final void take(TokenUnmerge.Spec spec, TokenUnmerge.Operands operands) {
    slot = HostDevice.segment(TypedMemory.of(operands.slot()));
    y = HostDevice.segment(TypedMemory.of(operands.y()));
    out = HostDevice.segment(TypedMemory.of(operands.out()));
    stride = operands.y().rowStride() * spec.dtype().byteSize();
    outStride = operands.out().rowStride() * spec.dtype().byteSize();
    tokens = spec.tokens();
    merged = spec.merged();
    droppedToFirst = spec.droppedToFirst();
  }

  @Override
  protected void clear() {
    slot = null;
    y = null;
    out = null;
  }

  @Override
  protected final void run(int worker, long from, long to) {
    long batch = from / tokens;
    long nextBatch = (batch + 1) * tokens;
    for (long token = from; token < to; token++) {
      if (token == nextBatch) {
        batch++;
        nextBatch += tokens;
      }
      long row = slot.get(JAVA_INT, token * Integer.BYTES);
      if (row < 0 || row >= merged) {
        row = droppedToFirst && merged > 0 ? 0 : -1;
      }
      if (row < 0) {
        zero(out, token * outStride);
      } else {
        copy(y, (batch * merged + row) * stride, out, token * outStride);
      }
    }
  }

  /** Copies a row. */
  protected abstract void copy(MemorySegment y, long source, MemorySegment out, long target);

  /** Writes a row of zeros. */
  protected abstract void zero(MemorySegment out, long target);
}
