package io.quern.internal.kernel;

import io.quern.Device;
import io.quern.internal.device.QueueStream;
import io.quern.op.TokenMerge;

/** One back end's {@code TokenMerge}, prepared for a spec. Operands arrive checked and held. */
public interface TokenMergeKernel {
  /** Queues the work. */
  void run(QueueStream stream, TokenMerge.Operands operands);

  /** Chooses and loads whatever a spec may need. */
  @FunctionalInterface
  interface Factory {
    TokenMergeKernel prepare(Device device, TokenMerge.Spec spec);
  }
}
