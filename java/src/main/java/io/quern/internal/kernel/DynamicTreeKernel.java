package io.quern.internal.kernel;

import io.quern.Device;
import io.quern.internal.device.QueueStream;
import io.quern.op.DynamicTree;

/** One back end's {@code DynamicTree}, prepared for a spec. Operands arrive checked and held. */
public interface DynamicTreeKernel {
  /** Queues the work. */
  void run(QueueStream stream, DynamicTree.Operands operands);

  /** Chooses and loads whatever a spec may need. */
  @FunctionalInterface
  interface Factory {
    DynamicTreeKernel prepare(Device device, DynamicTree.Spec spec);
  }
}
