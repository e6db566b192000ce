package io.quern.bench.report;

import java.util.ArrayList;
import java.util.List;
import java.util.Locale;

/** Lines over two linear axes, for programs whose figures are no times. */
public final class LineChart {
  private static final int TICKS = 6; // about so many on an axis

  private final String title;
  private final String xName;
  private final String yName;
  private final List<Line> lines = new ArrayList<>();

  private record Line(String name, String colour, boolean dashed, List<double[]> points) {}

  /**
   * An empty chart.
   *
   * @param title what it shows, for those who do not see it
   */
  public LineChart(String title, String xName, String yName) {
    this.title = title;
    this.xName = xName;
    this.yName = yName;
  }

  /**
   * Draws a line in a new colour.
   *
   * @param points pairs of x and y, ascending
   */
  public void line(String name, List<double[]> points) {
    long before = lines.stream().filter(line -> !line.dashed).count();
    lines.add(new Line(name, Charts.colour((int) before), false, List.copyOf(points)));
  }

  /** Draws a dashed line in the colour of the line before. */
  public void dashed(String name, List<double[]> points) {
    lines.add(new Line(name, lines.getLast().colour(), true, List.copyOf(points)));
  }

  /** The range of an axis and the distance of its ticks, a power of ten times 1, 2 or 5. */
  private record Axis(double low, double high, double step, double from, double to) {
    static Axis of(double least, double most, double from, double to) {
      double rough = Math.max(most - least, 1e-12) / TICKS;
      double power = Math.pow(10, Math.floor(Math.log10(rough)));
      double step = rough <= power ? power : rough <= 2 * power ? 2 * power : 5 * power;
      step = rough > 5 * power ? 10 * power : step;
      return new Axis(
          Math.floor(least / step + 1e-9) * step,
          Math.ceil(most / step - 1e-9) * step,
          step,
          from,
          to);
    }

    List<Double> ticks() {
      List<Double> ticks = new ArrayList<>();
      for (int i = 0; i <= Math.round((high - low) / step); i++) {
        ticks.add(low + i * step);
      }
      return ticks;
    }

    String label(double value) {
      int decimals = (int) Math.max(0, Math.ceil(-Math.log10(step) - 1e-9));
      return String.format(Locale.ROOT, "%." + decimals + "f", value);
    }

    double at(double value) {
      return from + (value - low) / (high - low) * (to - from);
    }
  }

  /** The picture. */
  public String svg() {
    double right = Svg.WIDTH - Charts.MARGIN - 8.0;
    Axis x = axis(0, Charts.LEFT, right);
    Axis y = axis(1, Charts.plotBottom(), Charts.PLOT_TOP);
    Svg svg = new Svg(title, Charts.plotBottom() + 36 + Charts.legendHeight(lines.size()));
    for (double tick : x.ticks()) {
      Charts.xTick(svg, x.at(tick), x.label(tick));
    }
    Charts.xName(svg, xName);
    for (double tick : y.ticks()) {
      Charts.yTick(svg, y.at(tick), y.label(tick));
    }
    Charts.yName(svg, yName);
    double below = Charts.legendTop();
    for (Line line : lines) {
      List<double[]> points =
          line.points().stream()
              .map(point -> new double[] {x.at(point[0]), y.at(point[1])})
              .toList();
      svg.polyline(points, line.colour(), line.dashed());
      List<double[]> sample =
          List.of(
              new double[] {Charts.LEFT, below - 4}, new double[] {Charts.LEFT + 24.0, below - 4});
      svg.polyline(sample, line.colour(), line.dashed());
      svg.text(Charts.LEFT + 30, below, "start", Svg.FONT, Svg.INK, line.name());
      below += Charts.LEGEND_LINE;
    }
    return svg.toString();
  }

  private Axis axis(int coordinate, double from, double to) {
    double[] values =
        lines.stream()
            .flatMap(line -> line.points().stream())
            .mapToDouble(point -> point[coordinate])
            .sorted()
            .toArray();
    return Axis.of(values[0], values[values.length - 1], from, to);
  }
}
