package io.quern.bench.measure;

import io.quern.Backend;
import io.quern.Backends;
import io.quern.Device;
import io.quern.bench.Arguments;
import io.quern.bench.BadArgumentsException;
import io.quern.bench.Command;
import io.quern.bench.Option;
import io.quern.bench.Outcome;
import io.quern.bench.Progress;
import io.quern.bench.Terminal;
import io.quern.bench.verify.Tolerance;
import java.io.IOException;
import java.io.PrintStream;
import java.io.Writer;
import java.lang.foreign.Arena;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.stream.Collectors;

/** Times the operators on every back end, next to plain Java loops. */
public final class BenchCommand implements Command {
  private static final Option JSON =
      new Option("--json", "FILE", "also write one JSON line per figure to FILE");
  private static final Option QUICK =
      new Option("--quick", "", "fewer shapes and shorter measurements, to see that it works");
  private static final Option CASE =
      new Option("--case", "TEXT", "only cases whose id contains TEXT, such as table1GiB-row512");
  private static final Option THREADS =
      new Option("--threads", "N", "parallelism of the CPU back ends and rooflines; default 1");
  private static final Option HUGE_PAGES =
      new Option("--huge-pages", "", "operands in huge pages, as Device.allocate gives them");

  /**
   * From here on the rooflines of start and end contradict each other; benchmarks of a GPU are
   * steadier.
   */
  private static final double CPU_DRIFT = 0.15;

  private static final double GPU_DRIFT = 0.03;

  /** Stands among the operators for the cost of calling native code at all. */
  private static final String DOWNCALL = "downcall";

  /** What holds for every case of a run. */
  private record Setup(
      List<Device> devices, Comparison.StopRule rule, Rooflines rooflines, boolean hugePages) {}

  @Override
  public String name() {
    return "bench";
  }

  @Override
  public String summary() {
    return "times the operators on every available back end, next to plain Java";
  }

  @Override
  public List<Option> options() {
    return List.of(Option.BACKEND, Option.OP, CASE, THREADS, HUGE_PAGES, QUICK, JSON);
  }

  @Override
  public String details() {
    return """
    Every figure is preceded by a check: all back ends and the plain Java loops must give the same
    bits, peers the same bits or values within a stated tolerance, or the workload is not timed and
    the exit code is 1. Contenders take turns (A B C C B A); ratios are medians of pairs with a
    bootstrap 95 % interval. GB/s counts the bytes that must be read and written. "% memcpy"
    compares with a copy that moves as many bytes and takes its turn with the rest; on a GPU with a
    copy within its memory; "% FMA" likewise with multiply-adds in registers. "java-segment" is a
    plain loop over MemorySegments, "java-array" the same over Java arrays, both on one thread; the
    JIT compiler may vectorize them (java -XX:-UseSuperWord shows them scalar). Peers (libtorch,
    ONNX Runtime) take part in a jar built with -Ppeers. "B/op" is heap memory that the
    calling thread allocated for a call. Rooflines are measured first and last; if they disagree,
    the run is marked unstable. On a GPU the time is that between two events around the queued
    launches. "downcall" is the cost of calling a native function that does nothing, where the
    libraries are there, driver or not. Published figures also need JMH:
    java -cp quern-bench.jar org.openjdk.jmh.Main -prof gc
    """;
  }

  @Override
  public List<String> examples() {
    return List.of(
        "bench --quick",
        "bench --op embedding_bag --backend simd --huge-pages",
        "bench --case table1GiB-row512 --json results.jsonl");
  }

