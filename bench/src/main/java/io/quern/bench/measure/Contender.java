package io.quern.bench.measure;

import io.quern.bench.verify.Tolerance;
import java.lang.foreign.MemorySegment;
import java.util.Map;
import java.util.Optional;

/**
 * One way to compute a {@link Workload}, kept ready so that nothing but the computation is timed.
 */
public interface Contender extends AutoCloseable {
  /**
   * Instead of an input set: a few rows only, so that the JIT compiler sees thousands of calls
   * soon.
   */
  int FEW = -1;

  /** What tables and reports call it: a back end's id, or the name of a loop or a peer. */
  String name();

  /** Whether this is Quern; everything else is what Quern is compared with. */
  default boolean isBackend() {
    return false;
  }

  /** How close its outputs have to be to those of the first contender: the same bits. */
  default Tolerance tolerance() {
    return new Tolerance.Exact();
  }

  /**
   * Computes the workload on one of its input sets. A GPU may still be at work when this returns.
   *
   * @param set from 0 to {@code inputSets() - 1}, or {@link #FEW} where the workload knows it
   */
  void run(int set);

  /** Fills the outputs so that what a run leaves out is seen. */
  void poison();

  /**
   * The outputs of the last run, by the names that the workload gives them, in host memory, after
   * waiting for them; a peer may lack some.
   */
  Map<String, MemorySegment> results();

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

  /**
   * On a GPU, its times one by one; nothing elsewhere.
   *
   * @param sets how many input sets there are
   */
  default Optional<GpuTimes> gpuTimes(int sets) {
    return Optional.empty();
  }

  @Override
  void close();
}
