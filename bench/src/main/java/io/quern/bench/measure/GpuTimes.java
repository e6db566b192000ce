package io.quern.bench.measure;

import io.quern.timing.GpuTiming;
import io.quern.timing.Statistics;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * What {@code GpuTimer} says of a contender, beside the paired samples.
 *
 * @param hot its data in the L2 cache, as far as they fit
 * @param cold its data evicted before each launch
 */
record GpuTimes(GpuTiming hot, GpuTiming cold) {
  /** For a line of a result file, in microseconds. */
  Map<String, Object> figures() {
    Map<String, Object> figures = new LinkedHashMap<>();
    figures.put("hot_us", interval(hot.gpu()));
    figures.put("cold_us", interval(cold.gpu()));
    figures.put("issue_us", interval(hot.issue()));
    figures.put("end_to_end_us", interval(hot.endToEnd()));
    hot.graph()
        .ifPresentOrElse(
            graph -> figures.put("graph_us", interval(graph)),
            () -> figures.put("no_graph", hot.noGraph()));
    figures.put("state_before", hot.before().toString());
    figures.put("state_after", cold.after().toString());
    return figures;
  }

  private static Map<String, Object> interval(Statistics.Interval interval) {
    Map<String, Object> figures = new LinkedHashMap<>();
    figures.put("median", interval.median());
    figures.put("low", interval.low());
    figures.put("high", interval.high());
    return figures;
  }
}
