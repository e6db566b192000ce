package io.quern.internal.kernel;

import io.quern.Buffer;
import io.quern.Device;
import io.quern.internal.device.QueueStream;
import io.quern.op.SegmentMax;

/** One back end's {@code SegmentMax}, prepared for a spec. Operands arrive checked and held. */
public interface SegmentMaxKernel {
  /** Bytes of scratch of a call with that many segments. */
  default long workspaceBytes(long segments) {
    return 0;
  }

  /** Queues the work. */
  void run(QueueStream stream, Buffer x, Buffer ids, Buffer out, Buffer workspace);

  /** Chooses and loads whatever a spec may need. */
  @FunctionalInterface
  interface Factory {
    SegmentMaxKernel prepare(Device device, SegmentMax.Spec spec);
  }
}
