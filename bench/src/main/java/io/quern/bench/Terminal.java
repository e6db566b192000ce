package io.quern.bench;

import java.io.Console;
import java.io.PrintStream;
import java.util.Optional;

/**
 * Where a command writes.
 *
 * @param out results, and nothing else
 * @param err messages and progress
 * @param interactive whether a person watches, so that a line may be rewritten in place
 */
public record Terminal(PrintStream out, PrintStream err, boolean interactive) {
  /** The terminal of this process. */
  public static Terminal ofProcess() {
    boolean interactive =
        Optional.ofNullable(System.console()).map(Console::isTerminal).orElse(false);
    return new Terminal(System.out, System.err, interactive);
  }

  /**
   * Starts telling about work that may take long.
   *
   * @param work what is being done, as a person would say it
   * @param steps into how many steps it falls
   */
  public Progress progress(String work, int steps) {
    return new Progress(this, work, steps, Progress.PATIENCE);
  }
}
