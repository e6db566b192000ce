package io.quern.internal.kernel;

import io.quern.Buffer;
import io.quern.Device;
import io.quern.internal.device.QueueStream;
import io.quern.op.ScatterRows;

/** One back end's {@code ScatterRows}, prepared for a spec. Operands arrive checked and held. */
public interface ScatterRowsKernel {
  /** Bytes of scratch for a call of so many rows. */
  default long workspaceBytes(long count) {
    return 0;
  }

  /**
   * Queues the work.
   *
   * @param workspace null where no scratch is needed
   */
  void run(QueueStream stream, Buffer x, Buffer ids, Buffer out, Buffer workspace);

  /** Chooses and loads whatever a spec may need. */
  @FunctionalInterface
  interface Factory {
    ScatterRowsKernel prepare(Device device, ScatterRows.Spec spec);
  }
}