  @Override
  public Outcome run(Arguments arguments, Terminal terminal) throws Exception {
    boolean quick = arguments.has(QUICK);
    boolean hugePages = arguments.has(HUGE_PAGES);
    int threads = arguments.integer(THREADS, 1, 1, Runtime.getRuntime().availableProcessors());
    List<TimedCase> all = TimedCase.all();
    Set<String> known = all.stream().map(TimedCase::operator).collect(Collectors.toSet());
    known.add(DOWNCALL);
    Set<String> operators = arguments.operators(known);
    String part = arguments.value(CASE).orElse("");
    List<TimedCase> cases =
        all.stream()
            .filter(one -> operators.contains(one.operator()) && one.id().contains(part))
            .filter(one -> !quick || one.quick())
            .toList();
    if (cases.isEmpty() && !part.isEmpty()) {
      throw new BadArgumentsException("no case's id contains '%s'".formatted(part));
    }
    Backends.probe().lines().forEach(terminal.out()::println);
    ResultTable table = new ResultTable();
    List<String> disagreements = new ArrayList<>();
    Rooflines first;
    Rooflines last;
    boolean unstable;
    List<String> downcalls = List.of();
    try (OpenDevices devices = new OpenDevices(arguments.backends(), threads);
        JsonLines json = new JsonLines(writer(arguments.value(JSON)));
        Progress progress = terminal.progress("bench", cases.size() + 3)) {
      progress.step("rooflines");
      first = Rooflines.measure(threads, hugePages, devices.gpu());
      Setup setup =
          new Setup(
              devices.all(),
              quick ? new Comparison.StopRule(10, 0.2) : new Comparison.StopRule(20, 3),
              first,
              hugePages);
      for (TimedCase one : cases) {
        progress.step(one.id());
        measure(one, setup, table, json).ifPresent(disagreements::add);
      }
      if (operators.contains(DOWNCALL) && part.isEmpty()) {
        progress.step(DOWNCALL);
        downcalls = downcalls(json);
      }
      progress.step("rooflines");
      last = Rooflines.measure(threads, hugePages, devices.gpu());
      unstable = first.cpuDrift(last) > CPU_DRIFT || first.gpuDrift(last) > GPU_DRIFT;
      json.write(runLine(first, last, unstable));
    }
    PrintStream out = terminal.out();
    table.print(out);
    downcalls.forEach(out::println);
    out.println("first: " + first);
    out.println("last:  " + last);
    if (unstable) {
      out.println("UNSTABLE: the rooflines changed during the run; do not use these figures");
    }
    disagreements.forEach(line -> out.println("DIFFERENT: " + line));
    return disagreements.isEmpty() ? Outcome.OK : Outcome.FAILED;
  }

  private static Writer writer(Optional<String> file) throws IOException {
    return file.isPresent() ? Files.newBufferedWriter(Path.of(file.get())) : Writer.nullWriter();
  }

  private static Optional<String> measure(
      TimedCase one, Setup setup, ResultTable table, JsonLines json) throws IOException {
    try (Arena arena = Arena.ofShared();
        HugePageMemory hugePages = new HugePageMemory()) {
      Workload workload = one.workload().apply(setup.hugePages() ? hugePages : arena);
      List<Contender> contenders =
          workload.contenders(setup.devices(), setup.rooflines().threads());
      try {
        if (contenders.isEmpty()) {
          return Optional.empty(); // something of another library, which is not there
        }
        Comparison comparison = new Comparison(workload, contenders, setup.rooflines().threads());
        Optional<String> disagreement = comparison.disagreement();
        if (disagreement.isEmpty()) {
          Comparison.Result result = comparison.measure(setup.rule());
          table.add(workload, result, setup.rooflines());
          for (int i = 0; i < contenders.size(); i++) {
            Tolerance tolerance = contenders.get(i).tolerance();
            json.write(line(one, workload, tolerance, result.timings().get(i), result, setup));
          }
        }
        return disagreement;
      } finally {
        contenders.forEach(Contender::close);
      }
    }
  }

