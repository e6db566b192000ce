package io.quern.bench.report;

import io.quern.timing.Statistics;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/** The tables of a report, for every form of it. */
final class Tables {
  private Tables() {}

  /**
   * A table.
   *
   * @param head names of the columns
   * @param rows cells as people read them, as many as there are columns
   */
  record Table(List<String> head, List<List<String>> rows) {}

  /** Of a ratio: {@code 2.31× [2.25, 2.40]}. */
  static String ratio(Statistics.Interval ratio) {
    return "%s× [%s, %s]"
        .formatted(
            Scale.significant(ratio.median()),
            Scale.significant(ratio.low()),
            Scale.significant(ratio.high()));
  }

  private static String micros(Statistics.Interval micros) {
    if (micros.low() == micros.high()) {
      return Scale.significant(micros.median()); // an old line, without the interval
    }
    return "%s [%s, %s]"
        .formatted(
            Scale.significant(micros.median()),
            Scale.significant(micros.low()),
            Scale.significant(micros.high()));
  }

  /** Every figure of an operator. */
  static Table figures(Report.Operator operator) {
    List<String> baselines = operator.baselines();
    List<String> head =
        new ArrayList<>(List.of("case", "by", "µs [95 %]", "GB/s", "% copy", "B/op"));
    boolean flops = operator.figures().stream().anyMatch(one -> one.flops() > 0);
    if (flops) {
      head.add("% FMA");
    }
    baselines.forEach(baseline -> head.add("× " + baseline));
    head.add("line");
    boolean mixed = operator.figures().stream().map(Figure::pages).distinct().count() > 1;
    List<List<String>> rows = new ArrayList<>();
    for (Figure figure : operator.figures()) {
      List<String> row = new ArrayList<>();
      row.add(figure.shape());
      row.add(
          figure.by()
              + (figure.threads() > 1 ? " t%d".formatted(figure.threads()) : "")
              + (mixed ? ", %s pages".formatted(figure.pages()) : ""));
      row.add(micros(figure.micros()));
      row.add(Scale.significant(figure.rate()));
      row.add(percent(figure.percentOfCopy().orElse(Double.NaN)));
      row.add(
          figure.line().maybe("allocated_bytes_per_op").isPresent()
              ? Scale.significant(figure.line().number("allocated_bytes_per_op"))
              : "");
      if (flops) {
        row.add(percent(figure.percentOfFma().orElse(Double.NaN)));
      }
      Map<String, Statistics.Interval> ratios = operator.ratios(figure);
      for (String baseline : baselines) {
        Statistics.Interval ratio = figure.quern() ? ratios.get(baseline) : null;
        row.add(ratio == null ? "" : ratio(ratio));
      }
      row.add(figure.line().shortly());
      rows.add(row);
    }
    return new Table(head, rows);
  }

  private static String percent(double value) {
    return Double.isNaN(value) ? "" : String.format(Locale.ROOT, "%.0f", value);
  }

  /** Where ours was measured to be slower than something, with the reason if one is known. */
  static Table losses(Report report, Notes notes) {
    List<List<String>> rows = new ArrayList<>();
    for (Report.Machine machine : report.machines()) {
      for (Report.Operator operator : machine.operators()) {
        for (Figure figure : operator.ours()) {
          operator
              .ratios(figure)
              .forEach(
                  (baseline, ratio) -> {
                    if (ratio.high() < 1) {
                      rows.add(
                          List.of(
                              figure.key().toString(),
                              baseline,
                              ratio(ratio),
                              notes
                                  .on(figure, baseline)
                                  .map(Notes.Note::text)
                                  .orElse("not explained yet"),
                              figure.line().shortly()));
                    }
                  });
        }
      }
    }
    return new Table(List.of("case", "slower than", "×", "reason", "line"), rows);
  }

