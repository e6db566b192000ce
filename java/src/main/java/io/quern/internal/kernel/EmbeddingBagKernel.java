package io.quern.internal.kernel;

import io.quern.Device;
import io.quern.internal.device.QueueStream;
import io.quern.op.EmbeddingBag;

/** One back end's {@code EmbeddingBag}, prepared for a spec. Operands arrive checked and held. */
public interface EmbeddingBagKernel {
  /** Queues the work. Where there are no ids each position reads the row of its own number. */
  void run(QueueStream stream, EmbeddingBag.Operands operands);

  /** Chooses and loads whatever a spec may need. */
  @FunctionalInterface
  interface Factory {
    EmbeddingBagKernel prepare(Device device, EmbeddingBag.Spec spec);
  }
}
