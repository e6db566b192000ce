package io.quern.internal.kernel;

import io.quern.Device;
import io.quern.internal.device.QueueStream;
import io.quern.op.DeleteGate;

/** One back end's {@code DeleteGate}, prepared for a spec. Operands arrive checked and held. */
public interface DeleteGateKernel {
  /** Queues the work. */
  void run(QueueStream stream, DeleteGate.Operands operands);

  /** Chooses and loads whatever a spec may need. */
  @FunctionalInterface
  interface Factory {
    DeleteGateKernel prepare(Device device, DeleteGate.Spec spec);
  }
}