  /** What was aimed at beside what was reached. */
  static Table targets(Report report) {
    List<List<String>> rows = new ArrayList<>();
    for (Report.Reached reached : report.targets()) {
      Notes.Target target = reached.target();
      boolean share = target.against().equals("copy") || target.against().equals("fma");
      rows.add(
          List.of(
              target.what(),
              "≥ %s%s %s"
                  .formatted(
                      Scale.significant(target.atLeast()), share ? " % of" : "×", target.against()),
              reached.shown(),
              reached.figure().isEmpty() ? "" : reached.met() ? "yes" : "missed",
              target.why(),
              reached.figure().map(figure -> figure.line().shortly()).orElse("")));
    }
    return new Table(List.of("target", "aimed at", "reached", "met", "why", "line"), rows);
  }

  /** Where and how figures were measured. */
  static Table environment(Report.Machine machine) {
    Map<String, String> shown = new LinkedHashMap<>();
    machine.environment().map("environment").forEach((name, value) -> shown.put(name, text(value)));
    List<List<String>> rows = new ArrayList<>();
    shown.forEach((name, value) -> rows.add(List.of(name, value)));
    return new Table(List.of("what", "value"), rows);
  }

  private static String text(Object value) {
    return switch (value) {
      case null -> "";
      case List<?> list -> String.join("\n", list.stream().map(Tables::text).toList());
      case Map<?, ?> map ->
          String.join(
              "\n",
              map.entrySet().stream()
                  .map(one -> one.getKey() + "=" + text(one.getValue()))
                  .toList());
      case Double number -> Scale.significant(number);
      default -> value.toString();
    };
  }

  /** Rooflines by their names in JSON, as a reader calls them. */
  private static final Map<String, String> ROOFLINES = new LinkedHashMap<>();

  static {
    ROOFLINES.put("copy_gb_per_s", "copy GB/s");
    ROOFLINES.put("read_gb_per_s", "read GB/s");
    ROOFLINES.put("random_rows_gb_per_s", "random rows GB/s");
    ROOFLINES.put("gpu_copy_gb_per_s", "GPU copy GB/s");
    ROOFLINES.put("gpu_kernel_copy_gb_per_s", "by a kernel GB/s");
    ROOFLINES.put("gpu_read_gb_per_s", "GPU read GB/s");
    ROOFLINES.put("gpu_pinned_read_gb_per_s", "page-locked read GB/s");
    ROOFLINES.put("gpu_smallest_kernel_us", "smallest kernel µs");
    ROOFLINES.put("gpu_graph_node_us", "in a graph µs");
  }

  /** The rooflines of each run, first and last; those that some run has. */
  static Table rooflines(Report.Machine machine) {
    List<String> names =
        ROOFLINES.keySet().stream()
            .filter(name -> machine.runs().stream().anyMatch(run -> !both(run, name).isEmpty()))
            .toList();
    List<String> head = new ArrayList<>(List.of("run", "commit", "threads"));
    names.forEach(name -> head.add(ROOFLINES.get(name)));
    head.addAll(List.of("state", "line"));
    List<List<String>> rows = new ArrayList<>();
    for (Line run : machine.runs()) {
      List<String> row = new ArrayList<>();
      row.add(run.text("run", run.file()));
      row.add(run.text("commit", "unknown"));
      row.add(
          run.maybe("rooflines_first.threads").isPresent()
              ? Scale.significant(run.number("rooflines_first.threads"))
              : "");
      names.forEach(name -> row.add(both(run, name)));
      row.add(
          run.flag("interrupted", false)
              ? "interrupted"
              : run.flag("unstable", false) ? "unstable" : "stable");
      row.add(run.shortly());
      rows.add(row);
    }
    return new Table(head, rows);
  }

  private static String both(Line run, String name) {
    return run.maybe("rooflines_first." + name).stream()
        .mapToObj(
            first ->
                Scale.significant(first)
                    + run.maybe("rooflines_last." + name).stream()
                        .mapToObj(last -> ", then " + Scale.significant(last))
                        .findFirst()
                        .orElse(""))
        .findFirst()
        .orElse("");
  }
}
