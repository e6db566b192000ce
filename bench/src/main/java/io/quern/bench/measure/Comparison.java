package io.quern.bench.measure;

import com.sun.management.ThreadMXBean;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.management.ManagementFactory;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/**
 * Contenders at one workload: first whether they agree, then how fast they are. They take turns, A
 * B C C B A, so that whatever else the machine does meets all of them alike.
 */
public final class Comparison {
  private static final int WARM_UP_RUNS = 12_000;
  private static final long WARM_UP_NANOS = 1_500_000_000L;
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
   */
  public record StopRule(int turns, double seconds) {}

  /**
   * Runs every contender twice on a poisoned output and compares the bits with the first one's.
   *
   * @return where a contender differs, or nothing if all agree
   */
  public Optional<String> disagreement() {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment expected = arena.allocate(workload.sharedOutput().byteSize(), 64);
      boolean first = true;
      for (Contender contender : contenders) {
        for (int repeat = 0; repeat < 2; repeat++) {
          contender.poison();
          contender.run(0);
          MemorySegment result = contender.result();
          if (first) {
            expected.copyFrom(result);
            first = false;
          }
          long difference = expected.mismatch(result);
          if (difference >= 0) {
            long element = difference / Float.BYTES;
            return Optional.of(
                "%s %s: %s gives %s at element %d of the output, %s gives %s"
                    .formatted(
                        workload.operator(),
                        workload.shape(),
                        contender.name(),
                        bits(result, element),
                        element,
                        contenders.getFirst().name(),
                        bits(expected, element)));
          }
        }
      }
    }
    return Optional.empty();
  }

  private static String bits(MemorySegment floats, long element) {
    float value = floats.getAtIndex(ValueLayout.JAVA_FLOAT_UNALIGNED, element);
    return "%s (0x%08x)".formatted(value, Float.floatToRawIntBits(value));
  }

  /**
   * What a measurement found.
   *
   * @param timings of the contenders, in their order
   * @param memcpy of as many bytes as the workload moves, taken in turns with them
   */
  public record Result(List<Timing> timings, Timing memcpy) {
    /** Copies the list. */
    public Result {
      timings = List.copyOf(timings);
    }
  }

  /** Warms every contender up, then samples them and a memcpy in turns. */
  public Result measure(StopRule rule) {
    try (Memcpy memcpy = new Memcpy(workload, threads)) {
      List<Contender> all = new ArrayList<>(contenders);
      all.add(memcpy);
      List<Timing> timings = measure(all, rule);
      return new Result(timings.subList(0, contenders.size()), timings.getLast());
    }
  }

  private List<Timing> measure(List<Contender> all, StopRule rule) {
    int[] runs = new int[all.size()];
    List<List<Double>> micros = new ArrayList<>();
    for (int c = 0; c < runs.length; c++) {
      warmUp(all.get(c));
      double seconds = all.get(c).seconds(0, 1, workload.inputSets());
      runs[c] = (int) Math.max(1, Math.ceil(SAMPLE_SECONDS / Math.max(seconds, 1e-7)));
      micros.add(new ArrayList<>());
    }
    long start = System.nanoTime();
    int next = 0; // input set
    for (int turn = 0;
        turn < rule.turns() || (System.nanoTime() - start) * 1e-9 < rule.seconds();
        turn++) {
      for (int i = 0; i < runs.length; i++) {
        int c = turn % 2 == 0 ? i : runs.length - 1 - i;
        double seconds = all.get(c).seconds(next, runs[c], workload.inputSets());
        micros.get(c).add(seconds / runs[c] * 1e6);
        next = (next + runs[c]) % workload.inputSets();
      }
    }
    List<Timing> timings = new ArrayList<>();
    for (int c = 0; c < runs.length; c++) {
      Contender contender = all.get(c);
      timings.add(new Timing(contender.name(), micros.get(c), runs[c], allocatedBytes(contender)));
    }
    return timings;
  }

  private void warmUp(Contender contender) {
    long start = System.nanoTime();
    for (int i = 0; i < WARM_UP_RUNS && System.nanoTime() - start < WARM_UP_NANOS; i++) {
      contender.run(Contender.FEW);
    }
    for (int set = 0; set < 2; set++) {
      contender.run(set % workload.inputSets());
    }
    contender.result();
  }

  private static long allocatedBytes(Contender contender) {
    ThreadMXBean threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
    int runs = 1000;
    long before = threads.getCurrentThreadAllocatedBytes();
    for (int i = 0; i < runs; i++) {
      contender.run(Contender.FEW);
    }
    return (threads.getCurrentThreadAllocatedBytes() - before) / runs;
  }
}
