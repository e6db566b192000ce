package io.quern.internal.kernel;

/**
 * A back end's kernels, all of them: an operator that one back end lacks does not compile.
 *
 * @param embeddingGather kernels of {@code EmbeddingGather}
 * @param embeddingBag kernels of {@code EmbeddingBag}
 * @param topK kernels of {@code TopK}
 * @param sampleRows kernels of {@code SampleRows}
 * @param beamExpand kernels of {@code BeamExpand}
 */
public record KernelSet(
    EmbeddingGatherKernel.Factory embeddingGather,
    EmbeddingBagKernel.Factory embeddingBag,
    TopKKernel.Factory topK,
    SampleRowsKernel.Factory sampleRows,
    BeamExpandKernel.Factory beamExpand) {}
