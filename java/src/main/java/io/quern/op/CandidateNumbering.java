package io.quern.op;

/** How a {@code parentList} names candidates. */
public enum CandidateNumbering {
  /** EAGLE's: candidate f is f + 1, and 0 is the root. */
  FROM_ONE,
  /** SGLang's: candidate f is f, and −1 is the root. */
  FROM_ZERO
}
