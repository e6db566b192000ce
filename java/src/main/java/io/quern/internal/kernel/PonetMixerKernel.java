package io.quern.internal.kernel;

import io.quern.Device;
import io.quern.internal.device.QueueStream;
import io.quern.op.PonetMixer;
import io.quern.op.PonetPooling;

/** One back end's {@code PonetMixer}, prepared for a spec. Operands arrive checked and held. */
public interface PonetMixerKernel {
  /** Bytes of scratch of a call with so many sequences and tokens. */
  long workspaceBytes(long sequences, long tokens);

  /** Queues the work. */
  void run(QueueStream stream, PonetMixer.Operands operands);

  /** Chooses and loads whatever a spec may need. */
  @FunctionalInterface
  interface Factory {
    PonetMixerKernel prepare(Device device, PonetPooling.Spec spec);
  }
}
