package io.quern.op;

/** How {@link RejectionVerify} decides which draft tokens are accepted. */
public enum RejectionRule {
  /**
   * The children of a node are draws without replacement from its draft row: recursive rejection
   * sampling (RSD, MCSD, Sequoia, DySpec).
   */
  WITHOUT_REPLACEMENT,
  /**
   * The children of a node are independent draws from its draft row: recursive rejection sampling
   * (SpecInfer, MCSD); on a chain classic speculative sampling.
   */
  WITH_REPLACEMENT,
  /** The children were chosen without chance, such as the top k (EAGLE's evaluate_posterior). */
  POINT_DRAFTS,
  /** The children of a node are independent draws, accepted by one common ratio (SpecTr K-SEQ). */
  K_SEQ,
  /** Chains only: all tokens are judged jointly (block verification, arXiv 2403.10444). */
  BLOCK,
  /**
   * A token also counts the probability of its nearest neighbours in a codebook: biased by design
   * (LANTERN, sampling).
   */
  RELAXED,
  /** The same without chance: the deepest path that a relaxed argmax matches (LANTERN, greedy). */
  RELAXED_GREEDY;

  /** Whether drafts are draws from rows that have to be given. */
  public boolean needsDraft() {
    return this == WITHOUT_REPLACEMENT
        || this == WITH_REPLACEMENT
        || this == K_SEQ
        || this == BLOCK;
  }

  /** Whether it looks at neighbours. */
  public boolean isRelaxed() {
    return this == RELAXED || this == RELAXED_GREEDY;
  }
}
