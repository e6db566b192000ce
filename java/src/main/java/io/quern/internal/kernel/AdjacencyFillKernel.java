package io.quern.internal.kernel;

import io.quern.Device;
import io.quern.internal.device.QueueStream;
import io.quern.op.AdjacencyFill;

/** One back end's {@code AdjacencyFill}, prepared for a spec. Operands arrive checked and held. */
public interface AdjacencyFillKernel {
  /** Queues the work. */
  void run(QueueStream stream, AdjacencyFill.Operands operands);

  /** Chooses and loads whatever a spec may need. */
  @FunctionalInterface
  interface Factory {
    AdjacencyFillKernel prepare(Device device, AdjacencyFill.Spec spec);
  }
}
