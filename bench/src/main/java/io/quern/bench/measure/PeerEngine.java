package io.quern.bench.measure;

/**
 * Another library that can compute workloads, found through {@link java.util.ServiceLoader}. Its
 * code and dependencies are in a source root of their own.
 */
public interface PeerEngine {
  /** As {@link Peer#engine} says it. */
  String name();

  /**
   * Prepares a program.
   *
   * @param threads how many it may use
   */
  Contender open(Peer peer, Workload workload, int threads);
}
