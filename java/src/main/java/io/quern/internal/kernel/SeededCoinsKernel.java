package io.quern.internal.kernel;

import io.quern.Buffer;
import io.quern.DType;
import io.quern.Device;
import io.quern.internal.device.QueueStream;

/** One back end's {@code SeededCoins}, prepared. Operands arrive checked and held. */
public interface SeededCoinsKernel {
  /** Queues the work. */
  void run(
      QueueStream stream,
      Buffer seeds,
      Buffer positions,
      Buffer offsets,
      Buffer coins,
      Buffer finals);

  /** Chooses and loads whatever that output may need. */
  @FunctionalInterface
  interface Factory {
    SeededCoinsKernel prepare(Device device, DType out);
  }
}
