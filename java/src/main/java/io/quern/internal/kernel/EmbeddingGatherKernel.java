package io.quern.internal.kernel;

import io.quern.Buffer;
import io.quern.Device;
import io.quern.internal.device.QueueStream;
import io.quern.op.EmbeddingGather;

/**
 * One back end's {@code EmbeddingGather}, prepared for a spec. Operands arrive checked and held.
 */
public interface EmbeddingGatherKernel {
  /**
   * Queues the work.
   *
   * @param tables the first {@code tableCount} are the tables
   * @param tableIds which table each id belongs to, or null
   */
  void run(
      QueueStream stream, Buffer[] tables, int tableCount, Buffer ids, Buffer tableIds, Buffer out);

  /** Chooses and loads whatever a spec may need. */
  @FunctionalInterface
  interface Factory {
    EmbeddingGatherKernel prepare(Device device, EmbeddingGather.Spec spec);
  }
}
