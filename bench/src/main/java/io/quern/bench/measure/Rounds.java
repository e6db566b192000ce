package io.quern.bench.measure;

import io.quern.bench.Arguments;
import io.quern.bench.Outcome;
import io.quern.bench.Terminal;
import io.quern.bench.report.CompareCommand;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;

/**
 * Two builds measured in JVM after JVM, each time beside one another, until every case is decided.
 */
final class Rounds {
  /**
   * How many JVMs there have been when it is looked what is decided. Few looks, each half as many
   * again: every look is a chance to err, for which the intervals are widened.
   */
  private static final int[] LOOKS = {5, 8, 12, 18, 27};

  private final Terminal terminal;
  private final Path file;

  /**
   * Prepares it.
   *
   * @param file for the lines of all JVMs; what it holds is lost
   */
  Rounds(Terminal terminal, Path file) {
    this.terminal = terminal;
    this.file = file;
  }

  /** How many runs have come to their end in a file. */
  static long measured(Path file) throws IOException {
    if (!Files.exists(file)) {
      return 0;
    }
    try (Stream<String> lines = Files.lines(file)) {
      return lines
          .filter(line -> line.contains(RunLog.RUN) && !line.contains("\"interrupted\":true"))
          .count();
    }
  }

  /**
   * Measures and compares.
   *
   * @param words the arguments of one JVM, but for its cases
   * @param cases of the first JVMs, as {@code --case} takes them; none for all
   * @param minutes after which no JVM is started, except for the first ones
   * @return that of the comparison
   */
  Outcome run(List<String> words, List<String> cases, int minutes)
      throws IOException, InterruptedException {
    long start = System.nanoTime();
    Files.deleteIfExists(file);
    List<String> chosen = cases;
    int rounds = 0;
    for (int look : LOOKS) {
      for (; rounds < look; rounds++) {
        boolean late = System.nanoTime() - start > minutes * 60e9;
        if (late && rounds >= LOOKS[0]) {
          break;
        }
        terminal.err().println("JVM %d, until %d".formatted(rounds + 1, look));
        if (!round(words, chosen)) {
          return Outcome.FAILED;
        }
      }
      chosen = CompareCommand.undecided(file.toString());
      if (chosen.isEmpty() || rounds < look) {
        break;
      }
      terminal
          .err()
          .println("after %d JVMs not decided: %s".formatted(rounds, String.join(", ", chosen)));
    }
    CompareCommand compare = new CompareCommand();
    List<String> files = List.of(file.toString());
    terminal.out().println("compare " + file);
    return compare.run(Arguments.parse(compare, files), terminal);
  }

  /** Whether a JVM has come to its end, contenders that disagree or not. */
  private boolean round(List<String> words, List<String> cases)
      throws IOException, InterruptedException {
    List<String> all = new ArrayList<>(words);
    if (!cases.isEmpty()) {
      all.add("--case=" + String.join(",", cases));
    }
    all.add("--append");
    long before = measured(file);
    int code = Forks.run(all);
    if (code != Forks.ENDING && measured(file) == before) {
      terminal.err().println("a JVM ended with exit code %d: nothing is compared".formatted(code));
    }
    return code != Forks.ENDING && measured(file) > before;
  }
}
