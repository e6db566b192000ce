package io.quern.internal.kernel;

import io.quern.Buffer;
import io.quern.Device;
import io.quern.internal.device.QueueStream;
import io.quern.op.PonetSegments;

/** One back end's {@code PonetSegments}, prepared for a spec. Operands arrive checked and held. */
public interface PonetSegmentsKernel {
  /** Queues the work. */
  void run(QueueStream stream, Buffer tokens, Buffer offsets, Buffer segmentIds, Buffer special);

  /** Chooses and loads whatever a spec may need. */
  @FunctionalInterface
  interface Factory {
    PonetSegmentsKernel prepare(Device device, PonetSegments.Spec spec);
  }
}
