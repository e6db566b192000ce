package io.quern.internal.cpu;

import io.quern.Buffer;
import io.quern.internal.device.TypedMemory;
import io.quern.internal.kernel.Operator;
import io.quern.op.IndexPolicy;
import java.lang.foreign.MemorySegment;

/** The operands of an {@code EmbeddingGather}. */
public abstract class GatherTask extends IndexedTask {
  private Operator operator;

  /** Where output rows go. */
  protected MemorySegment out;

  /** Bytes from one output row to the next. */
  protected long outStride;

  /** Elements of a row. */
  protected long dim;

  @Override
  protected final Operator operator() {
    return operator;
  }

  /**
   * Takes the operands of a call.
   *
   * @param operator the operator this is a call of
   */
  public final void gather(
      Operator operator,
      Buffer[] tables,
      int tableCount,
      Buffer ids,
      Buffer tableIds,
      Buffer out,
      IndexPolicy policy) {
    this.operator = operator;
    index(ids, tableIds, policy);
    for (int i = 0; i < tableCount; i++) {
      addTable(tables[i]);
    }
    TypedMemory memory = TypedMemory.of(out);
    this.out = HostDevice.segment(memory);
    this.outStride = memory.rowStride() * memory.dtype().byteSize();
    this.dim = memory.shape().last();
  }

  @Override
  protected void clear() {
    super.clear();
    out = null;
  }

  /** Which table position {@code i} reads, or a negative answer; an id of −1 needs none. */
  protected final long tableOf(long i, long id) {
    return id == -1 ? 0 : tableNumber(i);
  }
}
