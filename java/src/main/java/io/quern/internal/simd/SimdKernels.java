package io.quern.internal.simd;

import io.quern.internal.cpu.CoinTask;
import io.quern.internal.cpu.HostAdjacencyFill;
import io.quern.internal.cpu.HostPartition;
import io.quern.internal.cpu.HostPonetSegments;
import io.quern.internal.cpu.HostSourceMap;
import io.quern.internal.kernel.KernelSet;
import io.quern.internal.kernel.Operator;
import io.quern.internal.kernel.SeparateMergeStep;

/** The Vector API twins. */
public final class SimdKernels {
  private SimdKernels() {}

  /** All of them. */
  public static KernelSet all() {
    return new KernelSet(
        (device, spec) -> new SimdEmbeddingGather(Operator.EMBEDDING_GATHER, spec),
        (device, spec) -> new SimdEmbeddingBag(Operator.EMBEDDING_BAG, spec),
        (device, spec) -> new SimdScatterRows(spec),
        (device, spec) -> new SimdKvCompaction(spec),
        (device, spec) -> new SimdTopK(spec),
        (device, spec) -> new SimdSampleRows(spec),
        (device, spec) -> new SimdBeamExpand(spec),
        (device, spec) -> new SimdTreeTopology(spec),
        (device, spec) -> new SimdTreeMask(spec),
        (device, spec) -> new SimdDynamicTree(spec),
        (device, spec) -> new SimdTreeFromMask(spec),
        (device, spec) -> new SimdPackBits(spec),
        (device, spec) -> new SimdTreeVerify(spec),
        (device, spec) -> new SimdRejectionVerify(spec),
        (device, out) -> CoinTask::run,
        (device, spec) -> new HostAdjacencyFill(spec),
        (device, spec) -> new SimdEmbeddingBag(Operator.SEGMENT_REDUCE, spec),
        (device, spec) -> new SimdEmbeddingGather(Operator.SEGMENT_BROADCAST, spec),
        (device, spec) -> new SimdSegmentMax(spec),
        (device, spec) -> new SimdWindowPool(spec),
        (device, spec) -> new HostPonetSegments(spec),
        (device, spec) -> new SimdPonetPooling(spec),
        (device, spec) -> new SimdPonetMixer(spec),
        (device, spec) -> new SimdPonetChunks(spec),
        (device, spec) -> new SimdTokenMatch(spec),
        (device, spec) -> new SimdTokenMerge(spec),
        (device, spec) -> new SimdTokenUnmerge(spec),
        (device, spec) -> new SimdTokenPrune(spec),
        SeparateMergeStep::new,
        (device, spec) -> new HostPartition(spec),
        (device, spec) -> new HostSourceMap(spec),
        (device, spec) -> new SimdDeleteGate(spec));
  }
}
