package io.quern.internal.kernel;

import io.quern.Buffer;
import io.quern.Device;
import io.quern.internal.device.QueueStream;
import io.quern.op.WindowPool;

/** One back end's {@code WindowPool}, prepared for a spec. Operands arrive checked and held. */
public interface WindowPoolKernel {
  /**
   * Queues the work.
   *
   * @param length rows of each sequence in {@code x}
   */
  void run(QueueStream stream, Buffer x, long length, Buffer out);

  /** Chooses and loads whatever a spec may need. */
  @FunctionalInterface
  interface Factory {
    WindowPoolKernel prepare(Device device, WindowPool.Spec spec);
  }
}
