package io.quern.bench.report;

import static org.junit.jupiter.api.Assertions.assertAll;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.quern.bench.BadArgumentsException;
import io.quern.bench.Outcome;
import java.io.StringReader;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import javax.xml.parsers.DocumentBuilderFactory;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.xml.sax.InputSource;

class ReportCommandTest {
  private static final String HOSTILE = "<script>alert(1)</script>&quot;'|`*[x](http://y)";

  @TempDir private Path folder;

  private Path results() throws Exception {
    return new Written()
        .figure("r1", "op/small", 10, 30)
        .figure("r1", "op/lost", 40, 30)
        .figure("r1", "op/even", 30, 30)
        .line(
            Written.line("r1", "op/wide", "simd", 20, 60)
                .replace(
                    "\"bytes\":1000000",
                    "\"bytes\":5000000,\"flops\":40000000,"
                        + "\"fma_gflop_per_s\":100,\"percent_of_fma\":12")
                .replace("\"row_bytes\":512", "\"row_bytes\":2048"))
        .line(
            "{\"schema\":\"quern-bench-run/1\",\"run\":\"r1\",\"commit\":\"abc\","
                + "\"environment\":{\"cpu\":\"Test CPU\",\"cores\":2},\"rooflines_first\":"
                + "{\"threads\":1,\"copy_gb_per_s\":20},\"rooflines_last\":"
                + "{\"threads\":1,\"copy_gb_per_s\":19},\"unstable\":false}")
        .in(folder, "results.jsonl");
  }

  private Path notes() throws Exception {
    return new Written()
        .line(
            "{\"schema\":\"quern-note/1\",\"case\":\"op/lo\",\"against\":\"java-segment\","
                + "\"text\":\"the order is fixed\"}")
        .line(
            "{\"schema\":\"quern-target/1\",\"what\":\"small\",\"case\":\"op/small\","
                + "\"by\":\"simd\",\"against\":\"java-segment\",\"at_least\":2}")
        .line(
            "{\"schema\":\"quern-target/1\",\"what\":\"copy\",\"case\":\"op/small\","
                + "\"by\":\"simd\",\"against\":\"copy\",\"at_least\":90,\"why\":\"the bound\"}")
        .in(folder, "notes.jsonl");
  }

  @Test
  void everyFigureIsThereWithItsLine() throws Exception {
    Path out = folder.resolve("out");
    Written.Ended ended =
        Written.run(new ReportCommand(), results(), "--out", out, "--notes", notes());
    assertEquals(Outcome.OK, ended.outcome());
    String html = Files.readString(out.resolve("index.html"));
    String markdown = Files.readString(out.resolve("report.md"));
    for (String text : List.of(html, markdown)) {
      for (int line = 1; line <= 8; line++) {
        int number = line;
        assertTrue(text.contains("results.jsonl:" + number), () -> "line " + number);
      }
      assertAll(
          () -> assertTrue(text.contains("the order is fixed"), text),
          () -> assertTrue(text.contains("missed"), text),
          () -> assertTrue(text.contains("the bound"), text),
          () -> assertTrue(text.replace("\\", "").contains("0.75× [0.735, 0.765]"), text));
    }
    try (Stream<Path> files = Files.list(out)) {
      List<String> pictures =
          files.map(file -> file.getFileName().toString()).filter(n -> n.endsWith(".svg")).toList();
      assertEquals(4, pictures.size(), pictures.toString());
      for (String picture : pictures) {
        assertTrue(markdown.contains(picture), picture);
        parse(Files.readString(out.resolve(picture)));
      }
    }
  }

  @Test
  void rooflinesThatNoRunHasHaveNoColumn() throws Exception {
    String run =
        "{\"schema\":\"quern-bench-run/1\",\"run\":\"r1\",\"environment\":{\"cpu\":\"Test CPU\",\"cores\":2},"
            + "\"rooflines_first\":{\"gpu_copy_gb_per_s\":4000,\"gpu_graph_node_us\":\"NaN\"}}";
    Path file = new Written().figure("r1", "op/case0", 10, 30).line(run).in(folder, "gpu.jsonl");
    Path out = folder.resolve("out");
    Written.run(new ReportCommand(), file, "--out", out);
    String markdown = Files.readString(out.resolve("report.md"));
    assertAll(
        () -> assertTrue(markdown.contains("| threads | GPU copy GB/s | state |"), markdown),
        () -> assertTrue(markdown.contains("| 4000 |"), markdown));
  }

  private static String atLength(String operator, String by, int length, int batch, double us) {
    return Written.line("r1", operator + "/l" + length + "-b" + batch + by, by, us, 30)
        .replace("\"operator\":\"op\"", "\"operator\":\"" + operator + "\"")
        .replace("{\"row_bytes\":512}", "{\"length\":%d,\"batch\":%d}".formatted(length, batch));
  }

