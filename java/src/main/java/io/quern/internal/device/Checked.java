package io.quern.internal.device;

/**
 * The system property {@code quern.checked}: streams detect use by two threads at once, leak
 * reports carry the stack of the allocation, and CUDA errors are waited for and thrown by the call
 * that caused them.
 */
public final class Checked {
  /** Read once, when the first resource is opened. */
  public static final boolean ENABLED = Boolean.getBoolean("quern.checked");

  private Checked() {}
}
