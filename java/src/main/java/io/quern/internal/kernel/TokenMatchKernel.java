package io.quern.internal.kernel;

import io.quern.Arithmetic;
import io.quern.Device;
import io.quern.internal.device.QueueStream;
import io.quern.op.TokenMatch;

/** One back end's {@code TokenMatch}, prepared for a spec. Operands arrive checked and held. */
public interface TokenMatchKernel {
  /** Bytes of scratch that a call of so many batch rows needs. */
  long workspaceBytes(long batch);

  /** See {@link TokenMatch#kernel()}. */
  String name();

  /** The name of a canonical kernel: why it is one where {@link Arithmetic#FAST} was asked for. */
  static String canonical(String kernel, TokenMatch.Spec spec, String reason) {
    return spec.arithmetic() == Arithmetic.CANONICAL
        ? kernel
        : "%s: FAST was asked for, but %s".formatted(kernel, reason);
  }

  /** Queues the work. */
  void run(QueueStream stream, TokenMatch.Operands operands);

  /** Chooses and loads whatever a spec may need. */
  @FunctionalInterface
  interface Factory {
    TokenMatchKernel prepare(Device device, TokenMatch.Spec spec);
  }
}
