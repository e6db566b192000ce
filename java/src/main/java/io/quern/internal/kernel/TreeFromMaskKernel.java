package io.quern.internal.kernel;

import io.quern.Device;
import io.quern.internal.device.QueueStream;
import io.quern.op.TreeFromMask;

/** One back end's {@code TreeFromMask}, prepared for a spec. Operands arrive checked and held. */
public interface TreeFromMaskKernel {
  /** Queues the work. */
  void run(QueueStream stream, TreeFromMask.Operands operands);

  /** Chooses and loads whatever a spec may need. */
  @FunctionalInterface
  interface Factory {
    TreeFromMaskKernel prepare(Device device, TreeFromMask.Spec spec);
  }
}