  /** Schema {@code quern-bench/1}: one figure. */
  private static Map<String, Object> line(
      TimedCase one,
      Workload workload,
      Tolerance tolerance,
      Timing timing,
      Comparison.Result result,
      Setup setup)
      throws IOException {
    Rooflines rooflines = setup.rooflines();
    boolean gpu = timing.name().equals(Backend.CUDA.id());
    double rate = timing.gigabytesPerSecond(workload.bytes());
    Map<String, Object> line = new LinkedHashMap<>();
    line.put("schema", "quern-bench/1");
    line.put("id", one.id());
    line.put("operator", workload.operator());
    line.put("implementation", timing.name());
    line.put("commit", Environment.commit());
    line.put("parameters", workload.parameters());
    if (one.ids() != null) {
      line.put("ids", one.ids());
    }
    line.put("pages", setup.hugePages() ? "huge" : "default");
    line.put("environment", Environment.describe());
    line.put("mode", gpu ? "gpu events" : "wall clock");
    line.put("threads", timing.name().startsWith("java") ? 1 : rooflines.threads());
    line.put("n", timing.micros().size());
    line.put("runs_per_sample", timing.runsPerSample());
    line.put(
        "stop_rule", "%d turns and %s s".formatted(setup.rule().turns(), setup.rule().seconds()));
    line.put(
        "us",
        Map.of(
            "min", timing.percentile(0),
            "p05", timing.percentile(5),
            "p50", timing.percentile(50),
            "p95", timing.percentile(95)));
    line.put("bytes", workload.bytes());
    line.put("gb_per_s", rate);
    line.put(
        "copy_gb_per_s",
        gpu ? rooflines.gpuCopy() : result.memcpy().gigabytesPerSecond(workload.bytes()));
    line.put("percent_of_copy", 100 * rooflines.shareOfCopy(workload, timing, result.memcpy()));
    if (workload.flops() > 0) {
      double gigaflops = workload.flops() / timing.percentile(50) * 1e-3;
      line.put("flops", workload.flops());
      line.put("gflop_per_s", gigaflops);
      if (!gpu) {
        line.put("fma_gflop_per_s", result.fmaPeak());
        line.put("percent_of_fma", 100 * gigaflops / result.fmaPeak());
      }
    }
    Map<String, Object> ratios = new LinkedHashMap<>();
    for (Timing baseline : result.baselines()) {
      if (!baseline.name().equals(timing.name())) {
        Statistics.Interval ratio = timing.timesFasterThan(baseline);
        ratios.put(
            baseline.name(),
            Map.of(
                "median", ratio.median(),
                "low", ratio.low(),
                "high", ratio.high(),
                "verdict", verdict(ratio)));
      }
    }
    line.put("times_faster_than", ratios);
    line.put("verified", true);
    if (tolerance instanceof Tolerance.AllClose(double rtol, double atol)) {
      line.put("tolerance", Map.of("rtol", rtol, "atol", atol));
    } else {
      line.put("max_ulp", 0);
    }
    line.put("allocated_bytes_per_op", timing.allocatedBytes());
    return line;
  }

  /** Schema {@code quern-downcall/1}: one line per native function. */
  private static List<String> downcalls(JsonLines json) throws IOException {
    Map<String, Statistics.Interval> nanos;
    try {
      nanos = DowncallCost.measure();
    } catch (IllegalStateException noLibrary) {
      return List.of("downcall: not measured: " + noLibrary.getMessage());
    }
    List<String> lines = new ArrayList<>();
    for (Map.Entry<String, Statistics.Interval> call : nanos.entrySet()) {
      Statistics.Interval cost = call.getValue();
      json.write(
          Map.of(
              "schema",
              "quern-downcall/1",
              "function",
              call.getKey(),
              "commit",
              Environment.commit(),
              "environment",
              Environment.describe(),
              "ns",
              Map.of("median", cost.median(), "low", cost.low(), "high", cost.high())));
      lines.add(
          "downcall: %s %.1f ns [%.1f, %.1f]"
              .formatted(call.getKey(), cost.median(), cost.low(), cost.high()));
    }
    return lines;
  }

  private static String verdict(Statistics.Interval ratio) {
    return ratio.low() > 1 ? "FASTER" : ratio.high() < 1 ? "SLOWER" : "AMBIGUOUS";
  }

  /** Schema {@code quern-bench-run/1}: the last line, about the run as a whole. */
  private static Map<String, Object> runLine(Rooflines first, Rooflines last, boolean unstable)
      throws IOException {
    Map<String, Object> line = new LinkedHashMap<>();
    line.put("schema", "quern-bench-run/1");
    line.put("commit", Environment.commit());
    line.put("environment", Environment.describe());
    line.put("rooflines_first", figures(first));
    line.put("rooflines_last", figures(last));
    line.put("unstable", unstable);
    return line;
  }

  private static Map<String, Object> figures(Rooflines rooflines) {
    Map<String, Object> figures = new LinkedHashMap<>();
    figures.put("threads", rooflines.threads());
    figures.put("copy_gb_per_s", rooflines.copy());
    figures.put("read_gb_per_s", rooflines.read());
    figures.put("random_rows_gb_per_s", rooflines.randomRows());
    figures.put(
        "gpu_copy_gb_per_s", Double.isNaN(rooflines.gpuCopy()) ? null : rooflines.gpuCopy());
    return figures;
  }
}
