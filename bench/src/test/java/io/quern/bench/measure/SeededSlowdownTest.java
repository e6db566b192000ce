package io.quern.bench.measure;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.quern.DType;
import io.quern.Shape;
import io.quern.bench.Arguments;
import io.quern.bench.Outcome;
import io.quern.bench.Terminal;
import io.quern.bench.report.CompareCommand;
import io.quern.bench.verify.Tolerance;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.io.PrintStream;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** From the measurement to the verdict: a task that does a tenth more work is found to. */
class SeededSlowdownTest {
  private static final int WORK = 200_000;
  private static final int RUNS = 5;
  private static final Comparison.StopRule RULE = new Comparison.StopRule(15, 0.05, 0.1);
  private static final Rooflines ROOFLINES = new Rooflines(1, 20, 15, 6, Optional.empty());

  @TempDir private Path folder;

  /** Stands for a back end; its work is counted in steps that nothing can shorten. */
  private record Task(int steps, MemorySegment out) implements Contender {
    @Override
    public String name() {
      return "simd";
    }

    @Override
    public boolean isBackend() {
      return true;
    }

    @Override
    public void run(int set) {
      out.set(ValueLayout.JAVA_INT, 0, walked(steps) == 0 ? 1 : 2);
    }

    @Override
    public void poison() {
      out.fill((byte) -1);
    }

    @Override
    public Map<String, MemorySegment> results() {
      return Map.of("out", out);
    }

    @Override
    public void close() {}
  }

  /** A chain of multiplications. */
  private static long walked(int steps) {
    long x = steps;
    for (int i = 0; i < steps; i++) {
      x = x * 6_364_136_223_846_793_005L + 1;
    }
    return x;
  }

  private Path measured(String name, int steps) throws IOException {
    Path file = folder.resolve(name);
    for (int run = 0; run < RUNS; run++) {
      try (Arena arena = Arena.ofShared();
          OutputStream out =
              Files.newOutputStream(file, StandardOpenOption.CREATE, StandardOpenOption.APPEND);
          RunLog log = new RunLog(out, Preset.QUICK, RULE, false)) {
        log.first(ROOFLINES);
        Workload workload = new Workload(arena, "task", "steps").bytes(1 << 20);
        MemorySegment result = workload.output("out", DType.I32, Shape.of(1));
        workload.loop(
            "java-loop", set -> result.set(ValueLayout.JAVA_INT, 0, walked(WORK) == 0 ? 1 : 2));
        List<Contender> contenders =
            List.of(workload.loops().get("java-loop").get(), new Task(steps, result));
        Comparison comparison = new Comparison(workload, contenders, 1);
        assertEquals(Optional.empty(), comparison.disagreement());
        Comparison.Result measured = comparison.measure(RULE);
        TimedCase one = TimedCase.of("task", "steps", memory -> workload);
        for (Timing timing : measured.timings()) {
          log.figure(one, workload, new Tolerance.Exact(), timing, measured, Optional.empty());
        }
        log.last(ROOFLINES, false);
      }
    }
    return file;
  }

  /** The verdict on the one case, and whether the exit code is that of a regression. */
  private static String verdict(Path before, Path after) throws IOException {
    ByteArrayOutputStream printed = new ByteArrayOutputStream();
    PrintStream stream = new PrintStream(printed, true, StandardCharsets.UTF_8);
    CompareCommand compare = new CompareCommand();
    Arguments arguments = Arguments.parse(compare, List.of(before.toString(), after.toString()));
    Outcome outcome = compare.run(arguments, new Terminal(stream, stream, false));
    String text = printed.toString(StandardCharsets.UTF_8);
    String verdict = text.substring(0, text.indexOf(' '));
    assertEquals(verdict.equals("SLOWER") ? Outcome.FAILED : Outcome.OK, outcome, text);
    return verdict;
  }

  /** A loaded machine may leave it open, but not three times, and never says the contrary. */
  private void isFound(String verdict, int steps) throws IOException {
    List<String> verdicts = new ArrayList<>();
    while (!verdicts.contains(verdict) && verdicts.size() < 3) {
      int tried = verdicts.size();
      Path before = measured(verdict + "-before" + tried, WORK);
      verdicts.add(verdict(before, measured(verdict + "-after" + tried, steps)));
    }
    assertTrue(verdicts.contains(verdict), verdicts::toString);
    verdicts.removeIf(other -> other.equals(verdict) || other.equals("AMBIGUOUS"));
    assertEquals(List.of(), verdicts);
  }

  @Test
  void aTenthMoreWorkIsFound() throws IOException {
    isFound("SLOWER", WORK / 10 * 11);
  }

  @Test
  void theSameWorkIsTheSame() throws IOException {
    isFound("SAME", WORK);
  }
}
