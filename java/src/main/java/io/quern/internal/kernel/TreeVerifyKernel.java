package io.quern.internal.kernel;

import io.quern.Device;
import io.quern.internal.device.QueueStream;
import io.quern.op.TreeVerify;

/** One back end's {@code TreeVerify}, prepared for a spec. Operands arrive checked and held. */
public interface TreeVerifyKernel {
  /** Queues the work. */
  void run(QueueStream stream, TreeVerify.Operands operands);

  /** Chooses and loads whatever a spec may need. */
  @FunctionalInterface
  interface Factory {
    TreeVerifyKernel prepare(Device device, TreeVerify.Spec spec);
  }
}
