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
import io.quern.timing.Statistics;
import java.io.IOException;
import java.io.OutputStream;
import java.io.PrintStream;
import java.lang.foreign.Arena;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.EnumSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/** Times the operators on every back end, next to plain Java loops. */
public final class BenchCommand implements Command {
  private static final Option JSON =
      new Option("--json", "FILE", "also write one JSON line per figure to FILE");
  private static final Option APPEND =
      new Option("--append", "", "add the lines to FILE, as another run, instead of replacing it");
  private static final Option FORKS =
      new Option("--forks", "N", "measure in N JVMs, one after another; needs --json");
  private static final Option AGAINST =
      new Option("--against", "JAR", "measure the build JAR beside this one, and compare");
  private static final Option MINUTES =
      new Option(
          "--minutes",
          "N",
          "with --against: no JVM is started after N, but for the first five; default 30");
  private static final Option PRESET =
      new Option("--preset", "NAME", "quick (within 3 minutes), full, or grid; default full");
  private static final Option SECONDS =
      new Option("--seconds", "N", "sample each case for N seconds, whatever the preset says");
  private static final Option QUICK = new Option("--quick", "", "the same as --preset quick");
  private static final Option CASE =
      new Option(
          "--case", "LIST", "only cases whose id contains one of these, such as table1GiB-row512");
  private static final Option DTYPE =
      new Option("--dtype", "LIST", "only cases whose id names one of these, such as f32,bf16");
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

  private static final int MOST_FORKS = 100;
  private static final int MOST_SECONDS = 600;
  private static final int DEFAULT_MINUTES = 30;
  private static final int MOST_MINUTES = 24 * 60;

  /** Stands among the operators for the cost of calling native code at all. */
  private static final String DOWNCALL = "downcall";

  /** What holds for every case of a run; beside another build or not. */
  private record Setup(
      List<Device> devices,
      Comparison.StopRule rule,
      Rooflines rooflines,
      boolean hugePages,
      Optional<OtherBuild> other) {}

  /** Parts of an id: {@code embedding_gather/f32-table1GiB} has three. */
  private static final Pattern SEPARATOR = Pattern.compile("[/-]");

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
    return List.of(
        PRESET,
        QUICK,
        SECONDS,
        Option.BACKEND,
        Option.OP,
        DTYPE,
        CASE,
        THREADS,
        HUGE_PAGES,
        FORKS,
        AGAINST,
        MINUTES,
        JSON,
        APPEND);
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
    the run is marked unstable. An interrupted run leaves whole lines. On a GPU the time is that
    between two events around the queued launches. "downcall" is the cost of calling a native
    function that does nothing, where the libraries are there, driver or not.

    --against measures JAR, an older build, and this one in the same JVMs, in turns on the same
    operands, and says what became slower (see compare --help). The first five JVMs measure all
    cases; those that are not decided are measured again, until there are 8, 12, 18 or 27 JVMs.
    JAR's back ends are called before:simd and before:scalar. With --append it is one more JVM.

