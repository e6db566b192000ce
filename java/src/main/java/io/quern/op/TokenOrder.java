package io.quern.op;

/** In which order the tokens that are left stand. */
public enum TokenOrder {
  /** As the scheme's authors have it: unmerged sources first, then destinations. */
  PUBLISHED,
  /** As their tokens stood before; a merged token stands where its destination did. */
  TOKENS
}
