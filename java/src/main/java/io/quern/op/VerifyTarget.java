package io.quern.op;

/** What {@link TreeVerify} is given of the target model, one row for each node. */
public enum VerifyTarget {
  /** Logits; an argmax or a softmax is taken of the rows that are visited. */
  LOGITS,
  /** Probabilities, as they come out of temperature, top-k and top-p. */
  PROBABILITIES,
  /** The token that the target predicts after each node, one number instead of a row. */
  IDS
}
