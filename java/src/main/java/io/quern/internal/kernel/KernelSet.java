package io.quern.internal.kernel;

/**
 * A back end's kernels, all of them: an operator that one back end lacks does not compile.
 *
 * @param embeddingGather kernels of {@code EmbeddingGather}
 * @param embeddingBag kernels of {@code EmbeddingBag}
 * @param treeTopology kernels of {@code TreeTopology}
 * @param treeMask kernels of {@code TreeMask}
 * @param dynamicTree kernels of {@code DynamicTree}
 * @param treeFromMask kernels of {@code TreeFromMask}
 * @param treeVerify kernels of {@code TreeVerify}
 * @param rejectionVerify kernels of {@code RejectionVerify}
 * @param seededCoins kernels of {@code SeededCoins}
 * @param segmentReduce kernels of {@code SegmentReduce}: those of {@code EmbeddingBag}, without ids
 * @param segmentBroadcast kernels of {@code SegmentBroadcast}: those of {@code EmbeddingGather}
 * @param segmentMax kernels of {@code SegmentMax}
 * @param windowPool kernels of {@code WindowPool}
 * @param ponetSegments kernels of {@code PonetSegments}
 * @param ponetPooling kernels of {@code PonetPooling}
 */
public record KernelSet(
    EmbeddingGatherKernel.Factory embeddingGather,
    EmbeddingBagKernel.Factory embeddingBag,
    TreeTopologyKernel.Factory treeTopology,
    TreeMaskKernel.Factory treeMask,
    DynamicTreeKernel.Factory dynamicTree,
    TreeFromMaskKernel.Factory treeFromMask,
    TreeVerifyKernel.Factory treeVerify,
    RejectionVerifyKernel.Factory rejectionVerify,
    SeededCoinsKernel.Factory seededCoins,
    EmbeddingBagKernel.Factory segmentReduce,
    EmbeddingGatherKernel.Factory segmentBroadcast,
    SegmentMaxKernel.Factory segmentMax,
    WindowPoolKernel.Factory windowPool,
    PonetSegmentsKernel.Factory ponetSegments,
    PonetPoolingKernel.Factory ponetPooling) {}
