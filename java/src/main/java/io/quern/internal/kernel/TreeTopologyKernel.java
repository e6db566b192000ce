package io.quern.internal.kernel;

import io.quern.Device;
import io.quern.internal.device.QueueStream;
import io.quern.op.TreeTopology;

/** One back end's {@code TreeTopology}, prepared for a spec. Operands arrive checked and held. */
public interface TreeTopologyKernel {
  /** Queues the work. */
  void run(QueueStream stream, TreeTopology.Operands operands);

  /** Chooses and loads whatever a spec may need. */
  @FunctionalInterface
  interface Factory {
    TreeTopologyKernel prepare(Device device, TreeTopology.Spec spec);
  }
}
