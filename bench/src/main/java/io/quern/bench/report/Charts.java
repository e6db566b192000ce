package io.quern.bench.report;

import io.quern.timing.Statistics;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.OptionalDouble;
import java.util.function.ToDoubleFunction;

/** The pictures of a report. */
final class Charts {
  /** The parameter of a case that says how many elements a sequence has. */
  static final String LENGTH = "length";

  static final int MARGIN = 10;
  static final int LEFT = 46;
  static final int PLOT_TOP = MARGIN + 14;
  private static final int PLOT_HEIGHT = 210;
  static final int LEGEND_LINE = 15;
  private static final int BAR_ROW = 36;
  private static final int LABEL_LINE = 13;

  /** Calls that stay in a cache can be far above a copy; they would leave no room for others. */
  private static final double MOST_PERCENT = 200;

  private static final int LABEL_LETTERS =
      (int) ((Svg.WIDTH - 2 * MARGIN) / (Svg.SMALL_FONT * Svg.LETTER));
  private static final String[] COLOURS = {
    Svg.BLUE, Svg.VERMILION, Svg.GREEN, Svg.PURPLE, Svg.SKY, Svg.GREY
  };

  private Charts() {}

  /**
   * One bar: how many times faster.
   *
   * @param label of the case
   * @param says all of it, with the line that it is taken from
   */
  record Bar(String label, Statistics.Interval ratio, String says) {
    String colour() {
      return ratio.low() > 1 ? Svg.BLUE : ratio.high() < 1 ? Svg.VERMILION : Svg.GREY;
    }

    String verdict() {
      return ratio.low() > 1 ? "" : ratio.high() < 1 ? " loss" : " ambiguous";
    }
  }

  /** Bars of speed-up from 1 to the right, losses to the left, with their intervals. */
  static Svg speedUps(String title, List<Bar> bars) {
    int top = 34;
    int labelled = bars.stream().mapToInt(bar -> lines(bar.label()).size() - 1).sum();
    Svg svg = new Svg(title, top + bars.size() * BAR_ROW + labelled * LABEL_LINE + 26);
    List<Double> shown = new ArrayList<>(List.of(0.8, 2.0));
    bars.forEach(bar -> shown.addAll(List.of(bar.ratio().low(), bar.ratio().high())));
    double least = shown.stream().mapToDouble(d -> d).min().orElse(1);
    double most = shown.stream().mapToDouble(d -> d).max().orElse(1);
    Scale x = new Scale(least * 0.95, most * 1.1, MARGIN, Svg.WIDTH - 92.0);
    double bottom = svgBottom(top, bars.size(), labelled);
    for (double tick : ticksOf(x)) {
      svg.line(x.at(tick), top - 6, x.at(tick), bottom, tick == 1 ? Svg.INK : Svg.FAINT, 1);
      svg.text(
          x.at(tick), top - 10, "middle", Svg.SMALL_FONT, Svg.INK, Scale.significant(tick) + "×");
    }
    double y = top;
    for (Bar bar : bars) {
      svg.group(bar.says());
      for (String line : lines(bar.label())) {
        y += LABEL_LINE;
        svg.text(MARGIN, y, "start", Svg.SMALL_FONT, Svg.INK, line);
      }
      Statistics.Interval ratio = bar.ratio();
      double one = x.at(1);
      double end = x.at(ratio.median());
      svg.rect(Math.min(one, end), y + 4, Math.max(1, Math.abs(end - one)), 10, bar.colour());
      svg.line(x.at(ratio.low()), y + 9, x.at(ratio.high()), y + 9, Svg.INK, 1.5);
      svg.line(x.at(ratio.low()), y + 6, x.at(ratio.low()), y + 12, Svg.INK, 1.5);
      svg.line(x.at(ratio.high()), y + 6, x.at(ratio.high()), y + 12, Svg.INK, 1.5);
      svg.text(
          Svg.WIDTH - MARGIN,
          y + 13,
          "end",
          Svg.FONT,
          bar.colour(),
          Scale.significant(ratio.median()) + "×" + bar.verdict());
      svg.endGroup();
      y += BAR_ROW - LABEL_LINE;
    }
    svg.text(
        MARGIN,
        bottom + 18,
        "start",
        Svg.SMALL_FONT,
        Svg.INK,
        "blue: faster; orange: a loss; grey: the interval has 1 in it");
    return svg;
  }

