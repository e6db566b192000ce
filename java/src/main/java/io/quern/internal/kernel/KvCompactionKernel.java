package io.quern.internal.kernel;

import io.quern.Buffer;
import io.quern.Device;
import io.quern.internal.device.QueueStream;
import io.quern.op.KvCompaction;

/** One back end's {@code KvCompaction}, prepared for a spec. Operands arrive checked and held. */
public interface KvCompactionKernel {
  /**
   * Queues the work.
   *
   * @param caches the first {@code cacheCount} are the caches
   */
  void run(QueueStream stream, KvCompaction.Operands operands, Buffer[] caches, int cacheCount);

  /** Chooses and loads whatever a spec may need. */
  @FunctionalInterface
  interface Factory {
    KvCompactionKernel prepare(Device device, KvCompaction.Spec spec);
  }
}
