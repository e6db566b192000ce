package io.quern.internal.cpu;

import io.quern.internal.kernel.Operator;
import io.quern.op.TreeFromMask;
import io.quern.op.TreeStatus;
import java.lang.foreign.MemorySegment;

/** The operands of a {@code TreeFromMask}. */
public abstract class TreeFromMaskTask extends TreeOutputsTask {
  private MemorySegment mask;

  @Override
  protected final Operator operator() {
    return Operator.TREE_FROM_MASK;
  }

  /** Takes the operands of a call and runs it. */
  public final void run(
      HostStream stream, TreeFromMask.Spec spec, TreeFromMask.Operands operands, Writer writer) {
    requests((int) spec.nodes(), operands.prefix());
    outputs(operands.out(), writer);
    mask = segment(operands.mask());
    stream.run(this, operands.mask().shape().dim(0), spec.nodes() * spec.nodes());
  }

  @Override
  protected void clear() {
    super.clear();
    mask = null;
  }

  @Override
  protected final TreeStatus find(int worker, long b, long first, int count) {
    return find(mask, b * count * count, first, count) ? TreeStatus.OK : TreeStatus.MASK;
  }

  /**
   * Finds the parents of a mask's rows, which begin at a byte of it; false if it is not that of a
   * tree.
   */
  protected abstract boolean find(MemorySegment mask, long rows, long first, int count);
}