  private static double svgBottom(int top, int bars, int extraLines) {
    return top + bars * BAR_ROW + extraLines * LABEL_LINE + 2.0;
  }

  private static List<Double> ticksOf(Scale x) {
    List<Double> ticks = new ArrayList<>();
    double last = Double.NEGATIVE_INFINITY;
    List<Double> candidates = new ArrayList<>();
    for (double decade : new double[] {0.001, 0.01, 0.1, 1, 10, 100, 1000, 10000}) {
      for (int digit : new int[] {1, 2, 5}) {
        candidates.add(decade * digit);
      }
    }
    for (double tick : candidates) {
      boolean inside = tick >= x.low() && tick <= x.high();
      boolean room = x.at(tick) - last >= 30 && (tick >= 1 || x.at(1) - x.at(tick) >= 30);
      if (inside && (tick == 1 || room)) {
        ticks.add(tick);
        last = x.at(tick);
      }
    }
    return ticks;
  }

  private static List<String> lines(String label) {
    List<String> lines = new ArrayList<>();
    String rest = label;
    while (rest.length() > LABEL_LETTERS) {
      int cut = rest.lastIndexOf('-', LABEL_LETTERS - 1);
      cut = cut < LABEL_LETTERS / 2 ? LABEL_LETTERS - 1 : cut;
      lines.add(rest.substring(0, cut + 1));
      rest = rest.substring(cut + 1);
    }
    lines.add(rest);
    return lines;
  }

  /** Points by the name of their series; ours come first and have the same marks everywhere. */
  static Map<String, List<Figure>> series(List<Figure> figures) {
    Map<String, List<Figure>> series = new LinkedHashMap<>();
    figures.stream()
        .sorted(Comparator.comparing(one -> one.quern() ? one.by().equals("scalar") ? 1 : 0 : 2))
        .forEach(
            figure -> {
              String threads =
                  figure.threads() > 1 ? ", %d threads".formatted(figure.threads()) : "";
              series
                  .computeIfAbsent(figure.by() + threads, missing -> new ArrayList<>())
                  .add(figure);
            });
    return series;
  }

  /** Microseconds over the bytes of a call, both logarithmic, with the time that a copy takes. */
  static Svg latency(String title, List<Figure> figures, OptionalDouble copy) {
    List<Double> xs = new ArrayList<>(figures.stream().map(Figure::bytes).toList());
    List<Double> ys = new ArrayList<>(figures.stream().map(one -> one.micros().median()).toList());
    copy.ifPresent(rate -> xs.forEach(bytes -> ys.add(bytes / rate * 1e-3)));
    Map<String, List<Figure>> series = series(figures);
    Svg svg = new Svg(title, plotBottom() + 36 + legendHeight(series.size() + 1));
    Scale x = Scale.around(xs, 10, LEFT, Svg.WIDTH - MARGIN);
    Scale y = Scale.around(ys, 10, plotBottom(), PLOT_TOP);
    axes(svg, x, y, "bytes of a call", "µs of a call", Scale::compact, Scale::compact);
    copy.ifPresent(
        rate -> {
          double from = Math.max(x.low(), y.low() * rate * 1e3);
          double to = Math.min(x.high(), y.high() * rate * 1e3);
          if (from < to) {
            svg.dashed(
                x.at(from), y.at(from / rate * 1e-3), x.at(to), y.at(to / rate * 1e-3), Svg.INK);
          }
        });
    points(svg, series, x, y, Figure::bytes, one -> one.micros().median());
    legend(
        svg,
        List.copyOf(series.keySet()),
        copy.isPresent()
            ? "- - bytes at the copy roofline of %s GB/s"
                .formatted(Scale.significant(copy.getAsDouble()))
            : "");
    return svg;
  }

