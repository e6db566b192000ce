package io.quern.bench;

/**
 * An option of a command.
 *
 * @param name with its dashes: {@code --json}
 * @param value what the option takes, in capitals, as the help shows it; empty for a switch
 * @param description one line for the help
 */
public record Option(String name, String value, String description) {
  /** Chooses the back ends of a command; read by {@link Arguments#backends}. */
  public static final Option BACKEND =
      new Option("--backend", "LIST", "only these back ends: scalar, simd, cuda, emulated");

  /** Chooses the operators of a command; read by {@link Arguments#operators}. */
  public static final Option OP =
      new Option("--op", "LIST", "only these operators, such as embedding_gather");

  boolean takesValue() {
    return !value.isEmpty();
  }
}
