package io.quern.internal.scalar;

import io.quern.internal.cpu.CoinTask;
import io.quern.internal.cpu.HostAdjacencyFill;
import io.quern.internal.cpu.HostPartition;
import io.quern.internal.cpu.HostPonetSegments;
import io.quern.internal.cpu.HostSourceMap;
import io.quern.internal.kernel.KernelSet;
import io.quern.internal.kernel.Operator;
import io.quern.internal.kernel.SeparateMergeStep;

/** The specification: plain loops, in canonical order. */
public final class ScalarKernels {
  private ScalarKernels() {}

  /** All of them. */
  public static KernelSet all() {
    return new KernelSet(
        (device, spec) -> new ScalarEmbeddingGather(Operator.EMBEDDING_GATHER, spec),
        (device, spec) -> new ScalarEmbeddingBag(Operator.EMBEDDING_BAG, spec),
        (device, spec) -> new ScalarScatterRows(spec),
        (device, spec) -> new ScalarKvCompaction(spec),
        (device, spec) -> new ScalarTopK(spec),
        (device, spec) -> new ScalarSampleRows(spec),
        (device, spec) -> new ScalarBeamExpand(spec),
        (device, spec) -> new ScalarTreeTopology(spec),
        (device, spec) -> new ScalarTreeMask(spec),
        (device, spec) -> new ScalarDynamicTree(spec),
        (device, spec) -> new ScalarTreeFromMask(spec),
        (device, spec) -> new ScalarPackBits(spec),
        (device, spec) -> new ScalarTreeVerify(spec),
        (device, spec) -> new ScalarRejectionVerify(spec),
        (device, out) -> CoinTask::run,
        (device, spec) -> new HostAdjacencyFill(spec),
        (device, spec) -> new ScalarEmbeddingBag(Operator.SEGMENT_REDUCE, spec),
        (device, spec) -> new ScalarEmbeddingGather(Operator.SEGMENT_BROADCAST, spec),
        (device, spec) -> new ScalarSegmentMax(spec),
        (device, spec) -> new ScalarWindowPool(spec),
        (device, spec) -> new HostPonetSegments(spec),
        (device, spec) -> new ScalarPonetPooling(spec),
        (device, spec) -> new ScalarPonetMixer(spec),
        (device, spec) -> new ScalarPonetChunks(spec),
        (device, spec) -> new ScalarTokenMatch(spec),
        (device, spec) -> new ScalarTokenMerge(spec),
        (device, spec) -> new ScalarTokenUnmerge(spec),
        (device, spec) -> new ScalarTokenPrune(spec),
        SeparateMergeStep::new,
        (device, spec) -> new HostPartition(spec),
        (device, spec) -> new HostSourceMap(spec),
        (device, spec) -> new ScalarDeleteGate(spec));
  }
}
