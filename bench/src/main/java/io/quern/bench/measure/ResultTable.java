package io.quern.bench.measure;

import java.io.PrintStream;
import java.util.ArrayList;
import java.util.List;

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
            "× segment loop",
            "× array loop",
            "B/op"));
  }

  /**
   * Adds what the contenders of one workload took.
   *
   * @param result of the segment loop first, the array loop second, then the others
   * @param rooflines of the run
   */
  public void add(Workload workload, Comparison.Result result, Rooflines rooflines) {
    Timing segmentLoop = result.timings().get(0);
    Timing arrayLoop = result.timings().get(1);
    for (Timing timing : result.timings()) {
      rows.add(
          List.of(
              workload.operator(),
              workload.shape(),
              timing.name(),
              "%.1f".formatted(timing.percentile(50)),
              "%.2f".formatted(timing.gigabytesPerSecond(workload.bytes())),
              "%.0f".formatted(100 * rooflines.shareOfCopy(workload, timing, result.memcpy())),
              ratio(timing, segmentLoop),
              ratio(timing, arrayLoop),
              Long.toString(timing.allocatedBytes())));
    }
  }

  private static String ratio(Timing timing, Timing baseline) {
    if (timing.name().equals(baseline.name())) {
      return "1";
    }
    Statistics.Interval ratio = timing.timesFasterThan(baseline);
    return "%.2f [%.2f, %.2f]".formatted(ratio.median(), ratio.low(), ratio.high());
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
        line.append(("%" + (i < 3 ? "-" : "") + widths[i] + "s").formatted(cell)).append("  ");
      }
      out.println(line.toString().stripTrailing());
      previous = row;
    }
  }
}
