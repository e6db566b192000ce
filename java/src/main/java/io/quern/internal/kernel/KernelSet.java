package io.quern.internal.kernel;

/**
 * A back end's kernels, all of them: an operator that one back end lacks does not compile.
 *
 * @param embeddingGather kernels of {@code EmbeddingGather}
 * @param embeddingBag kernels of {@code EmbeddingBag}
 * @param scatterRows kernels of {@code ScatterRows}
 * @param kvCompaction kernels of {@code KvCompaction}
 * @param topK kernels of {@code TopK}
 * @param sampleRows kernels of {@code SampleRows}
 * @param beamExpand kernels of {@code BeamExpand}
 * @param treeTopology kernels of {@code TreeTopology}
 * @param treeMask kernels of {@code TreeMask}
 * @param dynamicTree kernels of {@code DynamicTree}
 * @param treeFromMask kernels of {@code TreeFromMask}
 * @param packBits kernels of {@code PackBits}
 * @param treeVerify kernels of {@code TreeVerify}
 * @param rejectionVerify kernels of {@code RejectionVerify}
 * @param seededCoins kernels of {@code SeededCoins}
 * @param adjacencyFill kernels of {@code AdjacencyFill}
 * @param segmentReduce kernels of {@code SegmentReduce}: those of {@code EmbeddingBag}, without ids
 * @param segmentBroadcast kernels of {@code SegmentBroadcast}: those of {@code EmbeddingGather}
 * @param segmentMax kernels of {@code SegmentMax}
 * @param windowPool kernels of {@code WindowPool}
 * @param ponetSegments kernels of {@code PonetSegments}
 * @param ponetPooling kernels of {@code PonetPooling}
 * @param ponetMixer kernels of {@code PonetMixer}
 * @param ponetChunks kernels of {@code PonetChunks}
 * @param tokenMatch kernels of {@code TokenMatch}
 * @param tokenMerge kernels of {@code TokenMerge}
 * @param tokenUnmerge kernels of {@code TokenUnmerge}
 * @param tokenPrune kernels of {@code TokenPrune}
 * @param mergeStep kernels of {@code MergeStep} and {@code DiffRateBlock}: on a CPU those of their
 *     parts
 * @param partition kernels of {@code Partition}
 * @param sourceMap kernels of {@code SourceMap}
 * @param deleteGate kernels of {@code DeleteGate}
 */
public record KernelSet(
    EmbeddingGatherKernel.Factory embeddingGather,
    EmbeddingBagKernel.Factory embeddingBag,
    ScatterRowsKernel.Factory scatterRows,
    KvCompactionKernel.Factory kvCompaction,
    TopKKernel.Factory topK,
    SampleRowsKernel.Factory sampleRows,
    BeamExpandKernel.Factory beamExpand,
    TreeTopologyKernel.Factory treeTopology,
    TreeMaskKernel.Factory treeMask,
    DynamicTreeKernel.Factory dynamicTree,
    TreeFromMaskKernel.Factory treeFromMask,
    PackBitsKernel.Factory packBits,
    TreeVerifyKernel.Factory treeVerify,
    RejectionVerifyKernel.Factory rejectionVerify,
    SeededCoinsKernel.Factory seededCoins,
    AdjacencyFillKernel.Factory adjacencyFill,
    EmbeddingBagKernel.Factory segmentReduce,
    EmbeddingGatherKernel.Factory segmentBroadcast,
    SegmentMaxKernel.Factory segmentMax,
    WindowPoolKernel.Factory windowPool,
    PonetSegmentsKernel.Factory ponetSegments,
    PonetPoolingKernel.Factory ponetPooling,
    PonetMixerKernel.Factory ponetMixer,
    PonetChunksKernel.Factory ponetChunks,
    TokenMatchKernel.Factory tokenMatch,
    TokenMergeKernel.Factory tokenMerge,
    TokenUnmergeKernel.Factory tokenUnmerge,
    TokenPruneKernel.Factory tokenPrune,
    MergeStepKernel.Factory mergeStep,
    PartitionKernel.Factory partition,
    SourceMapKernel.Factory sourceMap,
    DeleteGateKernel.Factory deleteGate) {}
