package io.quern.internal.kernel;

import io.quern.Device;
import io.quern.internal.device.QueueStream;
import io.quern.op.SourceMap;

/** One back end's {@code SourceMap}, prepared for a spec. Operands arrive checked and held. */
public interface SourceMapKernel {
  /** Queues the work. */
  void run(QueueStream stream, SourceMap.Operands operands);

  /** Chooses and loads whatever a spec may need. */
  @FunctionalInterface
  interface Factory {
    SourceMapKernel prepare(Device device, SourceMap.Spec spec);
  }
}
