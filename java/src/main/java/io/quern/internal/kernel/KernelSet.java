package io.quern.internal.kernel;

/**
 * A back end's kernels, all of them: an operator that one back end lacks does not compile.
 *
 * @param embeddingGather kernels of {@code EmbeddingGather}
 * @param embeddingBag kernels of {@code EmbeddingBag}
 * @param rejectionVerify kernels of {@code RejectionVerify}
 * @param seededCoins kernels of {@code SeededCoins}
 */
public record KernelSet(
    EmbeddingGatherKernel.Factory embeddingGather,
    EmbeddingBagKernel.Factory embeddingBag,
    RejectionVerifyKernel.Factory rejectionVerify,
    SeededCoinsKernel.Factory seededCoins) {}
