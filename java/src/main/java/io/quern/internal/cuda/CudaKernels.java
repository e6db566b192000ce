package io.quern.internal.cuda;

import io.quern.internal.kernel.KernelSet;
import io.quern.internal.kernel.Operator;

/** The CUDA kernels, each one downcall. */
final class CudaKernels {
  private static final KernelSet ALL =
      new KernelSet(
          (device, spec) -> CudaEmbeddingGather.prepare(Operator.EMBEDDING_GATHER, device, spec),
          (device, spec) -> CudaEmbeddingBag.prepare(Operator.EMBEDDING_BAG, device, spec),
          CudaScatterRows::prepare,
          CudaKvCompaction::prepare,
          CudaTopK::prepare,
          CudaSampleRows::prepare,
          CudaBeamExpand::prepare,
          CudaTreeTopology::prepare,
          CudaTreeMask::prepare,
          CudaDynamicTree::prepare,
          CudaTreeFromMask::prepare,
          CudaPackBits::prepare,
          CudaTreeVerify::prepare,
          CudaRejectionVerify::prepare,
          CudaSeededCoins::prepare,
          CudaAdjacencyFill::prepare,
          (device, spec) -> CudaEmbeddingBag.prepare(Operator.SEGMENT_REDUCE, device, spec),
          (device, spec) -> CudaEmbeddingGather.prepare(Operator.SEGMENT_BROADCAST, device, spec),
          CudaSegmentMax::prepare,
          CudaWindowPool::prepare,
          CudaPonetSegments::prepare,
          CudaPonetPooling::prepare,
          CudaPonetMixer::prepare,
          CudaPonetChunks::prepare,
          CudaTokenMatch::prepare,
          CudaTokenMerge::prepare,
          CudaTokenUnmerge::prepare,
          CudaTokenPrune::prepare,
          CudaMergeStep::prepare,
          CudaPartition::prepare,
          CudaSourceMap::prepare,
          CudaDeleteGate::prepare);

  private CudaKernels() {}

  /** All of them. */
  static KernelSet all() {
    return ALL;
  }
}
