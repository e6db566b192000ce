package io.quern.bench.demo;

import io.quern.Backends;
import io.quern.DType;
import io.quern.Device;
import io.quern.bench.Arguments;
import io.quern.bench.Command;
import io.quern.bench.Option;
import io.quern.bench.Outcome;
import io.quern.bench.Progress;
import io.quern.bench.Terminal;
import io.quern.bench.measure.BagWorkload;
import io.quern.bench.measure.Comparison;
import io.quern.bench.measure.Contender;
import io.quern.bench.measure.GatherWorkload;
import io.quern.bench.measure.MemoryProbe;
import io.quern.bench.measure.OpenDevices;
import io.quern.bench.measure.ResultTable;
import io.quern.bench.measure.Rooflines;
import io.quern.bench.measure.Workload;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;

/** A novel's tokens, looked up in a published model's embedding table on every back end. */
public final class DemoCommand implements Command {
  private static final String TEXT = "persuasion.txt";
  private static final Comparison.StopRule STOP = new Comparison.StopRule(8, 1.5, 1.5);

  @Override
  public String name() {
    return "demo";
  }

  @Override
  public String summary() {
    return "looks up and bags real embeddings of a real text on every available back end";
  }

  @Override
  public List<Option> options() {
    return List.of(Option.BACKEND);
  }

  @Override
  public String details() {
    return """
    Takes the word embeddings of all-MiniLM-L6-v2 out of its published ONNX file, splits Jane
    Austen's Persuasion into tokens with the model's own tokenizer, and gathers the tokens' rows, as
    they are and averaged line by line, on every back end. The results must be the same bits
    everywhere, and the gathered rows those of ONNX Runtime executing the model's own Gather node;
    if they are not, the demo says where and ends with exit code 1. Then everything is timed, on one
    thread, next to the two loops that a Java programmer would write first.
    """;
  }

  @Override
  public List<String> examples() {
    return List.of("demo", "demo --backend scalar,simd");
  }

  @Override
  public Outcome run(Arguments arguments, Terminal terminal) throws Exception {
    PrintStream out = terminal.out();
    Backends.probe().lines().forEach(out::println);
    Run run;
    Rooflines last;
    try (Arena arena = Arena.ofShared();
        OpenDevices devices = new OpenDevices(arguments.backends(), 1);
        MemoryProbe memory = new MemoryProbe(1, false, devices.gpu());
        Progress progress = terminal.progress("demo", 7)) {
      progress.step("loading the model");
      MiniLm model = MiniLm.load();
      MemorySegment table = model.table(arena);
      progress.step("tokenizing " + TEXT);
      List<long[]> lines = MiniLm.tokenize(text());
      int[] ids = lines.stream().flatMapToLong(Arrays::stream).mapToInt(Math::toIntExact).toArray();
      progress.step("rooflines");
      run = new Run(devices.all(), memory.measure(), progress);
      run.found(
          "table: %s [%d, %d], f32, out of the model's ONNX file"
              .formatted(model.node().table(), model.vocabulary(), model.dimension()));
      run.found("text: %s, %d tokens in %d lines".formatted(TEXT, ids.length, lines.size()));
      long rows = model.vocabulary();
      int dim = model.dimension();
      int[] offsets = offsets(lines);
      Workload gather = GatherWorkload.of(arena, DType.F32, table, rows, dim, List.of(ids));
      run.compare(gather, List.of(new OnnxRuntimeGather(model, ids, gather.outputs().get("out"))));
      run.compare(
          BagWorkload.of(arena, DType.F32, table, rows, dim, List.of(ids), offsets, null),
          List.of());
      run.compare(
          BagWorkload.of(
              arena, DType.F16, f16(arena, table), rows, dim, List.of(ids), offsets, null),
          List.of());
      progress.step("rooflines");
      last = memory.measure();
    }
    return run.report(out, last);
  }

  /** The comparisons of one demo, and what came out of them. */
  private static final class Run {
    private final List<Device> devices;
    private final Rooflines rooflines;
    private final Progress progress;
    private final ResultTable table = new ResultTable();
    private final List<String> findings = new ArrayList<>();
    private final List<String> disagreements = new ArrayList<>();

    Run(List<Device> devices, Rooflines rooflines, Progress progress) {
      this.devices = devices;
      this.rooflines = rooflines;
      this.progress = progress;
    }

    /** Remembers a line for the report. */
    void found(String line) {
      findings.add(line);
    }

    /** Closes the peers. */
    void compare(Workload workload, List<Contender> peers) {
      progress.step(workload.operator() + " " + workload.shape());
      List<Contender> contenders = workload.contenders(devices, 1);
      contenders.addAll(peers);
      try {
        Comparison comparison = new Comparison(workload, contenders, 1);
        Optional<String> disagreement = comparison.disagreement();
        if (disagreement.isPresent()) {
          disagreements.add(disagreement.get());
          return;
        }
        found(
            "%s %s: %d bytes, bit-identical: %s"
                .formatted(
                    workload.operator(),
                    workload.shape(),
                    workload.outputs().get("out").memory().byteSize(),
                    String.join(", ", contenders.stream().map(Contender::name).toList())));
        table.add(workload, comparison.measure(STOP), rooflines);
      } finally {
        contenders.forEach(Contender::close);
      }
    }

    Outcome report(PrintStream out, Rooflines last) {
      findings.forEach(out::println);
      out.println("first: " + rooflines);
      out.println("last:  " + last);
      table.print(out);
      disagreements.forEach(line -> out.println("DIFFERENT: " + line));
      return disagreements.isEmpty() ? Outcome.OK : Outcome.FAILED;
    }
  }

  static List<String> text() throws IOException {
    try (BufferedReader reader =
        new BufferedReader(
            new InputStreamReader(
                DemoCommand.class.getResourceAsStream(TEXT), StandardCharsets.UTF_8))) {
      return reader.lines().toList();
    }
  }

  /** One bag per line; empty lines are empty bags. */
  private static int[] offsets(List<long[]> lines) {
    int[] offsets = new int[lines.size() + 1];
    for (int i = 0; i < lines.size(); i++) {
      offsets[i + 1] = offsets[i] + lines.get(i).length;
    }
    return offsets;
  }

  private static MemorySegment f16(Arena arena, MemorySegment f32) {
    long elements = f32.byteSize() / Float.BYTES;
    MemorySegment f16 = arena.allocate(elements * Short.BYTES, 64);
    for (long i = 0; i < elements; i++) {
      f16.setAtIndex(
          ValueLayout.JAVA_SHORT,
          i,
          Float.floatToFloat16(f32.getAtIndex(ValueLayout.JAVA_FLOAT, i)));
    }
    return f16;
  }
}
