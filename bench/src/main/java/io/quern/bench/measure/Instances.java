package io.quern.bench.measure;

import java.lang.foreign.MemorySegment;
import java.util.List;
import java.util.Map;

/**
 * Several of one contender, each used in turn: what a stream keeps for itself lies somewhere else
 * for each, which alone makes up to a fifth of the time (vectors that straddle cache lines) and is
 * no difference between two builds.
 */
final class Instances implements Contender {
  /** So many that arrays in a row have most of the alignments there are. */
  static final int COUNT = 4;

  private final List<Contender> instances;
  private Contender current;
  private int runs;

  Instances(List<Contender> instances) {
    this.instances = instances;
    this.current = instances.getFirst();
  }

  private Contender next() {
    current = instances.get(runs++ % instances.size());
    return current;
  }

  @Override
  public String name() {
    return current.name();
  }

  @Override
  public boolean isBackend() {
    return true;
  }

  @Override
  public void run(int set) {
    next().run(set);
  }

  /** All runs by the same one. */
  @Override
  public double seconds(int first, int runs, int sets) {
    return next().seconds(first, runs, sets);
  }

  @Override
  public void poison() {
    current.poison();
  }

  @Override
  public Map<String, MemorySegment> results() {
    return current.results();
  }

  @Override
  public void close() {
    instances.forEach(Contender::close);
  }
}
