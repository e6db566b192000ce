package io.quern;

/** Which results a plan may give. */
public enum Arithmetic {
  /** The same bits on every back end. */
  CANONICAL,
  /**
   * Whatever is fastest, such as tensor cores: within a tolerance of canonical that the operator
   * documents, and the same bits from every run on the same GPU with the same libraries. A plan may
   * answer with the canonical form; it says which kernel it chose.
   */
  FAST
}
