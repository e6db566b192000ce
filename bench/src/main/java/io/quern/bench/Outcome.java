package io.quern.bench;

/** How a command ended; its code is the exit status of the process. */
public enum Outcome {
  OK(0, "everything asked for was done and was right"),
  FAILED(1, "something was wrong: a comparison, a measurement or a file"),
  BAD_ARGUMENTS(2, "the arguments were wrong; one line on standard error says how"),
  UNAVAILABLE(3, "what was asked for is not available here, such as a back end");

  private final int code;
  private final String meaning;

  Outcome(int code, String meaning) {
    this.code = code;
    this.meaning = meaning;
  }

  public int code() {
    return code;
  }

  /** For the help text. */
  public String meaning() {
    return meaning;
  }
}
