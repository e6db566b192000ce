package io.quern.op;

/** How the rows of a bag or segment become one. */
public enum Combine {
  /** Σ x, or Σ w·x where weights are given. */
  SUM,
  /** Σ x / n over the n counted rows. */
  MEAN,
  /** Σ w·x / Σ w; needs weights. */
  WEIGHTED_MEAN,
  /** Element-wise maximum; NaN if any value is. */
  MAX,
  /** Element-wise minimum; NaN if any value is. */
  MIN,
  /** The first counted row. */
  FIRST,
  /** The last counted row. */
  LAST
}