  /**
   * Milliseconds over the length of a sequence, both logarithmic, a line for each series.
   *
   * @param series by name, each in any order
   */
  static Svg lengths(String title, Map<String, List<Figure>> series) {
    ToDoubleFunction<Figure> length = one -> one.parameter(LENGTH).orElseThrow();
    ToDoubleFunction<Figure> millis = one -> one.micros().median() * 1e-3;
    List<Figure> figures = series.values().stream().flatMap(List::stream).toList();
    Svg svg = new Svg(title, plotBottom() + 36 + legendHeight(series.size()));
    Scale x =
        Scale.around(
            figures.stream().map(length::applyAsDouble).toList(),
            2,
            LEFT,
            Svg.WIDTH - MARGIN - 14.0);
    Scale y =
        Scale.around(
            figures.stream().map(millis::applyAsDouble).toList(), 10, plotBottom(), PLOT_TOP);
    axis(svg, x, "length", powersOfTwo(x), Charts::thousands);
    yAxis(svg, y, "ms of a call", Scale::significant);
    int number = 0;
    for (List<Figure> one : series.values()) {
      svg.polyline(
          one.stream()
              .sorted(Comparator.comparingDouble(length))
              .map(
                  figure ->
                      new double[] {
                        x.at(length.applyAsDouble(figure)), y.at(millis.applyAsDouble(figure))
                      })
              .toList(),
          colour(number++),
          false);
    }
    points(svg, series, x, y, length, millis);
    legend(svg, List.copyOf(series.keySet()), "");
    return svg;
  }

  /** 4096 as 4k. */
  private static String thousands(double length) {
    return length < 1024 ? Scale.significant(length) : Scale.significant(length / 1024) + "k";
  }

  /** Share of what a copy of as many bytes reaches, over the bytes of a row. */
  static Svg copyShare(String title, List<Figure> figures) {
    List<Double> xs =
        figures.stream().map(one -> one.parameter("row_bytes").orElseThrow()).toList();
    double most =
        figures.stream().mapToDouble(one -> one.percentOfCopy().orElse(0)).max().orElse(0);
    double top = Math.clamp(Math.ceil(most / 50) * 50, 100, MOST_PERCENT);
    Map<String, List<Figure>> series = series(figures);
    Svg svg =
        new Svg(title, plotBottom() + 36 + legendHeight(series.size() + (most > top ? 1 : 0)));
    Scale x = Scale.around(xs, 2, LEFT, Svg.WIDTH - MARGIN - 8.0);
    axis(svg, x, "bytes of a row", powersOfTwo(x), Scale::significant);
    for (double percent = 0; percent <= top; percent += 50) {
      double y = linear(percent, top);
      svg.line(LEFT, y, Svg.WIDTH - MARGIN, y, percent == 100 ? Svg.INK : Svg.FAINT, 1);
      svg.text(LEFT - 5, y + 4, "end", Svg.SMALL_FONT, Svg.INK, Scale.significant(percent));
    }
    svg.text(MARGIN, MARGIN + 2, "start", Svg.FONT, Svg.INK, "% of the bandwidth of a copy");
    int number = 0;
    for (List<Figure> one : series.values()) {
      for (Figure figure : one) {
        svg.mark(
            number,
            x.at(figure.parameter("row_bytes").orElseThrow()),
            linear(Math.min(top, figure.percentOfCopy().orElse(0)), top),
            colour(number),
            says(figure));
      }
      number++;
    }
    legend(
        svg,
        List.copyOf(series.keySet()),
        most > top ? "marks at %.0f %% are above it: see the table".formatted(top) : "");
    return svg;
  }

  private static double linear(double value, double top) {
    return plotBottom() - value / top * (plotBottom() - PLOT_TOP);
  }

  private static List<Double> powersOfTwo(Scale x) {
    List<Double> ticks = new ArrayList<>();
    for (double tick = x.low(); tick <= x.high() * 1.001; tick *= 2) {
      if (ticks.isEmpty() || x.at(tick) - x.at(ticks.getLast()) >= 32) {
        ticks.add(tick);
      }
    }
    return ticks;
  }

  /**
   * GFLOP/s over operations per byte, under what memory and arithmetic allow.
   *
   * @param copy GB/s
   * @param peak GFLOP/s of multiply-adds in registers
   */
  static Svg roofline(String title, List<Figure> figures, double copy, double peak) {
    ToDoubleFunction<Figure> intensity = one -> one.flops() / one.bytes();
    ToDoubleFunction<Figure> rate = one -> one.flops() / one.micros().median() * 1e-3;
    List<Double> xs = new ArrayList<>(figures.stream().map(intensity::applyAsDouble).toList());
    xs.add(peak / copy);
    List<Double> ys = new ArrayList<>(figures.stream().map(rate::applyAsDouble).toList());
    ys.add(peak);
    Map<String, List<Figure>> series = series(figures);
    Svg svg = new Svg(title, plotBottom() + 36 + legendHeight(series.size() + 1));
    Scale x = Scale.around(xs, 10, LEFT, Svg.WIDTH - MARGIN);
    Scale y = Scale.around(ys, 10, plotBottom(), PLOT_TOP);
    axes(svg, x, y, "operations per byte", "GFLOP/s", Scale::compact, Scale::compact);
    double ridge = Math.clamp(peak / copy, x.low(), x.high());
    double from = Math.max(x.low(), y.low() / copy);
    if (from < ridge) {
      svg.dashed(x.at(from), y.at(from * copy), x.at(ridge), y.at(ridge * copy), Svg.INK);
    }
    svg.dashed(x.at(ridge), y.at(peak), x.at(x.high()), y.at(peak), Svg.INK);
    points(svg, series, x, y, intensity, rate);
    legend(
        svg,
        List.copyOf(series.keySet()),
        "- - copy at %s GB/s, multiply-adds at %s GFLOP/s"
            .formatted(Scale.significant(copy), Scale.significant(peak)));
    return svg;
  }

