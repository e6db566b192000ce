package io.quern.internal.kernel;

import io.quern.Device;
import io.quern.internal.device.QueueStream;
import io.quern.op.MergeStep;
import io.quern.op.TokenPrune;

/**
 * One back end's {@code MergeStep}, and {@code DiffRateBlock}, which is one behind a {@code
 * TokenPrune}. Operands arrive checked and held.
 */
public interface MergeStepKernel {
  /** Whether a call is one launch. */
  boolean isOneLaunch();

  /** Bytes of scratch that a call of so many batch rows needs. */
  long workspaceBytes(long batch);

  /**
   * Queues the work.
   *
   * @param prune null where it was prepared without
   */
  void run(QueueStream stream, TokenPrune.Operands prune, MergeStep.Operands operands);

  /** Chooses and loads whatever a spec may need. */
  @FunctionalInterface
  interface Factory {
    /**
     * @param prune what is ordered before, or null
     */
    MergeStepKernel prepare(Device device, TokenPrune.Spec prune, MergeStep.Spec spec);
  }
}
