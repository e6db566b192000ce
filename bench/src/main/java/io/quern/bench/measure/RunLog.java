package io.quern.bench.measure;

import io.quern.Backend;
import io.quern.bench.report.CompareCommand;
import io.quern.bench.verify.Tolerance;
import io.quern.timing.Statistics;
import java.io.Closeable;
import java.io.IOException;
import java.io.OutputStream;
import java.io.UncheckedIOException;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;

/**
 * The lines of one run. Schema {@code quern-bench/1} is one figure, {@code quern-downcall/1} the
 * cost of a call, {@code quern-bench-run/1} the run as a whole, which comes last: also where the
 * run was interrupted.
 */
final class RunLog implements Closeable {
  static final String RUN = "quern-bench-run/1";

  private final JsonLines json;
  private final Preset preset;
  private final Comparison.StopRule rule;
  private final boolean hugePages;
  private final String run;
  private final String commit;
  private final Map<String, Object> environment;
  private final Thread lastWords = new Thread(this::interrupted, "last line");
  private Rooflines first;
  private String commitBefore = "";
  private boolean ended;

  /** Begins a run; its lines go to {@code out}, which should not buffer. */
  RunLog(OutputStream out, Preset preset, Comparison.StopRule rule, boolean hugePages)
      throws IOException {
    this.json = new JsonLines(out);
    this.preset = preset;
    this.rule = rule;
    this.hugePages = hugePages;
    this.run =
        "%s-%d"
            .formatted(Instant.now().truncatedTo(ChronoUnit.MILLIS), ProcessHandle.current().pid());
    this.commit = Environment.commit();
    this.environment = Environment.describe();
    Runtime.getRuntime().addShutdownHook(lastWords);
  }

  /** Another build takes part, which was built from that commit. */
  void beside(String commit) {
    commitBefore = commit;
  }

  /** The rooflines that were measured before everything else. */
  synchronized void first(Rooflines rooflines) {
    first = rooflines;
  }

  /** What every line begins with. */
  private Map<String, Object> line(String schema) {
    Map<String, Object> line = new LinkedHashMap<>();
    line.put("schema", schema);
    line.put("run", run);
    line.put("commit", commit);
    line.put("environment", environment);
    return line;
  }

  private Map<String, Object> line(TimedCase one, Workload workload) {
    Map<String, Object> line = line("quern-bench/1");
    line.put("preset", preset.id());
    line.put("id", one.id());
    line.put("operator", workload.operator());
    line.put("parameters", workload.parameters());
    if (one.ids() != null) {
      line.put("ids", one.ids());
    }
    line.put("pages", hugePages ? "huge" : "default");
    return line;
  }

  /** A case whose contenders disagree, and which is therefore not timed. */
  void refused(TimedCase one, Workload workload, String difference) throws IOException {
    Map<String, Object> line = line(one, workload);
    line.put("verified", false);
    line.put("difference", difference);
    json.write(line);
  }

