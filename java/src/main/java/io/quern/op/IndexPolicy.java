package io.quern.op;

/**
 * What becomes of an index outside its range, the same on every back end. −1 is no such index: it
 * means "no row", a row of zeros in a gather and nothing in a bag.
 */
public enum IndexPolicy {
  /**
   * Rows with a bad index become zeros, good rows are written, and {@link
   * io.quern.InvalidDataException} names the lowest bad position, its value and the bound when the
   * stream is next waited for (on a CPU: by {@code run}).
   */
  FAIL,
  /** It stands for a row of zeros, which a bag counts. */
  ZERO,
  /** The nearest valid index is taken; where there is none, as {@link #ZERO}. */
  CLAMP,
  /** The output row is left untouched; in a bag the index is not counted. */
  SKIP
}
