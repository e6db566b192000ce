package io.quern.bench.measure;

import io.quern.timing.Statistics;
import java.io.PrintStream;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Collectors;

/** Figures under headings, aligned for a fixed-width screen. */
public final class ResultTable {
  private final List<List<String>> rows = new ArrayList<>();

  public ResultTable() {
    rows.add(
        List.of(
            "operator",
            "shape",
            "by",
            "µs",
            "GB/s",
            "% memcpy",
            "GFLOP/s",
            "% FMA",
            "B/op",
            "times faster than"));
  }

  /**
   * Adds what the contenders of one workload took; those that are not Quern's are what the others
   * are compared with.
   *
   * @param rooflines of the run
   */
  public void add(Workload workload, Comparison.Result result, Rooflines rooflines) {
    for (Timing timing : result.timings()) {
      double gigaflops = workload.flops() / timing.percentile(50) * 1e-3;
      rows.add(
          List.of(
              workload.operator(),
              workload.shape(),
              timing.name(),
              "%.1f".formatted(timing.percentile(50)),
              "%.2f".formatted(timing.gigabytesPerSecond(workload.bytes())),
              "%.0f".formatted(100 * rooflines.shareOfCopy(workload, timing, result.memcpy())),
              workload.flops() == 0 ? "" : "%.1f".formatted(gigaflops),
              workload.flops() == 0 ? "" : "%.0f".formatted(100 * gigaflops / result.fmaPeak()),
              Long.toString(timing.allocatedBytes()),
              timing.backend() ? ratios(timing, result.baselines()) : ""));
    }
  }

  private static String ratios(Timing timing, List<Timing> baselines) {
    return baselines.stream()
        .map(
            baseline -> {
              Statistics.Interval ratio = timing.timesFasterThan(baseline);
              return "%s %.2f [%.2f, %.2f]"
                  .formatted(baseline.name(), ratio.median(), ratio.low(), ratio.high());
            })
        .collect(Collectors.joining("; "));
  }

  /** Prints the table, if there is any figure; operator and shape are not said twice in a row. */
  public void print(PrintStream out) {
    if (rows.size() == 1) {
      return;
    }
    int columns = rows.getFirst().size();
    int[] widths = new int[columns];
    for (List<String> row : rows) {
      for (int i = 0; i < columns; i++) {
        widths[i] = Math.max(widths[i], row.get(i).length());
      }
    }
    List<String> previous = null;
    for (List<String> row : rows) {
      boolean same = previous != null && row.subList(0, 2).equals(previous.subList(0, 2));
      StringBuilder line = new StringBuilder();
      for (int i = 0; i < columns; i++) {
        String cell = same && i < 2 ? "" : row.get(i);
        // Words to the left, figures to the right.
        boolean words = i < 3 || i == columns - 1;
        line.append(("%" + (words ? "-" : "") + widths[i] + "s").formatted(cell)).append("  ");
      }
      out.println(line.toString().stripTrailing());
      previous = row;
    }
  }
}
