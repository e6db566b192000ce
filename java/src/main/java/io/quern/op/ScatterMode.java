package io.quern.op;

/** What becomes of rows that {@link ScatterRows} takes to a place. Ordinals are the C ABI's. */
public enum ScatterMode {
  /** The last of them replaces what is there. */
  SET,
  /** Their sum is added to what is there. */
  ADD,
  /** The maximum of them and of what is there. */
  MAX
}
