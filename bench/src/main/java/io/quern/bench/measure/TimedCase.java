package io.quern.bench.measure;

import io.quern.op.EmbeddingBagCases;
import io.quern.op.EmbeddingGatherCases;
import java.lang.foreign.SegmentAllocator;
import java.util.List;
import java.util.Set;
import java.util.function.Function;
import java.util.stream.Stream;

/**
 * A shape out of the operators' case tables that is timed, by the command line and by JMH.
 *
 * @param id names it in reports: the operator and the case's own id
 * @param operator its file stem
 * @param ids how the ids are distributed
 * @param workload makes it, with operands in the given memory
 */
public record TimedCase(
    String id, String operator, String ids, Function<SegmentAllocator, Workload> workload) {
  /** Input sets of a case: a gigabyte's worth of large calls, so that rows come from memory. */
  static final int SETS = 16;

  /** Few, and of every kind: what {@code --quick} runs. */
  static final Set<String> QUICK =
      Set.of(
          "embedding_gather/f32-table1GiB-row512-n65536-uniform",
          "embedding_gather/f32-table1GiB-row3072-n10922-uniform",
          "embedding_gather/f16-table1GiB-row1536-n21845-uniform",
          "embedding_gather/bf16-table1GiB-row1536-n21845-uniform",
          "embedding_gather/f32-table1MiB-row512-n65536-uniform",
          "embedding_gather/f32-table1MiB-row512-n32-uniform",
          "embedding_bag/f32-table1GiB-d128-weighted-sum-bags4096-hot20-uniform",
          "embedding_bag/f16-table1GiB-d128-weighted-sum-bags4096-hot20-uniform",
          "embedding_bag/f32-table1MiB-d128-weighted-sum-bags4096-hot20-uniform",
          "embedding_bag/f32-table1MiB-d128-mean-bags4096-hot20-uniform");

  /** Every case that a plain loop can be put beside. */
  static List<TimedCase> all() {
    return Stream.concat(
            EmbeddingGatherCases.benchmark().stream().map(TimedCase::of),
            EmbeddingBagCases.benchmark().stream()
                .filter(BagWorkload::hasPlainLoop)
                .map(TimedCase::of))
        .toList();
  }

  /**
   * The case of that id.
   *
   * @throws IllegalArgumentException if there is none
   */
  public static TimedCase named(String id) {
    return all().stream()
        .filter(timed -> timed.id.equals(id))
        .findFirst()
        .orElseThrow(() -> new IllegalArgumentException("no case is called " + id));
  }

  private static TimedCase of(EmbeddingGatherCases.Case one) {
    String operator = "embedding_gather";
    return new TimedCase(
        operator + "/" + one.id(),
        operator,
        one.distribution().name(),
        memory -> GatherWorkload.of(memory, one, SETS));
  }

  private static TimedCase of(EmbeddingBagCases.Case one) {
    String operator = "embedding_bag";
    return new TimedCase(
        operator + "/" + one.id(),
        operator,
        one.distribution().name(),
        memory -> BagWorkload.of(memory, one, SETS));
  }
}
