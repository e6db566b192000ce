package io.quern.bench.measure;

import com.sun.management.ThreadMXBean;
import io.quern.bench.verify.GoldenComparison;
import io.quern.bench.verify.GoldenTensor;
import io.quern.bench.verify.Tolerance;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.management.ManagementFactory;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.locks.LockSupport;

/**
 * Contenders at one workload: first whether they agree, then how fast they are. They take turns, A
 * B C C B A, so that whatever else the machine does meets all of them alike.
 */
public final class Comparison {
  private static final int WARM_UP_RUNS = 12_000;

  /**
   * Warm-up is time on a core, since a machine with other work gives the JIT compiler as little as
   * this thread: what was sampled after seconds by the clock was interpreted there, ten times
   * slower. But no more than so many times that by the clock: others may do the work.
   */
  private static final int MOST_WARM_UP = 5;

  private static final int ALLOCATION_RUNS = 1000;
  private static final long ALLOCATION_NANOS = 200_000_000L;

  /** Other libraries' threads spin for a while after a call and would slow the next contender. */
  private static final long PAUSE_NANOS = 2_000_000L;

  private static final double SAMPLE_SECONDS = 1e-3;

  private final Workload workload;
  private final List<Contender> contenders;
  private final int threads;

  /**
   * Compares.
   *
   * @param contenders the first is what the others are held to
   * @param threads how many the memcpy uses that stands beside them
   */
  public Comparison(Workload workload, List<Contender> contenders, int threads) {
    this.workload = workload;
    this.contenders = List.copyOf(contenders);
    this.threads = threads;
  }

  /**
   * When to stop measuring: as soon as both are reached.
   *
   * @param turns every contender is sampled at least this often
   * @param seconds all contenders together have run at least this long
   * @param warmUp seconds for which each contender is warmed up, unless it has run often before
   */
  public record StopRule(int turns, double seconds, double warmUp) {
    /** The same for another time. */
    StopRule lasting(double seconds) {
      return new StopRule(turns, seconds, warmUp);
    }

    /** The same, or so much of it that every instance has been sampled twice, and for a second. */
    StopRule ofInstances() {
      return new StopRule(Math.max(turns, 2 * Instances.COUNT), Math.max(seconds, 1), warmUp);
    }

    @Override
    public String toString() {
      return "%d turns and %s s after a warm-up of %s s".formatted(turns, seconds, warmUp);
    }
  }

  /**
   * Runs every contender twice on poisoned outputs and compares them with the first one's.
   *
   * @return where a contender differs, or nothing if all agree
   */
  public Optional<String> disagreement() {
    try (Arena arena = Arena.ofConfined()) {
      Map<String, MemorySegment> expected = new HashMap<>();
      // What has a tolerance is held to what has none.
      List<Contender> exactFirst =
          contenders.stream()
              .sorted(Comparator.comparing(one -> one.tolerance() instanceof Tolerance.AllClose))
              .toList();
      for (Contender contender : exactFirst) {
        for (int repeat = 0; repeat < 2; repeat++) {
          contender.poison();
          contender.run(0);
          Map<String, MemorySegment> results = contender.results();
          if (expected.isEmpty()) {
            results.forEach(
                (name, result) ->
                    expected.put(name, arena.allocate(result.byteSize(), 64).copyFrom(result)));
          }
          for (Map.Entry<String, MemorySegment> result : results.entrySet()) {
            Optional<String> difference =
                difference(contender, result.getKey(), result.getValue(), expected);
            if (difference.isPresent()) {
              return difference;
            }
          }
        }
      }
    }
    return Optional.empty();
  }

  private Optional<String> difference(
      Contender contender,
      String name,
      MemorySegment result,
      Map<String, MemorySegment> expectedResults) {
    Output output = workload.outputs().get(name);
    MemorySegment expected = expectedResults.get(name);
    GoldenTensor got = new GoldenTensor(output.dtype(), output.shape(), result);
    GoldenTensor want = new GoldenTensor(output.dtype(), output.shape(), expected);
    String where = "%s %s: %s".formatted(workload.operator(), workload.shape(), contender.name());
    if (contender.tolerance() instanceof Tolerance.AllClose) {
      return GoldenComparison.difference(got, want, contender.tolerance())
          .map(difference -> "%s, output %s: %s".formatted(where, name, difference));
    }
    long difference = expected.mismatch(result);
    if (difference < 0) {
      return Optional.empty();
    }
    long element = difference / output.dtype().byteSize();
    return Optional.of(
        "%s gives %s at element %d of %s, %s gives %s"
            .formatted(
                where,
                bits(got, element),
                element,
                name,
                contenders.getFirst().name(),
                bits(want, element)));
  }