    Published figures also need JMH:
    java -cp quern-bench.jar org.openjdk.jmh.Main -prof gc
    """;
  }

  @Override
  public List<String> examples() {
    return List.of(
        "bench --preset quick",
        "bench --op embedding_bag --backend simd --huge-pages",
        "bench --case table1GiB-row512 --json results.jsonl",
        "bench --preset quick --forks 5 --json before.jsonl",
        "bench --preset quick --against before.jar --json after.jsonl");
  }

  @Override
  public Outcome run(Arguments arguments, Terminal terminal) throws Exception {
    Optional<Path> file = arguments.value(JSON).map(Path::of);
    boolean against = arguments.has(AGAINST);
    if (file.isEmpty() && (arguments.has(FORKS) || arguments.has(APPEND) || against)) {
      throw new BadArgumentsException("--forks, --append and --against need --json FILE");
    }
    if (against && arguments.has(FORKS)) {
      throw new BadArgumentsException("--against has as many forks as it takes");
    }
    if (arguments.has(MINUTES) && !against) {
      throw new BadArgumentsException("--minutes is for --against");
    }
    Optional<Set<Backend>> backends = against ? Optional.of(cpu(arguments)) : arguments.backends();
    int minutes = arguments.integer(MINUTES, DEFAULT_MINUTES, 1, MOST_MINUTES);
    boolean hugePages = arguments.has(HUGE_PAGES);
    int threads = arguments.integer(THREADS, 1, 1, Runtime.getRuntime().availableProcessors());
    Preset preset = preset(arguments);
    Set<String> operators = operators(arguments);
    List<TimedCase> cases = chosen(preset, operators, arguments);
    boolean withDowncall =
        operators.contains(DOWNCALL) && !arguments.has(CASE) && !arguments.has(DTYPE) && !against;
    Comparison.StopRule rule = against ? preset.rule().ofInstances() : preset.rule();
    if (arguments.has(SECONDS)) {
      rule = rule.lasting(arguments.integer(SECONDS, 1, 1, MOST_SECONDS));
    }
    int forks = arguments.integer(FORKS, 1, 1, MOST_FORKS);
    if (forks > 1) {
      return new Forks(terminal).run(forks, arguments.without(FORKS), file.get());
    }
    if (against && !arguments.has(APPEND)) {
      OtherBuild.requireJar(Path.of(arguments.value(AGAINST).get()));
      return new Rounds(terminal, file.get())
          .run(arguments.without(MINUTES, CASE), arguments.list(CASE), minutes);
    }
    Backends.probe().lines().forEach(terminal.out()::println);
    ResultTable table = new ResultTable();
    List<String> disagreements = new ArrayList<>();
    Rooflines first;
    Rooflines last;
    boolean unstable;
    List<String> downcalls = List.of();
    try (OpenDevices devices = new OpenDevices(backends, threads);
        OtherBuild other =
            against
                ? new OtherBuild(
                    Path.of(arguments.value(AGAINST).get()),
                    backends.get(),
                    threads,
                    Rounds.measured(file.get()) % 2 == 0)
                : null;
        MemoryProbe memory = new MemoryProbe(threads, hugePages, devices.gpu());
        RunLog log = new RunLog(stream(file, arguments.has(APPEND)), preset, rule, hugePages);
        Progress progress = terminal.progress("bench", cases.size() + (withDowncall ? 3 : 2))) {
      if (other != null) {
        log.beside(other.commit());
      }
      progress.step("rooflines");
      first = memory.measure();
      log.first(first);
      Setup setup = new Setup(devices.all(), rule, first, hugePages, Optional.ofNullable(other));
      for (TimedCase one : cases) {
        progress.step(one.id());
        measure(one, setup, table, log, terminal.err()).ifPresent(disagreements::add);
      }
      if (withDowncall) {
        progress.step(DOWNCALL);
        downcalls = downcalls(log);
      }
      progress.step("rooflines");
      last = memory.measure();
      unstable = first.cpuDrift(last) > CPU_DRIFT || first.gpuDrift(last) > GPU_DRIFT;
      log.last(last, unstable);
    }
    PrintStream out = terminal.out();
    table.print(out);
    downcalls.forEach(out::println);
    out.println("first: " + first);
    out.println("last:  " + last);
    if (unstable) {
      out.println(
          "UNSTABLE: the rooflines changed during the run; do not use these figures"
              + (against ? ", other than the ratios of two builds" : ""));
    }
    disagreements.forEach(line -> out.println("DIFFERENT: " + line));
    return disagreements.isEmpty() ? Outcome.OK : Outcome.FAILED;
  }

  /** CPU back ends: those that are asked for, or all. */
  private static Set<Backend> cpu(Arguments arguments) {
    Set<Backend> cpu = EnumSet.of(Backend.SCALAR, Backend.SIMD);
    Set<Backend> asked = arguments.backends().orElse(cpu);
    if (!cpu.containsAll(asked)) {
      throw new BadArgumentsException(
          "--against is for CPU back ends: two builds cannot load one CUDA library in one JVM;"
              + " measure each with --forks 4, then compare");
    }
    return asked;
  }

  private static Preset preset(Arguments arguments) {
    if (arguments.has(QUICK)) {
      if (arguments.has(PRESET)) {
        throw new BadArgumentsException("--quick is --preset quick: give one of them");
      }
      return Preset.QUICK;
    }
    return arguments.value(PRESET).map(Preset::of).orElse(Preset.FULL);
  }

  private static Set<String> operators(Arguments arguments) {
    Set<String> known =
        TimedCase.all().stream().map(TimedCase::operator).collect(Collectors.toSet());
    known.add(DOWNCALL);
    return arguments.operators(known);
  }

  private static List<TimedCase> chosen(Preset preset, Set<String> operators, Arguments arguments) {
    List<String> parts = arguments.list(CASE);
    List<String> dtypes = arguments.list(DTYPE);
    List<TimedCase> cases =
        preset
            .cases()
            .filter(one -> operators.contains(one.operator()))
            .filter(one -> parts.isEmpty() || parts.stream().anyMatch(one.id()::contains))
            .filter(
                one ->
                    dtypes.isEmpty()
                        || SEPARATOR.splitAsStream(one.id()).anyMatch(dtypes::contains))
            .toList();
    if (cases.isEmpty() && !(parts.isEmpty() && dtypes.isEmpty())) {
      throw new BadArgumentsException(
          "no case of preset %s has an id with %s"
              .formatted(
                  preset.id(),
                  Stream.of(parts, dtypes)
                      .filter(list -> !list.isEmpty())
                      .map(list -> String.join(" or ", list))
                      .collect(Collectors.joining(" and "))));
    }
    return cases;
  }

  /** Unbuffered: what was written is in the file whatever becomes of this process. */
  private static OutputStream stream(Optional<Path> file, boolean append) throws IOException {
    if (file.isEmpty()) {
      return OutputStream.nullOutputStream();
    }
    return append
        ? Files.newOutputStream(file.get(), StandardOpenOption.CREATE, StandardOpenOption.APPEND)
        : Files.newOutputStream(file.get());
  }

  private static Optional<String> measure(
      TimedCase one, Setup setup, ResultTable table, RunLog log, PrintStream err)
      throws IOException {
    List<Contender> open = new ArrayList<>();
    try (Arena arena = Arena.ofShared();
        HugePageMemory hugePages = new HugePageMemory()) {
      SharedMemory memory = new SharedMemory(setup.hugePages() ? hugePages : arena);
      Workload workload = one.workload().apply(memory);
      int threads = setup.rooflines().threads();
      try {
        if (setup.other().isPresent()) {
          open.addAll(setup.other().get().contenders(one, memory, workload, setup.devices()));
        } else {
          open.addAll(workload.contenders(setup.devices(), threads));
        }
        if (open.isEmpty()) { // something of another library, or build, which is not there
          setup
              .other()
              .filter(other -> workload.hasBackends())
              .ifPresent(other -> err.println(other.lacks(one)));
          return Optional.empty();
        }
        List<Contender> timed = List.copyOf(open);
        if (setup.other().isPresent()) { // two builds may err alike: a plain loop does not
          workload.loops().values().forEach(loop -> open.addFirst(loop.get()));
        }
        Optional<String> disagreement = new Comparison(workload, open, threads).disagreement();
        if (disagreement.isPresent()) {
          log.refused(one, workload, disagreement.get());
          return disagreement;
        }
        Comparison.Result result = new Comparison(workload, timed, threads).measure(setup.rule());
        table.add(workload, result, setup.rooflines());
        for (int i = 0; i < timed.size(); i++) {
          Contender contender = timed.get(i);
          log.figure(
              one,
              workload,
              contender.tolerance(),
              result.timings().get(i),
              result,
              contender.gpuTimes(workload.inputSets()));
        }
        return Optional.empty();
      } finally {
        open.forEach(Contender::close);
      }
    }
  }

  private static List<String> downcalls(RunLog log) throws IOException {
    Map<String, Statistics.Interval> nanos;
    try {
      nanos = DowncallCost.measure();
    } catch (IllegalStateException noLibrary) {
      return List.of("downcall: not measured: " + noLibrary.getMessage());
    }
    List<String> lines = new ArrayList<>();
    for (Map.Entry<String, Statistics.Interval> call : nanos.entrySet()) {
      Statistics.Interval cost = call.getValue();
      log.downcall(call.getKey(), cost);
      lines.add(
          "downcall: %s %.1f ns [%.1f, %.1f]"
              .formatted(call.getKey(), cost.median(), cost.low(), cost.high()));
    }
    return lines;
  }
}