  /** The series of that number has it in every picture. */
  static String colour(int number) {
    return COLOURS[number % COLOURS.length];
  }

  static int plotBottom() {
    return PLOT_TOP + PLOT_HEIGHT;
  }

  static int legendHeight(int entries) {
    return entries * LEGEND_LINE + 4;
  }

  private interface Label {
    String of(double value);
  }

  private static void axes(
      Svg svg, Scale x, Scale y, String xName, String yName, Label xLabel, Label yLabel) {
    axis(svg, x, xName, x.ticks(), xLabel);
    yAxis(svg, y, yName, yLabel);
  }

  private static void yAxis(Svg svg, Scale y, String name, Label label) {
    for (double tick : y.ticks()) {
      yTick(svg, y.at(tick), label.of(tick));
    }
    yName(svg, name);
  }

  private static void axis(Svg svg, Scale x, String name, List<Double> ticks, Label label) {
    ticks.forEach(tick -> xTick(svg, x.at(tick), label.of(tick)));
    xName(svg, name);
  }

  static void xTick(Svg svg, double at, String label) {
    svg.line(at, PLOT_TOP, at, plotBottom(), Svg.FAINT, 1);
    String anchor = at > Svg.WIDTH - MARGIN - 12 ? "end" : "middle";
    svg.text(at, plotBottom() + 13, anchor, Svg.SMALL_FONT, Svg.INK, label);
  }

  static void yTick(Svg svg, double at, String label) {
    svg.line(LEFT, at, Svg.WIDTH - MARGIN, at, Svg.FAINT, 1);
    svg.text(LEFT - 5, at + 4, "end", Svg.SMALL_FONT, Svg.INK, label);
  }

  static void xName(Svg svg, String name) {
    double middle = (LEFT + Svg.WIDTH - MARGIN) / 2.0;
    svg.text(middle, plotBottom() + 27, "middle", Svg.FONT, Svg.INK, name);
  }

  static void yName(Svg svg, String name) {
    svg.text(MARGIN, MARGIN + 2, "start", Svg.FONT, Svg.INK, name);
  }

  private static void points(
      Svg svg,
      Map<String, List<Figure>> series,
      Scale x,
      Scale y,
      ToDoubleFunction<Figure> over,
      ToDoubleFunction<Figure> value) {
    int number = 0;
    for (List<Figure> one : series.values()) {
      for (Figure figure : one) {
        svg.mark(
            number,
            x.at(over.applyAsDouble(figure)),
            y.at(value.applyAsDouble(figure)),
            colour(number),
            says(figure));
      }
      number++;
    }
  }

  /** Where the letters of the first line of a legend stand. */
  static double legendTop() {
    return plotBottom() + 36.0 + LEGEND_LINE - 4;
  }

  private static void legend(Svg svg, List<String> names, String roofline) {
    double y = legendTop();
    for (int i = 0; i < names.size(); i++) {
      svg.mark(i, LEFT, y - 4, colour(i), names.get(i));
      svg.text(LEFT + 10, y, "start", Svg.FONT, Svg.INK, names.get(i));
      y += LEGEND_LINE;
    }
    if (!roofline.isEmpty()) {
      svg.text(LEFT - 4, y, "start", Svg.FONT, Svg.INK, roofline);
    }
  }

  private static String says(Figure figure) {
    return String.format(
        Locale.ROOT,
        "%s: %s µs, %s GB/s (%s)",
        figure.key(),
        Scale.significant(figure.micros().median()),
        Scale.significant(figure.rate()),
        figure.line().shortly());
  }
}
