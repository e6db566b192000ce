package io.quern.bench.demo;

import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** Which source tokens became one, as SVG. */
final class MergePictures {
  private static final List<String> COLOURS =
      List.of(
          "#8dd3c7", "#fdb462", "#bebada", "#fb8072", "#80b1d3", "#b3de69", "#fccde5", "#ffed6f",
          "#bc80bd", "#ccebc5", "#d9c3a5", "#9fc5e8");

  private static final int WIDTH = 720;
  private static final int MARGIN = 16;
  private static final int LINE = 52;
  private static final int BOX = 26;
  private static final double LETTER = 7.3; // of 12 px monospace, a little more than its width
  private static final int PADDING = 12;
  private static final int GAP = 5;

  private MergePictures() {}

  static String escaped(String text) {
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;");
  }

  private static String begin(int width, int height) {
    return "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %1$d %2$d\" width=\"%1$d\" height=\"%2$d\" font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n"
        .formatted(width, height);
  }

  /**
   * A sentence once for each merge: tokens that became one have one colour and one number.
   *
   * @param groups of each merge, by token
   * @param captions of each
   */
  static String sentence(List<String> words, List<int[]> groups, List<String> captions) {
    StringBuilder body = new StringBuilder();
    int y = MARGIN;
    for (int i = 0; i < groups.size(); i++) {
      body.append(
          "<text x=\"%d\" y=\"%d\" font-weight=\"bold\">%s</text>%n"
              .formatted(MARGIN, y + 12, escaped(captions.get(i))));
      y = tokens(body, words, groups.get(i), y + 22) + 8;
    }
    return begin(WIDTH, y) + body + "</svg>\n";
  }

  private static int tokens(StringBuilder body, List<String> words, int[] groups, int top) {
    int[] counts = counts(groups);
    int[] numbers = new int[counts.length]; // of groups of several, by their first token
    int next = 0;
    double x = MARGIN;
    int y = top;
    for (int n = 0; n < groups.length; n++) {
      String word = words.get(n);
      double width = word.length() * LETTER + PADDING;
      if (x + width > WIDTH - MARGIN) {
        x = MARGIN;
        y += LINE;
      }
      boolean merged = counts[groups[n]] > 1;
      if (merged && numbers[groups[n]] == 0) {
        numbers[groups[n]] = ++next;
      }
      int number = numbers[groups[n]];
      String colour = merged ? COLOURS.get((number - 1) % COLOURS.size()) : "#fff";
      body.append(
          "<rect x=\"%.0f\" y=\"%d\" width=\"%.0f\" height=\"%d\" rx=\"4\" fill=\"%s\" stroke=\"#777\"/>"
              .formatted(x, y, width, BOX, colour));
      body.append(
          "<text x=\"%.0f\" y=\"%d\" text-anchor=\"middle\" font-family=\"monospace\">%s</text>%n"
              .formatted(x + width / 2, y + 17, escaped(word)));
      if (merged) {
        body.append(
            "<text x=\"%.0f\" y=\"%d\" text-anchor=\"middle\" font-size=\"11\" fill=\"#333\">%d</text>%n"
                .formatted(x + width / 2, y + BOX + 13, number));
      }
      x += width + GAP;
    }
    return y + LINE;
  }

  private static int[] counts(int[] groups) {
    int[] counts = new int[Arrays.stream(groups).max().orElse(0) + 1];
    for (int group : groups) {
      counts[group]++;
    }
    return counts;
  }

  /**
   * A square grid of patches, as it is and as it is merged: a group has the mean colour of its
   * patches, and a line around it.
   *
   * @param colours red, green and blue of each patch, 0 to 1
   * @param groups of each merge, by patch
   * @param captions of the grid as it is, and of each merge
   */
  static String grid(int side, float[] colours, List<int[]> groups, List<String> captions) {
    int cell = 15;
    int edge = side * cell;
    int step = edge + 24;
    StringBuilder body = new StringBuilder();
    int[] single = new int[side * side];
    Arrays.setAll(single, n -> n);
    for (int i = 0; i <= groups.size(); i++) {
      int[] shown = i == 0 ? single : groups.get(i - 1);
      body.append(
          "<g transform=\"translate(%d %d)\"><text y=\"-8\">%s</text>%n"
              .formatted(MARGIN + i * step, MARGIN + 20, escaped(captions.get(i))));
      patches(body, side, cell, colours, shown);
      if (i > 0) {
        borders(body, side, cell, shown);
      }
      body.append("</g>\n");
    }
    return begin(2 * MARGIN + groups.size() * step + edge, edge + 2 * MARGIN + 20)
        + body
        + "</svg>\n";
  }

  private static void patches(
      StringBuilder body, int side, int cell, float[] colours, int[] groups) {
    int[] counts = counts(groups);
    float[] sums = new float[counts.length * 3];
    for (int n = 0; n < groups.length; n++) {
      for (int c = 0; c < 3; c++) {
        sums[groups[n] * 3 + c] += colours[n * 3 + c];
      }
    }
    Map<String, StringBuilder> paths = new LinkedHashMap<>(); // by colour
    for (int group = 0; group < counts.length; group++) {
      if (counts[group] == 0) {
        continue;
      }
      String colour =
          "#%02x%02x%02x"
              .formatted(
                  byteOf(sums[group * 3] / counts[group]),
                  byteOf(sums[group * 3 + 1] / counts[group]),
                  byteOf(sums[group * 3 + 2] / counts[group]));
      StringBuilder path = paths.computeIfAbsent(colour, none -> new StringBuilder());
      for (int n = 0; n < groups.length; n++) {
        boolean begins = groups[n] == group && (n % side == 0 || groups[n - 1] != group);
        if (begins) {
          int end = n;
          while (end % side < side - 1 && groups[end + 1] == group) {
            end++;
          }
          path.append(
              "M%d %dh%dv%dH%dz"
                  .formatted(
                      n % side * cell,
                      n / side * cell,
                      (end - n + 1) * cell,
                      cell,
                      n % side * cell));
        }
      }
    }
    paths.forEach(
        (colour, path) -> body.append("<path d=\"%s\" fill=\"%s\"/>%n".formatted(path, colour)));
  }

  private static int byteOf(float value) {
    return Math.clamp(Math.round(value * 255), 0, 255);
  }

  private static void borders(StringBuilder body, int side, int cell, int[] groups) {
    StringBuilder path = new StringBuilder("M0 0h%1$dv%1$dh-%1$dz".formatted(side * cell));
    for (int row = 0; row < side; row++) {
      for (int column = 0; column < side; column++) {
        int n = row * side + column;
        if (column + 1 < side && groups[n] != groups[n + 1]) {
          path.append("M%d %dv%d".formatted((column + 1) * cell, row * cell, cell));
        }
        if (row + 1 < side && groups[n] != groups[n + side]) {
          path.append("M%d %dh%d".formatted(column * cell, (row + 1) * cell, cell));
        }
      }
    }
    body.append("<path d=\"%s\" fill=\"none\" stroke=\"#222\"/>%n".formatted(path));
  }
}
