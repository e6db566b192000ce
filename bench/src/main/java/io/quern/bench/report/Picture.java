package io.quern.bench.report;

import io.quern.timing.Statistics;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.stream.Collectors;

/**
 * A picture of a report.
 *
 * @param file its name as a file of its own
 * @param caption what it shows
 */
record Picture(String file, String caption, Svg svg) {
  /** More bars than this are too many to compare at a glance; the table has all. */
  private static final int MOST_BARS = 24;

  /** All pictures of an operator on a machine. */
  static List<Picture> of(int machineNumber, Report.Machine machine, Report.Operator operator) {
    List<Picture> pictures = new ArrayList<>();
    String stem = "m%d-%s-".formatted(machineNumber, fileName(operator.name()));
    for (String baseline : operator.baselines()) {
      List<Charts.Bar> bars = bars(operator, baseline);
      for (int from = 0; from < bars.size(); from += MOST_BARS) {
        int to = Math.min(bars.size(), from + MOST_BARS);
        String part = bars.size() <= MOST_BARS ? "" : " (%d to %d)".formatted(from + 1, to);
        String caption = "%s: times faster than %s%s".formatted(operator.name(), baseline, part);
        pictures.add(
            new Picture(
                stem + "vs-" + fileName(baseline) + (from == 0 ? "" : "-" + from) + ".svg",
                caption,
                Charts.speedUps(caption, bars.subList(from, to))));
      }
    }
    List<Figure> figures = operator.figures();
    if (figures.stream().map(Figure::bytes).distinct().count() > 1) {
      String caption = operator.name() + ": time of a call against the bytes it must move";
      Figure one = figures.getFirst();
      pictures.add(
          new Picture(
              stem + "latency.svg",
              caption,
              Charts.latency(caption, positive(figures), machine.copy(one.gpu(), one.threads()))));
    }
    List<Figure> rows =
        figures.stream()
            .filter(one -> one.parameter("row_bytes").orElse(0) > 0)
            .filter(one -> one.percentOfCopy().isPresent())
            .toList();
    if (rows.stream().map(one -> one.parameter("row_bytes")).distinct().count() > 1) {
      String caption = operator.name() + ": share of a copy's bandwidth against row bytes";
      pictures.add(new Picture(stem + "copy.svg", caption, Charts.copyShare(caption, rows)));
    }
    pictures.addAll(lengths(stem, machine, operator));
    roofline(stem, machine, operator).ifPresent(pictures::add);
    return pictures;
  }

  /**
   * Time against length, a picture for each choice of the other parameters that has several
   * lengths. What others compute where Quern has nothing of the kind, such as the attention that
   * pooling replaces, is drawn beside what agrees with it in every parameter that both have.
   */
  private static List<Picture> lengths(
      String stem, Report.Machine machine, Report.Operator operator) {
    Map<Map<String, Object>, List<Figure>> groups = new LinkedHashMap<>();
    for (Figure figure : operator.figures()) {
      if (figure.quern() && figure.parameter(Charts.LENGTH).orElse(0) > 0) {
        groups.putIfAbsent(others(figure), new ArrayList<>());
      }
    }
    List<Picture> pictures = new ArrayList<>();
    groups.forEach(
        (shared, figures) -> {
          operator.figures().stream()
              .filter(one -> others(one).equals(shared))
              .forEach(figures::add);
          if (figures.stream().map(one -> one.parameter(Charts.LENGTH)).distinct().count() < 2) {
            return;
          }
          Map<String, List<Figure>> series = Charts.series(figures);
          for (Report.Operator other : machine.operators()) {
            List<Figure> beside =
                other.figures().stream()
                    .filter(one -> other.figures().stream().noneMatch(Figure::quern))
                    .filter(one -> one.parameter(Charts.LENGTH).orElse(0) > 0)
                    .filter(one -> agree(others(one), shared))
                    .toList();
            Charts.series(beside)
                .forEach((name, line) -> series.put(other.name() + ", " + name, line));
          }
          String caption = operator.name() + ": time against length, " + said(shared);
          String number = pictures.isEmpty() ? "" : "-" + pictures.size();
          pictures.add(
              new Picture(
                  stem + "length" + number + ".svg", caption, Charts.lengths(caption, series)));
        });
    return pictures;
  }

  /** A case's parameters but its length. */
  private static Map<String, Object> others(Figure figure) {
    Map<String, Object> others = new LinkedHashMap<>(figure.line().map("parameters"));
    others.remove(Charts.LENGTH);
    return others;
  }

  private static boolean agree(Map<String, Object> some, Map<String, Object> others) {
    return some.entrySet().stream()
        .allMatch(one -> one.getValue().equals(others.getOrDefault(one.getKey(), one.getValue())));
  }

  private static String said(Map<String, Object> parameters) {
    return parameters.entrySet().stream()
        .map(
            one ->
                one.getKey()
                    + " "
                    + (one.getValue() instanceof Double number
                        ? Scale.significant(number)
                        : one.getValue()))
        .collect(Collectors.joining(", "));
  }

  private static Optional<Picture> roofline(
      String stem, Report.Machine machine, Report.Operator operator) {
    List<Figure> figures =
        operator.figures().stream().filter(one -> one.flops() > 0 && one.bytes() > 0).toList();
    OptionalDouble peak =
        figures.stream()
            .map(one -> one.line().maybe("fma_gflop_per_s"))
            .flatMapToDouble(OptionalDouble::stream)
            .filter(rate -> rate > 0)
            .max();
    if (figures.isEmpty() || peak.isEmpty()) {
      return Optional.empty();
    }
    OptionalDouble copy = machine.copy(figures.getFirst().gpu(), figures.getFirst().threads());
    if (copy.isEmpty()) {
      return Optional.empty();
    }
    String caption = operator.name() + ": roofline";
    return Optional.of(
        new Picture(
            stem + "roofline.svg",
            caption,
            Charts.roofline(caption, figures, copy.getAsDouble(), peak.getAsDouble())));
  }

  private static List<Figure> positive(List<Figure> figures) {
    return figures.stream().filter(one -> one.bytes() > 0).toList();
  }

  private static List<Charts.Bar> bars(Report.Operator operator, String baseline) {
    List<Charts.Bar> bars = new ArrayList<>();
    for (Figure figure : operator.ours()) {
      Statistics.Interval ratio = operator.ratios(figure).get(baseline);
      if (ratio != null) {
        String label =
            figure.shape()
                + (figure.by().equals("simd") ? "" : ", " + figure.by())
                + (figure.threads() > 1 ? ", t" + figure.threads() : "");
        bars.add(
            new Charts.Bar(
                label,
                ratio,
                "%s: %s %s (%s)"
                    .formatted(
                        figure.key(), Tables.ratio(ratio), baseline, figure.line().shortly())));
      }
    }
    return bars;
  }

  private static String fileName(String name) {
    return name.toLowerCase(Locale.ROOT).replaceAll("[^a-z0-9]+", "-");
  }
}
