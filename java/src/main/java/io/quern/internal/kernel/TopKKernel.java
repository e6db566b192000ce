package io.quern.internal.kernel;

import io.quern.Buffer;
import io.quern.Device;
import io.quern.internal.device.QueueStream;
import io.quern.op.TopK;

/** One back end's {@code TopK}, prepared for a spec. Operands arrive checked and held. */
public interface TopKKernel {
  /** Queues the work. */
  void run(QueueStream stream, Buffer x, Buffer values, Buffer indices);

  /** Chooses and loads whatever a spec may need. */
  @FunctionalInterface
  interface Factory {
    TopKKernel prepare(Device device, TopK.Spec spec);
  }
}
