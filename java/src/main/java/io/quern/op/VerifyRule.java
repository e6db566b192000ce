package io.quern.op;

/** How {@link TreeVerify} decides which nodes of a draft tree the target model accepts. */
public enum VerifyRule {
  /**
   * A token is accepted if it is the argmax of its parent's row; of the leaf paths the first one
   * with the longest accepted run wins (Medusa, EAGLE).
   */
  GREEDY_PATH,
  /** The same by links: from the root on, the first child whose token is the argmax (SGLang). */
  GREEDY_LINKED,
  /** As GREEDY_PATH, but of the deepest accepted nodes the one with the lowest id (OPT-Tree). */
  GREEDY_DEEPEST,
  /**
   * A token is accepted if its probability exceeds a threshold that falls with the entropy of its
   * parent's row; of the longest accepted runs the likeliest wins (Medusa's typical acceptance).
   */
  TYPICAL,
  /**
   * Draws the next token from the target and follows it while it is a child: exact sampling, but
   * for the thresholds that loosen it (SGLang's target-only tree sampling).
   */
  TARGET_ONLY
}
