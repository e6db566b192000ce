package io.quern.internal.kernel;

import io.quern.Buffer;
import io.quern.Device;
import io.quern.internal.device.QueueStream;
import io.quern.op.PonetChunks;
import io.quern.op.PonetPooling;

/** One back end's {@code PonetChunks}, prepared for a spec. Operands arrive checked and held. */
public interface PonetChunksKernel {
  /** Bytes of scratch of a pass over so many tokens. */
  long workspaceBytes(long tokens);

  /** Makes state and table those of a document of which nothing is known. */
  void start(QueueStream stream, Buffer state, Buffer segmentMax);

  /** Queues the first pass over a chunk. */
  void queries(QueueStream stream, PonetChunks.Queries operands);

  /** Queues the second pass over a chunk. */
  void keys(QueueStream stream, PonetChunks.Keys operands);

  /** Queues the third pass over a chunk. */
  void fuse(QueueStream stream, PonetChunks.Fusion operands);

  /** Chooses and loads whatever a spec may need. */
  @FunctionalInterface
  interface Factory {
    PonetChunksKernel prepare(Device device, PonetPooling.Spec spec);
  }
}
