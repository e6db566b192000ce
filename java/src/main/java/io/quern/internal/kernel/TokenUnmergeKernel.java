package io.quern.internal.kernel;

import io.quern.Device;
import io.quern.internal.device.QueueStream;
import io.quern.op.TokenUnmerge;

/** One back end's {@code TokenUnmerge}, prepared for a spec. Operands arrive checked and held. */
public interface TokenUnmergeKernel {
  /** Queues the work. */
  void run(QueueStream stream, TokenUnmerge.Operands operands);

  /** Chooses and loads whatever a spec may need. */
  @FunctionalInterface
  interface Factory {
    TokenUnmergeKernel prepare(Device device, TokenUnmerge.Spec spec);
  }
}