  private static String bits(GoldenTensor tensor, long element) {
    int size = tensor.dtype().byteSize();
    StringBuilder hex = new StringBuilder();
    for (long at = size * (element + 1) - 1; at >= size * element; at--) { // little-endian
      hex.append("%02x".formatted(tensor.data().get(ValueLayout.JAVA_BYTE, at)));
    }
    return "%s (0x%s)".formatted(tensor.text(element), hex);
  }

  /**
   * What a measurement found.
   *
   * @param timings of the contenders, in their order
   * @param memcpy of as many bytes as the workload moves, taken in turns with them
   * @param fmaPeak GFLOP/s in registers, taken in turns with them; NaN for a workload of bytes
   */
  public record Result(List<Timing> timings, Timing memcpy, double fmaPeak) {
    /** Copies the list. */
    public Result {
      timings = List.copyOf(timings);
    }

    /** What Quern is compared with. */
    public List<Timing> baselines() {
      return timings.stream().filter(timing -> !timing.backend()).toList();
    }
  }

  /** Warms every contender up, then samples them, a memcpy and a multiply-add loop in turns. */
  public Result measure(StopRule rule) {
    try (Memcpy memcpy = new Memcpy(workload, threads);
        FmaPeak fma = new FmaPeak(threads)) {
      List<Contender> all = new ArrayList<>(contenders);
      all.add(memcpy);
      if (workload.flops() > 0) {
        all.add(fma);
      }
      List<Timing> timings = measure(all, rule);
      int count = contenders.size();
      return new Result(
          timings.subList(0, count),
          timings.get(count),
          workload.flops() > 0
              ? fma.flops() / timings.getLast().percentile(50) * 1e-3
              : Double.NaN);
    }
  }

  private List<Timing> measure(List<Contender> all, StopRule rule) {
    int[] runs = new int[all.size()];
    List<List<Double>> micros = new ArrayList<>();
    List<List<Double>> cpuMicros = new ArrayList<>();
    ThreadMXBean thread = (ThreadMXBean) ManagementFactory.getThreadMXBean();
    for (int c = 0; c < runs.length; c++) {
      warmUp(all.get(c), rule.warmUp());
      double seconds = all.get(c).seconds(0, 1, workload.inputSets());
      runs[c] = (int) Math.max(1, Math.ceil(SAMPLE_SECONDS / Math.max(seconds, 1e-7)));
      micros.add(new ArrayList<>());
      cpuMicros.add(new ArrayList<>());
    }
    long start = System.nanoTime();
    int next = 0; // input set
    for (int turn = 0;
        turn < rule.turns() || (System.nanoTime() - start) * 1e-9 < rule.seconds();
        turn++) {
      for (int i = 0; i < runs.length; i++) {
        int c = turn % 2 == 0 ? i : runs.length - 1 - i;
        long onCore = thread.getCurrentThreadCpuTime();
        double seconds = all.get(c).seconds(next, runs[c], workload.inputSets());
        onCore = thread.getCurrentThreadCpuTime() - onCore;
        micros.get(c).add(seconds / runs[c] * 1e6);
        cpuMicros.get(c).add(onCore * 1e-3 / runs[c]);
        next = (next + runs[c]) % workload.inputSets();
        if (threads > 1) {
          LockSupport.parkNanos(PAUSE_NANOS);
        }
      }
    }
    List<Timing> timings = new ArrayList<>();
    for (int c = 0; c < runs.length; c++) {
      Contender contender = all.get(c);
      timings.add(
          new Timing(
              contender.name(),
              contender.isBackend(),
              micros.get(c),
              cpuMicros.get(c),
              runs[c],
              allocatedBytes(contender)));
    }
    return timings;
  }

  private void warmUp(Contender contender, double seconds) {
    ThreadMXBean thread = (ThreadMXBean) ManagementFactory.getThreadMXBean();
    long start = System.nanoTime();
    long onCore = thread.getCurrentThreadCpuTime();
    boolean warm = false;
    for (int i = 0; i < WARM_UP_RUNS && !warm; i++) {
      contender.run(workload.warmUpSet());
      warm =
          (thread.getCurrentThreadCpuTime() - onCore) * 1e-9 > seconds
              || (System.nanoTime() - start) * 1e-9 > MOST_WARM_UP * seconds;
    }
    for (int set = 0; set < 2; set++) {
      contender.run(set % workload.inputSets());
    }
    contender.results();
  }

  private long allocatedBytes(Contender contender) {
    ThreadMXBean threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
    long start = System.nanoTime();
    long before = threads.getCurrentThreadAllocatedBytes();
    int runs = 0;
    while (runs < ALLOCATION_RUNS && System.nanoTime() - start < ALLOCATION_NANOS) {
      contender.run(workload.warmUpSet());
      runs++;
    }
    return (threads.getCurrentThreadAllocatedBytes() - before) / runs;
  }
}
