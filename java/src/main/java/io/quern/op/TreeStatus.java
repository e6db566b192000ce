package io.quern.op;

/**
 * What a request's draft tree is found to be, as an I32 in an operator's {@code status}: the
 * ordinal. Of several findings the one that comes first here. A request that is not {@link #OK}
 * gets neutral outputs; other requests are unaffected.
 */
public enum TreeStatus {
  /** Well-formed. */
  OK,
  /** Its offsets descend or leave the nodes. */
  OFFSETS,
  /** It has no node, where one is needed. */
  EMPTY,
  /** The parent of node 0 is not −1. */
  ROOT,
  /** A parent is not before its child: a cycle, or a node that nothing reaches. */
  PARENT,
  /** A child or sibling link leads outside the tree, or round in a circle. */
  LINK,
  /** An output is too small for it. */
  CAPACITY,
  /** A score or probability that decides is NaN. */
  NAN,
  /** A token is outside the vocabulary. */
  TOKEN,
  /** A prefix length is not in [0, 2^31). */
  PREFIX,
  /** Selected candidates do not ascend or leave the pool. */
  SELECTION,
  /** A mask is not that of a tree. */
  MASK
}
