package io.quern.bench.demo;

import io.quern.Backends;
import io.quern.Device;
import io.quern.bench.Arguments;
import io.quern.bench.Command;
import io.quern.bench.Option;
import io.quern.bench.Outcome;
import io.quern.bench.Progress;
import io.quern.bench.Terminal;
import io.quern.bench.measure.OpenDevices;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** Token merging of real sentences, of a vision transformer's shapes, and when it pays. */
public final class MergeCommand implements Command {
  private static final Option OUT =
      new Option("--out", "DIR", "also draw what came out, as SVG files in DIR");
  private static final Option BREAK_EVEN =
      new Option("--break-even", "", "also time from when on merging pays, about a minute");

  @Override
  public String name() {
    return "merge";
  }

  @Override
  public String summary() {
    return "merges tokens of real sentences and of a vision transformer's shapes";
  }

  @Override
  public List<Option> options() {
    return List.of(Option.BACKEND, OUT, BREAK_EVEN);
  }

  @Override
  public String details() {
    return """
    Runs sentences of Jane Austen's Persuasion through all-MiniLM-L6-v2, which ONNX Runtime executes.
    Behind some layer tokens are merged by their keys, as in ToMe; the layers behind it go on with
    those that are left, whose sizes go into attention and pooling, or do not; and the sentence
    embedding is compared with that of all tokens. Merging must give the same bits on every back end;
    if it does not, the command says so and ends with exit code 1.

    Then DiffRate's published schedule of ViT-B is walked block by block, with random features: how
    many tokens are left, what the products of the block (by ONNX Runtime) and the compression take,
    on the last back end, one thread. Times are those of this moment; --break-even adds the tables
    that say for which numbers of tokens and merges merging pays.
    """;
  }

  @Override
  public List<String> examples() {
    return List.of("merge", "merge --out pictures", "merge --backend simd --break-even");
  }

  @Override
  public Outcome run(Arguments arguments, Terminal terminal) throws Exception {
    PrintStream out = terminal.out();
    Backends.probe().lines().forEach(out::println);
    boolean breakEven = arguments.has(BREAK_EVEN);
    Map<String, String> pictures = new LinkedHashMap<>();
    List<String> disagreements;
    try (OpenDevices devices = new OpenDevices(arguments.backends(), 1);
        Progress progress = terminal.progress(name(), breakEven ? 5 : 4);
        BlockProducts products = new BlockProducts(VisionTrunk.DIM, VisionTrunk.HEADS)) {
      Device last = devices.all().getLast();
      progress.step("loading the model");
      List<String> text = DemoCommand.text();
      try (MiniLmEncoder encoder = new MiniLmEncoder(MiniLm.load(), SentenceMerging.cuts())) {
        SentenceMerging sentences = new SentenceMerging(devices.all(), encoder);
        progress.step("merging sentences");
        pictures.put("merge-cosine.svg", sentences.compare(SentenceMerging.sentences(text), out));
        pictures.put("merge-sentence.svg", sentences.picture(SentenceMerging.shown(text)));
        disagreements = sentences.disagreements();
      }
      progress.step("drawing a grid");
      pictures.put("merge-grid.svg", GridScene.picture(last));
      progress.step("walking a schedule");
      out.println();
      pictures.put("merge-schedule.svg", VisionTrunk.walk(last, products, out));
      if (breakEven) {
        progress.step("break-even");
        out.println();
        BreakEven.print(last, products, out);
        out.println();
        BreakEven.printGrids(last, out);
      }
    }
    if (arguments.value(OUT).isPresent()) {
      write(Path.of(arguments.value(OUT).get()), pictures);
    }
    disagreements.forEach(line -> out.println("DIFFERENT: " + line));
    return disagreements.isEmpty() ? Outcome.OK : Outcome.FAILED;
  }

  private static void write(Path folder, Map<String, String> pictures) throws IOException {
    Files.createDirectories(folder);
    for (Map.Entry<String, String> picture : pictures.entrySet()) {
      Files.writeString(folder.resolve(picture.getKey()), picture.getValue());
    }
  }
}
