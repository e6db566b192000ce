package io.quern.internal.kernel;

/**
 * A back end's kernels, all of them: an operator that one back end lacks does not compile.
 *
 * @param embeddingGather kernels of {@code EmbeddingGather}
 * @param embeddingBag kernels of {@code EmbeddingBag}
 * @param adjacencyFill kernels of {@code AdjacencyFill}
 */
public record KernelSet(
    EmbeddingGatherKernel.Factory embeddingGather,
    EmbeddingBagKernel.Factory embeddingBag,
    AdjacencyFillKernel.Factory adjacencyFill) {}
