package io.quern.bench.demo;

import java.util.ArrayList;
import java.util.List;
import java.util.Locale;

/** Lines over one axis, as SVG: legible in a page of 700 pixels, in colours that the blind tell. */
final class LineChart {
  private static final List<String> COLOURS =
      List.of("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9");
  private static final int WIDTH = 720;
  private static final int HEIGHT = 420;
  private static final int LEFT = 76;
  private static final int RIGHT = 200; // the names of lines stand there
  private static final int TOP = 44;
  private static final int BOTTOM = 58;
  private static final int TICKS = 6; // about so many on an axis
  private static final int NAME_HEIGHT = 15;

  private final String title;
  private final String xName;
  private final String yName;
  private final List<Line> lines = new ArrayList<>();

  private record Line(String name, List<double[]> points, boolean dashed) {
    double[] last() {
      return points.getLast();
    }
  }

  LineChart(String title, String xName, String yName) {
    this.title = title;
    this.xName = xName;
    this.yName = yName;
  }

  /**
   * Draws a line in a new colour.
   *
   * @param points pairs of x and y, ascending
   */
  void line(String name, List<double[]> points) {
    lines.add(new Line(name, List.copyOf(points), false));
  }

  /** Draws a dashed line in the colour of the line before. */
  void dashed(String name, List<double[]> points) {
    lines.add(new Line(name, List.copyOf(points), true));
  }

  /** The range of an axis and the distance of its ticks, a power of ten times 1, 2 or 5. */
  private record Axis(double low, double high, double step) {
    static Axis of(double least, double most) {
      double rough = Math.max(most - least, 1e-12) / TICKS;
      double power = Math.pow(10, Math.floor(Math.log10(rough)));
      double step = rough <= power ? power : rough <= 2 * power ? 2 * power : 5 * power;
      step = rough > 5 * power ? 10 * power : step;
      return new Axis(
          Math.floor(least / step + 1e-9) * step, Math.ceil(most / step - 1e-9) * step, step);
    }

    int decimals() {
      return (int) Math.max(0, Math.ceil(-Math.log10(step) - 1e-9));
    }

    int ticks() {
      return (int) Math.round((high - low) / step);
    }

    double at(double value) {
      return (value - low) / (high - low);
    }
  }

  String svg() {
    Axis x = axis(0);
    Axis y = axis(1);
    StringBuilder svg = new StringBuilder();
    svg.append(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" width=\"%d\" height=\"%d\" font-family=\"sans-serif\" font-size=\"12\">%n"
            .formatted(WIDTH, HEIGHT, WIDTH, HEIGHT));
    svg.append("<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n");
    text(svg, LEFT, 24, "start", "font-size=\"15\" font-weight=\"bold\"", title);
    for (int i = 0; i <= x.ticks(); i++) {
      double value = x.low + i * x.step;
      String at = number(atX(x, value));
      svg.append("<path d=\"M%s %dV%d\" stroke=\"#ddd\"/>%n".formatted(at, TOP, HEIGHT - BOTTOM));
      text(svg, atX(x, value), HEIGHT - BOTTOM + 18, "middle", "", decimal(value, x.decimals()));
    }
    for (int i = 0; i <= y.ticks(); i++) {
      double value = y.low + i * y.step;
      String at = number(atY(y, value));
      svg.append("<path d=\"M%d %sH%d\" stroke=\"#ddd\"/>%n".formatted(LEFT, at, WIDTH - RIGHT));
      text(svg, LEFT - 8, atY(y, value) + 4, "end", "", decimal(value, y.decimals()));
    }
    text(svg, (LEFT + WIDTH - RIGHT) / 2.0, HEIGHT - 16, "middle", "", xName);
    double middle = (TOP + HEIGHT - BOTTOM) / 2.0;
    text(
        svg,
        20,
        middle,
        "middle",
        "transform=\"rotate(-90 20 %s)\"".formatted(number(middle)),
        yName);
    double[] names = nameHeights(y);
    int colour = -1;
    for (int i = 0; i < lines.size(); i++) {
      Line line = lines.get(i);
      colour += line.dashed ? 0 : 1;
      String stroke = COLOURS.get(colour % COLOURS.size());
      StringBuilder path = new StringBuilder();
      for (double[] point : line.points) {
        path.append(path.isEmpty() ? 'M' : 'L')
            .append(number(atX(x, point[0])))
            .append(' ')
            .append(number(atY(y, point[1])));
      }
      svg.append(
          "<path d=\"%s\" fill=\"none\" stroke=\"%s\" stroke-width=\"2\"%s/>%n"
              .formatted(path, stroke, line.dashed ? " stroke-dasharray=\"5 4\"" : ""));
      if (!line.dashed) {
        for (double[] point : line.points) {
          svg.append(
              "<circle cx=\"%s\" cy=\"%s\" r=\"3\" fill=\"%s\"/>%n"
                  .formatted(number(atX(x, point[0])), number(atY(y, point[1])), stroke));
        }
      }
      double from = atX(x, line.last()[0]) + 4;
      svg.append(
          "<path d=\"M%s %sL%d %s\" stroke=\"%s\" stroke-width=\".7\"/>%n"
              .formatted(
                  number(from),
                  number(atY(y, line.last()[1])),
                  WIDTH - RIGHT + 10,
                  number(names[i]),
                  stroke));
      text(
          svg,
          WIDTH - RIGHT + 14,
          names[i] + 4,
          "start",
          "fill=\"%s\"".formatted(stroke),
          line.name);
    }
    return svg.append("</svg>\n").toString();
  }

  private Axis axis(int coordinate) {
    double least = Double.POSITIVE_INFINITY;
    double most = Double.NEGATIVE_INFINITY;
    for (Line line : lines) {
      for (double[] point : line.points) {
        least = Math.min(least, point[coordinate]);
        most = Math.max(most, point[coordinate]);
      }
    }
    return Axis.of(least, most);
  }

  /** Where each line's name stands: near its end, and not on another name. */
  private double[] nameHeights(Axis y) {
    double[] heights = new double[lines.size()];
    List<Integer> downwards = new ArrayList<>();
    for (int i = 0; i < heights.length; i++) {
      heights[i] = atY(y, lines.get(i).last()[1]);
      downwards.add(i);
    }
    downwards.sort((a, b) -> Double.compare(heights[a], heights[b]));
    double free = TOP;
    for (int i : downwards) {
      heights[i] = Math.max(heights[i], free);
      free = heights[i] + NAME_HEIGHT;
    }
    double limit = HEIGHT - BOTTOM;
    for (int i : downwards.reversed()) {
      heights[i] = Math.min(heights[i], limit);
      limit = heights[i] - NAME_HEIGHT;
    }
    return heights;
  }

  private static double atX(Axis x, double value) {
    return LEFT + x.at(value) * (WIDTH - LEFT - RIGHT);
  }

  private static double atY(Axis y, double value) {
    return HEIGHT - BOTTOM - y.at(value) * (HEIGHT - TOP - BOTTOM);
  }

  private static void text(
      StringBuilder svg, double x, double y, String anchor, String more, String text) {
    svg.append(
        "<text x=\"%s\" y=\"%s\" text-anchor=\"%s\" %s>%s</text>%n"
            .formatted(number(x), number(y), anchor, more, MergePictures.escaped(text)));
  }

  private static String decimal(double value, int decimals) {
    return ("%." + decimals + "f").formatted(value);
  }

  private static String number(double value) {
    return String.format(Locale.ROOT, "%.1f", value).replaceAll("\\.0$", "");
  }
}
