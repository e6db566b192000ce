package io.quern.internal.kernel;

import io.quern.Device;
import io.quern.internal.device.QueueStream;
import io.quern.op.TokenPrune;

/** One back end's {@code TokenPrune}, prepared for a spec. Operands arrive checked and held. */
public interface TokenPruneKernel {
  /** Bytes of scratch that a call of so many batch rows needs. */
  long workspaceBytes(long batch);

  /** Queues the work. */
  void run(QueueStream stream, TokenPrune.Operands operands);

  /** Chooses and loads whatever a spec may need. */
  @FunctionalInterface
  interface Factory {
    TokenPruneKernel prepare(Device device, TokenPrune.Spec spec);
  }
}