  /** One figure. */
  void figure(
      TimedCase one,
      Workload workload,
      Tolerance tolerance,
      Timing timing,
      Comparison.Result result,
      Optional<GpuTimes> gpuTimes)
      throws IOException {
    boolean gpu = timing.name().equals(Backend.CUDA.id());
    Statistics.Interval median = timing.median();
    Map<String, Object> line = line(one, workload);
    if (timing.name().startsWith(CompareCommand.BEFORE)) {
      line.put("commit", commitBefore);
    }
    line.put("implementation", timing.name());
    line.put("mode", gpu ? "gpu events" : "wall clock");
    line.put("threads", timing.name().startsWith("java") ? 1 : first.threads());
    line.put("n", timing.micros().size());
    line.put("runs_per_sample", timing.runsPerSample());
    line.put("stop_rule", rule.toString());
    Map<String, Object> micros = new LinkedHashMap<>();
    micros.put("min", timing.percentile(0));
    micros.put("p05", timing.percentile(5));
    micros.put("p50", timing.percentile(50));
    micros.put("p95", timing.percentile(95));
    micros.put("low", median.low());
    micros.put("high", median.high());
    line.put("us", micros);
    if (!gpu) {
      line.put("cpu_us", quantiles(timing));
      line.put("memcpy_cpu_us", quantiles(result.memcpy()));
    }
    gpuTimes.ifPresent(times -> line.put("gpu", times.figures()));
    line.put("bytes", workload.bytes());
    line.put("gb_per_s", timing.gigabytesPerSecond(workload.bytes()));
    line.put(
        "copy_gb_per_s",
        gpu
            ? first.gpu().orElseThrow().copy()
            : result.memcpy().gigabytesPerSecond(workload.bytes()));
    line.put("percent_of_copy", 100 * first.shareOfCopy(workload, timing, result.memcpy()));
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
        ratios.put(baseline.name(), ratio(timing.timesFasterThan(baseline)));
      }
    }
    line.put("times_faster_than", ratios);
    if (!gpu) {
      line.put("times_memcpy", interval(timing.timesFasterThan(result.memcpy())));
    }
    line.put("verified", true);
    if (tolerance instanceof Tolerance.AllClose(double rtol, double atol)) {
      line.put("tolerance", Map.of("rtol", rtol, "atol", atol));
    } else {
      line.put("max_ulp", 0);
    }
    line.put("allocated_bytes_per_op", timing.allocatedBytes());
    json.write(line);
  }

  private static Map<String, Object> quantiles(Timing timing) {
    Map<String, Object> quantiles = new LinkedHashMap<>();
    quantiles.put("p05", timing.cpuPercentile(5));
    quantiles.put("p50", timing.cpuPercentile(50));
    return quantiles;
  }

  private static Map<String, Object> ratio(Statistics.Interval ratio) {
    Map<String, Object> figures = interval(ratio);
    figures.put("verdict", ratio.low() > 1 ? "FASTER" : ratio.high() < 1 ? "SLOWER" : "AMBIGUOUS");
    return figures;
  }

  private static Map<String, Object> interval(Statistics.Interval interval) {
    Map<String, Object> figures = new LinkedHashMap<>();
    figures.put("median", interval.median());
    figures.put("low", interval.low());
    figures.put("high", interval.high());
    return figures;
  }

  /** What a call of a native function costs. */
  void downcall(String function, Statistics.Interval nanos) throws IOException {
    Map<String, Object> line = line("quern-downcall/1");
    line.put("function", function);
    line.put("ns", interval(nanos));
    json.write(line);
  }

  /** Ends the run. */
  synchronized void last(Rooflines last, boolean unstable) throws IOException {
    Map<String, Object> line = line(RUN);
    line.put("preset", preset.id());
    line.put("rooflines_first", figures(first));
    line.put("rooflines_last", figures(last));
    line.put("unstable", unstable);
    json.write(line);
    ended = true;
  }

  /** The last line of a run that a signal or a failure ended. */
  private synchronized void interrupted() {
    if (ended) {
      return;
    }
    ended = true;
    Map<String, Object> line = line(RUN);
    line.put("preset", preset.id());
    if (first != null) {
      line.put("rooflines_first", figures(first));
    }
    line.put("interrupted", true);
    try {
      json.write(line);
      json.close();
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  private static Map<String, Object> figures(Rooflines rooflines) {
    Map<String, Object> figures = new LinkedHashMap<>();
    figures.put("threads", rooflines.threads());
    figures.put("copy_gb_per_s", rooflines.copy());
    figures.put("read_gb_per_s", rooflines.read());
    figures.put("random_rows_gb_per_s", rooflines.randomRows());
    rooflines.gpu().ifPresent(gpu -> figures.putAll(gpu.figures()));
    return figures;
  }

  @Override
  public void close() throws IOException {
    interrupted(); // unless it has ended
    try {
      Runtime.getRuntime().removeShutdownHook(lastWords);
    } catch (IllegalStateException e) {
      // The JVM is ending, and the hook with it.
    }
    json.close();
  }
}
