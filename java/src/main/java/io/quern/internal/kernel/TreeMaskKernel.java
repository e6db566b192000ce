package io.quern.internal.kernel;

import io.quern.Device;
import io.quern.internal.device.QueueStream;
import io.quern.op.TreeMask;

/** One back end's {@code TreeMask}, prepared for a spec. Operands arrive checked and held. */
public interface TreeMaskKernel {
  /** Queues the work. */
  void run(QueueStream stream, TreeMask.Operands operands);

  /** Chooses and loads whatever a spec may need. */
  @FunctionalInterface
  interface Factory {
    TreeMaskKernel prepare(Device device, TreeMask.Spec spec);
  }
}
