package io.quern.timing;

import java.util.List;
import java.util.Optional;

/**
 * What launches took: three times that are never one another, all in microseconds per launch, one
 * figure per sample in the order in which they were taken.
 *
 * @param gpuMicros between two events around queued launches, on the GPU's clock
 * @param issueMicros of the calling thread, until the call came back
 * @param endToEndMicros of the calling thread, until the work was done
 * @param graphMicros like {@code gpuMicros} of launches replayed as a graph; empty where there is
 *     none
 * @param noGraph why there is none, or the empty string
 * @param settings what was asked for
 * @param before the GPU before the first sample
 * @param after and after the last
 */
public record GpuTiming(
    List<Double> gpuMicros,
    List<Double> issueMicros,
    List<Double> endToEndMicros,
    List<Double> graphMicros,
    String noGraph,
    GpuTimer.Settings settings,
    GpuState before,
    GpuState after) {
  /** Copies the lists. */
  public GpuTiming {
    gpuMicros = List.copyOf(gpuMicros);
    issueMicros = List.copyOf(issueMicros);
    endToEndMicros = List.copyOf(endToEndMicros);
    graphMicros = List.copyOf(graphMicros);
  }

  /** GPU time: the median with its 95 % interval. */
  public Statistics.Interval gpu() {
    return interval(gpuMicros);
  }

  /** Issue time. */
  public Statistics.Interval issue() {
    return interval(issueMicros);
  }

  /** End-to-end time of a single launch and its wait. */
  public Statistics.Interval endToEnd() {
    return interval(endToEndMicros);
  }

  /** GPU time as a graph node. */
  public Optional<Statistics.Interval> graph() {
    return graphMicros.isEmpty() ? Optional.empty() : Optional.of(interval(graphMicros));
  }

  private static Statistics.Interval interval(List<Double> micros) {
    return Statistics.bootstrapMedian(micros.stream().mapToDouble(d -> d).toArray());
  }

  @Override
  public String toString() {
    return "GPU %s, issue %s, end to end %s, %s (µs, median [95 %%])"
        .formatted(
            text(gpu()),
            text(issue()),
            text(endToEnd()),
            graph().map(graph -> "in a graph " + text(graph)).orElse("no graph: " + noGraph));
  }

  private static String text(Statistics.Interval micros) {
    return "%.2f [%.2f, %.2f]".formatted(micros.median(), micros.low(), micros.high());
  }
}
