package io.quern.bench.measure;

import java.lang.foreign.SegmentAllocator;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.function.Function;
import java.util.stream.Stream;

/**
 * A shape out of the operators' case tables that is timed, by the command line and by JMH.
 *
 * @param id names it in reports: the operator and the case's own id
 * @param operator its file stem
 * @param ids how the ids are distributed, null where there are none
 * @param quick whether it is one of the few, of every kind, that {@link Preset#QUICK} runs
 * @param workload makes it, with operands in the given memory
 */
public record TimedCase(
    String id,
    String operator,
    String ids,
    boolean quick,
    Function<SegmentAllocator, Workload> workload) {
  /** Input sets of a case: a gigabyte's worth of large calls, so that rows come from memory. */
  static final int SETS = 16;

  /** A case of an operator. */
  static TimedCase of(
      String operator, String shape, Function<SegmentAllocator, Workload> workload) {
    return new TimedCase(operator + "/" + shape, operator, null, false, workload);
  }

  /** With the distribution of its ids. */
  TimedCase withIds(String distribution) {
    return new TimedCase(id, operator, distribution, quick, workload);
  }

  /** Run by {@link Preset#QUICK}, or not. */
  TimedCase quickly(boolean yes) {
    return new TimedCase(id, operator, ids, yes, workload);
  }

  /** Every case; one line per operator family. */
  static List<TimedCase> all() {
    List<TimedCase> all = new ArrayList<>();
    GatherWorkload.cases().forEach(all::add); // embedding_gather
    BagWorkload.cases().forEach(all::add); // embedding_bag
    ScatterWorkload.cases().forEach(all::add); // scatter_rows
    CompactionWorkload.cases().forEach(all::add); // kv_compaction
    TopologyWorkload.cases().forEach(all::add); // tree_topology
    VerifyWorkload.cases().forEach(all::add); // tree_verify
    TopKWorkload.cases().forEach(all::add); // top_k
    PonetWorkload.cases().forEach(all::add); // ponet_pooling, softmax_attention
    PonetMixerWorkload.cases().forEach(all::add); // ponet_mixer
    MergeWorkload.cases().forEach(all::add); // token_match, diffrate_block
    PartitionWorkload.cases().forEach(all::add); // partition, source_map
    return all;
  }

  /** The case of that id, if there is one. */
  static Optional<TimedCase> find(String id) {
    return Stream.concat(all().stream(), PublishedGrids.cases())
        .filter(timed -> timed.id.equals(id))
        .findFirst();
  }

  /**
   * The case of that id.
   *
   * @throws IllegalArgumentException if there is none
   */
  public static TimedCase named(String id) {
    return find(id).orElseThrow(() -> new IllegalArgumentException("no case is called " + id));
  }
}
