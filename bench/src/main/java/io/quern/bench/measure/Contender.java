package io.quern.bench.measure;

import java.lang.foreign.MemorySegment;

/**
 * One way to compute a {@link Workload}, kept ready so that nothing but the computation is timed.
 */
public interface Contender extends AutoCloseable {
  /**
   * Instead of an input set: a few rows only, so that the JIT compiler sees thousands of calls
   * soon.
   */
  int FEW = -1;

  /** What tables and reports call it: a back end's id, or the name of a peer. */
  String name();

  /**
   * Computes the workload on one of its input sets. A GPU may still be at work when this returns.
   *
   * @param set from 0 to {@code inputSets() - 1}, or {@link #FEW}
   */
  void run(int set);

  /** Fills the output with NaNs, so that what a run leaves out is seen. */
  default void poison() {
    result().fill((byte) -1);
  }

  /** The dense f32 output of the last run, in host memory, after waiting for it. */
  MemorySegment result();

  /**
   * The time of several runs in a row.
   *
   * @param first input set of the first run; the following runs take the following sets
   * @param sets how many input sets there are
   * @return seconds, all runs together
   */
  default double seconds(int first, int runs, int sets) {
    long start = System.nanoTime();
    for (int i = 0; i < runs; i++) {
      run((first + i) % sets);
    }
    return (System.nanoTime() - start) * 1e-9;
  }

  @Override
  void close();
}
