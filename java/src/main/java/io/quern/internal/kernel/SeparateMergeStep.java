package io.quern.internal.kernel;

import io.quern.Device;
import io.quern.internal.device.QueueStream;
import io.quern.op.MergeStep;
import io.quern.op.TokenPrune;

/** The parts of a step one after the other, by the device's kernels of the operators. */
public final class SeparateMergeStep implements MergeStepKernel {
  private final TokenPruneKernel prune;
  private final TokenMatchKernel match;
  private final TokenMergeKernel merge;
  private final long merged;

  /**
   * @param pruneSpec or null
   */
  public SeparateMergeStep(Device device, TokenPrune.Spec pruneSpec, MergeStep.Spec spec) {
    KernelSet kernels = KernelProvider.of(device);
    prune = pruneSpec == null ? null : kernels.tokenPrune().prepare(device, pruneSpec);
    match = kernels.tokenMatch().prepare(device, spec.match());
    merge = kernels.tokenMerge().prepare(device, spec.merge());
    merged = spec.merge().merged();
  }

  @Override
  public boolean isOneLaunch() {
    return false;
  }

  @Override
  public long workspaceBytes(long batch) {
    long bytes = match.workspaceBytes(batch);
    return prune == null ? bytes : Math.max(bytes, prune.workspaceBytes(batch));
  }

  @Override
  public void run(QueueStream stream, TokenPrune.Operands ordered, MergeStep.Operands operands) {
    if (prune != null && ordered.order().shape().size() > 0) {
      prune.run(stream, ordered);
    }
    match.run(stream, operands.match());
    if (merged > 0) {
      merge.run(stream, operands.merge());
    }
  }
}
