package io.quern.internal.kernel;

/** The operators, for reports of bad data. A GPU's error record has the ordinal. */
public enum Operator {
  EMBEDDING_GATHER("EmbeddingGather"),
  EMBEDDING_BAG("EmbeddingBag"),
  SCATTER_ROWS("ScatterRows"),
  KV_COMPACTION("KvCompaction"),
  TOP_K("TopK"),
  SAMPLE_ROWS("SampleRows"),
  BEAM_EXPAND("BeamExpand"),
  TREE_TOPOLOGY("TreeTopology"),
  TREE_MASK("TreeMask"),
  DYNAMIC_TREE("DynamicTree"),
  TREE_FROM_MASK("TreeFromMask"),
  PACK_BITS("PackBits"),
  TREE_VERIFY("TreeVerify"),
  REJECTION_VERIFY("RejectionVerify"),
  SEEDED_COINS("SeededCoins"),
  ADJACENCY_FILL("AdjacencyFill"),
  SEGMENT_REDUCE("SegmentReduce"),
  SEGMENT_BROADCAST("SegmentBroadcast"),
  SEGMENT_MAX("SegmentMax"),
  WINDOW_POOL("WindowPool"),
  PONET_SEGMENTS("PonetSegments"),
  PONET_POOLING("PonetPooling"),
  PONET_MIXER("PonetMixer"),
  PONET_CHUNKS("PonetChunks"),
  TOKEN_MATCH("TokenMatch"),
  TOKEN_MERGE("TokenMerge"),
  TOKEN_UNMERGE("TokenUnmerge"),
  TOKEN_PRUNE("TokenPrune"),
  PARTITION("Partition"),
  SOURCE_MAP("SourceMap"),
  DELETE_GATE("DeleteGate");

  private final String className;

  Operator(String className) {
    this.className = className;
  }

  /** As users know it. */
  public String className() {
    return className;
  }
}
