package io.quern.bench;

import java.util.List;

/**
 * One verb of the command line. What it takes is declared, so that parsing, error messages and help
 * cannot disagree. Commands that need dependencies of their own live in a source root of their own
 * and are found through {@link java.util.ServiceLoader}.
 */
public interface Command {
  /** Ends the name of an operand that can be given more than once: {@code FILE…}. */
  String AND_MORE = "…";

  String name();

  /** One line for the list of commands. */
  String summary();

  /**
   * Names of the operands, all of them required, as the help shows them: {@code DIR}; the last may
   * end in {@link #AND_MORE}.
   */
  default List<String> operands() {
    return List.of();
  }

  default List<Option> options() {
    return List.of();
  }

  /** Paragraphs of the command's own help. */
  String details();

  /** Argument lines that work as they stand, without the {@code java -jar …} in front. */
  List<String> examples();

  /**
   * Runs the command. Results go to {@link Terminal#out()}, messages and progress to {@link
   * Terminal#err()}.
   *
   * @throws BadArgumentsException if a value is wrong in itself
   */
  Outcome run(Arguments arguments, Terminal terminal) throws Exception;
}
