package io.quern.internal.kernel;

import io.quern.Buffer;
import io.quern.Device;
import io.quern.internal.device.QueueStream;
import io.quern.op.EmbeddingGather;
import java.util.List;

/**
 * One back end's {@code EmbeddingGather}, prepared for a spec. Operands arrive checked and held.
 */
public interface EmbeddingGatherKernel {
  /**
   * Queues the work.
   *
   * @param table the only table, or null
   * @param tables the tables where {@code table} is null
   * @param tableIds which table each id belongs to, or null
   */
  void run(
      QueueStream stream,
      Buffer table,
      List<Buffer> tables,
      Buffer ids,
      Buffer tableIds,
      Buffer out);

  /** Chooses and loads whatever a spec may need. */
  @FunctionalInterface
  interface Factory {
    EmbeddingGatherKernel prepare(Device device, EmbeddingGather.Spec spec);
  }
}
