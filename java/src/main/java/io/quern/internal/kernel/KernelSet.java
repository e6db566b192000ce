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
 * @param tokenMatch kernels of {@code TokenMatch}
 * @param tokenMerge kernels of {@code TokenMerge}
 * @param tokenUnmerge kernels of {@code TokenUnmerge}
 * @param tokenPrune kernels of {@code TokenPrune}
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
    TokenMatchKernel.Factory tokenMatch,
    TokenMergeKernel.Factory tokenMerge,
    TokenUnmergeKernel.Factory tokenUnmerge,
    TokenPruneKernel.Factory tokenPrune) {}
