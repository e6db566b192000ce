package io.quern.bench.verify;

/** How close a value has to be to the expected one. */
public sealed interface Tolerance {
  /** Equal; −0 equals +0, NaN equals NaN. */
  record Exact() implements Tolerance {}

  /**
   * |got − want| ≤ atol + rtol · |want|; infinities are equal, NaN equals NaN.
   *
   * @param rtol relative part
   * @param atol absolute part
   */
  record AllClose(double rtol, double atol) implements Tolerance {}
}
