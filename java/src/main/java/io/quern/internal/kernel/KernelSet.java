package io.quern.internal.kernel;

/**
 * A back end's kernels, all of them: an operator that one back end lacks does not compile.
 *
 * @param embeddingGather kernels of {@code EmbeddingGather}
 * @param embeddingBag kernels of {@code EmbeddingBag}
 * @param tokenMatch kernels of {@code TokenMatch}
 * @param tokenMerge kernels of {@code TokenMerge}
 * @param tokenUnmerge kernels of {@code TokenUnmerge}
 * @param tokenPrune kernels of {@code TokenPrune}
 */
public record KernelSet(
    EmbeddingGatherKernel.Factory embeddingGather,
    EmbeddingBagKernel.Factory embeddingBag,
    TokenMatchKernel.Factory tokenMatch,
    TokenMergeKernel.Factory tokenMerge,
    TokenUnmergeKernel.Factory tokenUnmerge,
    TokenPruneKernel.Factory tokenPrune) {}
