package io.quern;

/** A required back end cannot be used here. The message carries the whole {@link Probe}. */
public final class UnavailableBackendException extends RuntimeException {
  private static final long serialVersionUID = 1L;

  private final transient Probe probe;

  UnavailableBackendException(String wanted, Probe probe) {
    super(wanted + " is not available\n  " + String.join("\n  ", probe.lines()));
    this.probe = probe;
  }

  /** What was found; null after deserialization. */
  public Probe probe() {
    return probe;
  }
}
