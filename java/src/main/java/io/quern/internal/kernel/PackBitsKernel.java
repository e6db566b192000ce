package io.quern.internal.kernel;

import io.quern.Device;
import io.quern.internal.device.QueueStream;
import io.quern.op.PackBits;

/** One back end's {@code PackBits}, prepared for a spec. Operands arrive checked and held. */
public interface PackBitsKernel {
  /** Queues the work. */
  void run(QueueStream stream, PackBits.Operands operands);

  /** Chooses and loads whatever a spec may need. */
  @FunctionalInterface
  interface Factory {
    PackBitsKernel prepare(Device device, PackBits.Spec spec);
  }
}
