package io.quern;

import io.quern.internal.cpu.HostGraph;
import io.quern.internal.cuda.RuntimeGraph;

/**
 * A captured sequence of work that can be launched again with the same operands. Must not outlive
 * its stream.
 */
public sealed interface Graph extends AutoCloseable permits HostGraph, RuntimeGraph {
  /**
   * Queues the whole sequence.
   *
   * @param stream the stream it was captured on
   * @throws IllegalArgumentException if it is another one
   * @throws IllegalStateException if the graph, the stream or a buffer of the sequence is closed
   */
  void launch(Stream stream);

  /** Releases the graph. Idempotent. */
  @Override
  void close();
}
