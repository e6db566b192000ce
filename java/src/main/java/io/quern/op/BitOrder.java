package io.quern.op;

/** Which bit of a byte is first. */
public enum BitOrder {
  /** The lowest. */
  LITTLE,
  /** The highest. */
  BIG
}
