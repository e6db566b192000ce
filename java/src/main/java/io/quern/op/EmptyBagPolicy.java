package io.quern.op;

/** What a bag without any counted id becomes. */
public enum EmptyBagPolicy {
  /** A row of zeros. */
  ZERO,
  /** The output row is left untouched. */
  KEEP,
  /** The bag's row of a fallback table, or its only row. */
  FALLBACK
}
