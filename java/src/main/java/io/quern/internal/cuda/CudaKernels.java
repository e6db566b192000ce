package io.quern.internal.cuda;

import io.quern.internal.kernel.KernelSet;

/** The CUDA kernels, each one downcall. */
final class CudaKernels {
  private static final KernelSet ALL =
      new KernelSet(
          CudaEmbeddingGather::prepare,
          CudaEmbeddingBag::prepare,
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
          CudaAdjacencyFill::prepare);

  private CudaKernels() {}

  /** All of them. */
  static KernelSet all() {
    return ALL;
  }
}
