package io.quern.internal.kernel;

import io.quern.Device;
import io.quern.internal.device.QueueStream;
import io.quern.op.SampleRows;

/** One back end's {@code SampleRows}, prepared for a spec. Operands arrive checked and held. */
public interface SampleRowsKernel {
  /** Queues the work. */
  void run(QueueStream stream, SampleRows.Operands operands);

  /** Chooses and loads whatever a spec may need. */
  @FunctionalInterface
  interface Factory {
    SampleRowsKernel prepare(Device device, SampleRows.Spec spec);
  }
}