  @Test
  void timeIsDrawnAgainstLengthBesideWhatIsReplaced() throws Exception {
    Written written = new Written();
    for (int length = 512; length <= 131072; length *= 4) {
      written.line(atLength("pool", "simd", length, 1, length));
      written.line(atLength("attend", "libtorch:softmax", length, 1, 1e-3 * length * length));
      written.line(atLength("attend", "libtorch:softmax", length, 4, 1e-3 * length * length));
    }
    written.line(atLength("pool", "simd", 512, 8, 4000)); // a length alone is no line
    Path out = folder.resolve("out");
    Written.run(new ReportCommand(), written.in(folder, "lengths.jsonl"), "--out", out);
    String svg = Files.readString(out.resolve("m1-pool-length.svg"));
    parse(svg);
    assertAll(
        () -> assertEquals(2, svg.split("<polyline ", -1).length - 1, svg),
        () -> assertTrue(svg.contains("batch 1"), svg),
        () -> assertTrue(svg.contains(">attend, libtorch:softmax<"), svg),
        () -> assertTrue(svg.contains(">128k<"), svg),
        () -> assertFalse(Files.exists(out.resolve("m1-pool-length-1.svg"))),
        () -> assertFalse(Files.exists(out.resolve("m1-attend-length.svg"))));
  }

  private static void parse(String svg) throws Exception {
    DocumentBuilderFactory.newInstance()
        .newDocumentBuilder()
        .parse(new InputSource(new StringReader(svg)));
  }

  @Test
  void nothingOfAResultIsTakenForMarkup() throws Exception {
    Path hostile =
        new Written()
            .figure("r1", "op/" + HOSTILE, 10, 30)
            .line(Written.line("r1", "op/" + HOSTILE, HOSTILE, 10, 30).replace("Test CPU", HOSTILE))
            .line(
                "{\"schema\":\"quern-bench/1\",\"verified\":false,\"id\":\"%1$s\",\"difference\":\"%1$s\"}"
                    .formatted(HOSTILE))
            .in(folder, "hostile.jsonl");
    Path out = folder.resolve("out");
    Written.run(new ReportCommand(), hostile, "--out", out);
    String html = Files.readString(out.resolve("index.html"));
    String markdown = Files.readString(out.resolve("report.md"));
    assertAll(
        () -> assertFalse(html.contains("<script"), html),
        () -> assertTrue(html.contains("&lt;script&gt;"), html),
        () -> assertFalse(markdown.contains("<script"), markdown),
        () -> assertFalse(Pattern.compile("(?<!\\\\)]\\(http").matcher(markdown).find(), markdown));
    try (Stream<Path> files = Files.list(out)) {
      for (Path file : files.filter(one -> one.toString().endsWith(".svg")).toList()) {
        parse(Files.readString(file));
      }
    }
  }

  @Test
  void thePageNeedsNothingElse() throws Exception {
    Path out = folder.resolve("out");
    Written.run(new ReportCommand(), results(), "--out", out);
    String html = Files.readString(out.resolve("index.html"));
    Matcher links = Pattern.compile("(?:href|src|url)\\s*[=(]\\s*\"?([^\")]*)").matcher(html);
    while (links.find()) {
      assertTrue(links.group(1).startsWith("#"), links.group());
      assertTrue(html.contains("id=\"" + links.group(1).substring(1) + "\""), links.group());
    }
    assertTrue(html.contains("width=device-width"));
  }

  @Test
  void ofSeveralRunsTheMiddleOneAndOfSeveralFilesTheLastIsShown() throws Exception {
    Path old = new Written().figure("r0", "op/small", 99, 99).in(folder, "old.jsonl");
    Path three =
        new Written()
            .figure("r1", "op/small", 10, 30)
            .figure("r2", "op/small", 30, 30)
            .figure("r3", "op/small", 20, 30)
            .in(folder, "three.jsonl");
    Report report =
        Report.of(ResultFile.read(List.of(old.toString(), three.toString())), Notes.none());
    List<Figure> figures = report.machines().getFirst().operators().getFirst().figures();
    assertEquals(2, figures.size());
    assertEquals(20 * 1.01, figures.getFirst().micros().median(), 1e-4);
    assertTrue(figures.getFirst().line().where().endsWith("three.jsonl:5"));
  }

  @Test
  void withoutAFolderThereIsNoReport() throws Exception {
    Path results = results();
    assertThrows(BadArgumentsException.class, () -> Written.run(new ReportCommand(), results));
  }
}
