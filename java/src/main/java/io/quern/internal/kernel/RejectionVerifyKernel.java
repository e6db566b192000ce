package io.quern.internal.kernel;

import io.quern.Device;
import io.quern.internal.device.QueueStream;
import io.quern.op.RejectionVerify;

/**
 * One back end's {@code RejectionVerify}, prepared for a spec. Operands arrive checked and held.
 */
public interface RejectionVerifyKernel {
  /** Queues the work. */
  void run(QueueStream stream, RejectionVerify.Operands operands);

  /** Chooses and loads whatever a spec may need. */
  @FunctionalInterface
  interface Factory {
    RejectionVerifyKernel prepare(Device device, RejectionVerify.Spec spec);
  }
}
