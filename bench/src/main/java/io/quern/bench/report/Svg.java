package io.quern.bench.report;

import java.util.List;
import java.util.Locale;
import java.util.stream.Collectors;

/**
 * A picture that stands alone: on a page, or as a file. Drawn for the width of a phone, so that its
 * letters are legible there and larger elsewhere. Every text is escaped.
 */
final class Svg {
  static final int WIDTH = 360;
  static final int FONT = 12;
  static final int SMALL_FONT = 11;

  /** Of an average letter, by its font size. */
  static final double LETTER = 0.56;

  /** Told apart by people who do not see all colours (Okabe and Ito). */
  static final String BLUE = "#0072b2";

  static final String VERMILION = "#d55e00";
  static final String GREEN = "#009e73";
  static final String PURPLE = "#aa4499";
  static final String SKY = "#56b4e9";
  static final String GREY = "#767676";
  static final String INK = "#1b1b1b";
  static final String FAINT = "#dcdcdc";

  private final StringBuilder body = new StringBuilder();
  private final String title;
  private final int height;

  /**
   * An empty picture.
   *
   * @param title what it shows, for those who do not see it
   */
  Svg(String title, int height) {
    this.title = title;
    this.height = height;
  }

  /** Text as XML and HTML can hold it. */
  static String escape(String text) {
    StringBuilder escaped = new StringBuilder();
    text.codePoints()
        .forEach(
            c -> {
              switch (c) {
                case '&' -> escaped.append("&amp;");
                case '<' -> escaped.append("&lt;");
                case '>' -> escaped.append("&gt;");
                case '"' -> escaped.append("&quot;");
                case '\'' -> escaped.append("&#39;");
                default -> {
                  boolean legal =
                      (c >= ' ' || c == '\n') && c < 0xD800 && c != 0x7F
                          || c > 0xDFFF && c < 0xFFFE
                          || c > 0xFFFF;
                  escaped.appendCodePoint(legal ? c : 0xFFFD);
                }
              }
            });
    return escaped.toString();
  }

  void line(double x1, double y1, double x2, double y2, String colour, double width) {
    add(
        "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" stroke=\"%s\""
            + " stroke-width=\"%.1f\"/>",
        x1, y1, x2, y2, colour, width);
  }

  void dashed(double x1, double y1, double x2, double y2, String colour) {
    add(
        "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" stroke=\"%s\""
            + " stroke-width=\"1.5\" stroke-dasharray=\"5 3\"/>",
        x1, y1, x2, y2, colour);
  }

  /** A line through points, pairs of x and y. */
  void polyline(List<double[]> points, String colour, boolean dashed) {
    add(
        "<polyline points=\"%s\" fill=\"none\" stroke=\"%s\" stroke-width=\"1.5\"%s/>",
        points.stream()
            .map(point -> String.format(Locale.ROOT, "%.1f,%.1f", point[0], point[1]))
            .collect(Collectors.joining(" ")),
        colour,
        dashed ? " stroke-dasharray=\"5 3\"" : "");
  }

  void rect(double x, double y, double width, double rectHeight, String colour) {
    add(
        "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" fill=\"%s\"/>",
        x, y, width, rectHeight, colour);
  }

  /** A mark of one of five shapes; what it stands for is said where a pointer rests on it. */
  void mark(int shape, double x, double y, String colour, String says) {
    add("<g fill=\"%s\" stroke=\"#fff\" stroke-width=\"0.7\">", colour);
    add("<title>%s</title>", escape(says));
    switch (shape % 5) {
      case 0 -> add("<circle cx=\"%.1f\" cy=\"%.1f\" r=\"4\"/>", x, y);
      case 1 -> add("<rect x=\"%.1f\" y=\"%.1f\" width=\"7\" height=\"7\"/>", x - 3.5, y - 3.5);
      case 2 -> add("<path d=\"M%.1f %.1fl4.5 8h-9z\"/>", x, y - 5);
      case 3 -> add("<path d=\"M%.1f %.1fl5 5-5 5-5-5z\"/>", x, y - 5);
      default -> add("<path d=\"M%.1f %.1fl4.5-8h-9z\"/>", x, y + 5);
    }
    add("</g>");
  }

  /**
   * Letters.
   *
   * @param anchor start, middle or end
   */
  void text(double x, double y, String anchor, int size, String colour, String text) {
    add(
        "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\" font-size=\"%d\" fill=\"%s\""
            + " stroke=\"#fff\" stroke-width=\"3\" paint-order=\"stroke\">%s</text>",
        x, y, anchor, size, colour, escape(text));
  }

  /** Everything until {@link #endGroup} says this where a pointer rests on it. */
  void group(String says) {
    add("<g><title>%s</title>", escape(says));
  }

  void endGroup() {
    add("</g>");
  }

  private void add(String format, Object... arguments) {
    body.append(String.format(Locale.ROOT, format, arguments)).append('\n');
  }

  @Override
  public String toString() {
    return String.format(
        Locale.ROOT,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" role=\"img\""
            + " font-family=\"system-ui, sans-serif\">%n<title>%s</title>%n"
            + "<rect width=\"%d\" height=\"%d\" fill=\"#fff\"/>%n%s</svg>%n",
        WIDTH,
        height,
        escape(title),
        WIDTH,
        height,
        body);
  }
}
