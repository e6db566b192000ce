package io.quern.bench.measure;

import io.quern.timing.Statistics;
import java.util.List;

/**
 * What one contender took.
 *
 * @param name of the contender
 * @param backend whether it is Quern's
 * @param micros microseconds of a run, one figure per sample, in the order in which they were taken
 * @param cpuMicros the part of them in which the calling thread had a core; what preempts it does
 *     not count, but all else that slows it down does
 * @param runsPerSample how many runs a sample is the mean of
 * @param allocatedBytes heap bytes that a run allocated in the calling thread
 */
public record Timing(
    String name,
    boolean backend,
    List<Double> micros,
    List<Double> cpuMicros,
    int runsPerSample,
    long allocatedBytes) {
  /** Copies the samples. */
  public Timing {
    micros = List.copyOf(micros);
    cpuMicros = List.copyOf(cpuMicros);
  }

  /** Microseconds that p percent of the samples stayed under. */
  public double percentile(double p) {
    return Statistics.percentile(micros.stream().mapToDouble(d -> d).toArray(), p);
  }

  /** The same of the time on a core. */
  public double cpuPercentile(double p) {
    return Statistics.percentile(cpuMicros.stream().mapToDouble(d -> d).toArray(), p);
  }

  /** Microseconds of a run: the median with its 95 % interval. */
  public Statistics.Interval median() {
    return Statistics.bootstrapMedian(micros.stream().mapToDouble(d -> d).toArray());
  }

  /** GB/s at the median. */
  public double gigabytesPerSecond(long bytes) {
    return bytes / percentile(50) * 1e-3;
  }

  /**
   * How many times faster this was than another that was measured beside it, from the pairs of
   * samples taken next to each other.
   */
  public Statistics.Interval timesFasterThan(Timing other) {
    double[] ratios = new double[micros.size()];
    for (int i = 0; i < ratios.length; i++) {
      ratios[i] = other.micros.get(i) / micros.get(i);
    }
    return Statistics.bootstrapMedian(ratios);
  }
}
