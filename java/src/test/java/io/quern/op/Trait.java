package io.quern.op;

/** What sets a case apart from a plain call. */
public enum Trait {
  /**
   * Tables, output and fallback are views that begin off alignment and have gaps between rows; bags
   * leave ids out.
   */
  STRIDED,
  /** Among the ids are −1 and ids outside the table. */
  BAD_IDS,
  /** Table ids are outside the list here and there. */
  BAD_TABLE_IDS,
  /** Offsets descend and leave the ids here and there. */
  BAD_OFFSETS,
  /** Parents of tree nodes are no parents here and there. */
  BAD_PARENTS,
  /** Bag: weights are given. */
  WEIGHTED,
  /** Bag: one fallback row serves all bags. */
  ONE_FALLBACK
}
