package io.quern.op;

/** How a row that stands for a distribution over the vocabulary is given. */
public enum Distribution {
  /** Probabilities, as they come out of temperature, top-k and top-p. */
  PROBABILITIES,
  /** Logits, of which a softmax with the request's temperature is taken. */
  LOGITS
}
