package io.quern.internal.kernel;

import io.quern.Device;
import io.quern.internal.device.QueueStream;
import io.quern.op.BeamExpand;

/** One back end's {@code BeamExpand}, prepared for a spec. Operands arrive checked and held. */
public interface BeamExpandKernel {
  /** Queues the work. */
  void run(QueueStream stream, BeamExpand.Operands operands);

  /** Chooses and loads whatever a spec may need. */
  @FunctionalInterface
  interface Factory {
    BeamExpandKernel prepare(Device device, BeamExpand.Spec spec);
  }
}
