package io.quern.internal.kernel;

import io.quern.Device;
import io.quern.internal.device.QueueStream;
import io.quern.op.Partition;

/** One back end's {@code Partition}, prepared for a spec. Operands arrive checked and held. */
public interface PartitionKernel {
  /** Bytes of scratch that a call of so many batch rows needs. */
  long workspaceBytes(long batch);

  /** Queues the work. */
  void run(QueueStream stream, Partition.Operands operands);

  /** Chooses and loads whatever a spec may need. */
  @FunctionalInterface
  interface Factory {
    PartitionKernel prepare(Device device, Partition.Spec spec);
  }
}
