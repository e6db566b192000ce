package io.quern.bench;

/** Arguments that a command cannot work with; the message is one line for the person who typed. */
public final class BadArgumentsException extends RuntimeException {
  private static final long serialVersionUID = 1L;

  public BadArgumentsException(String message) {
    super(message);
  }

  public BadArgumentsException(String message, Throwable cause) {
    super(message, cause);
  }
}
