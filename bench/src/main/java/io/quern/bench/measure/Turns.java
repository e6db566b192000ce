package io.quern.bench.measure;

import io.quern.bench.Arguments;
import io.quern.bench.BadArgumentsException;
import io.quern.bench.Outcome;
import io.quern.bench.Terminal;
import io.quern.bench.report.CompareCommand;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/**
 * Two builds measured in turns, JVM by JVM, before after after before, so that what the machine
 * does meets both alike. Cases that are not decided by then are measured in more pairs of JVMs.
 */
final class Turns {
  /**
   * How many pairs there are when it is looked what is decided. Few looks, each half as many pairs
   * again: every look is a chance to err, for which the intervals of pairs are widened.
   */
  private static final int[] LOOKS = {4, 6, 9, 13, 19};

  private final Terminal terminal;
  private final Path jar;
  private final Path before;
  private final Path after;

  /**
   * Prepares it.
   *
   * @param jar of the build that this one is compared with
   * @param file for the lines of this build; those of the other go beside it
   */
  Turns(Terminal terminal, Path jar, Path file) {
    if (!Files.isRegularFile(jar)) {
      throw new BadArgumentsException("there is no file " + jar);
    }
    this.terminal = terminal;
    this.jar = jar;
    this.before = beside(file);
    this.after = file;
  }

  /** {@code after.jsonl} has {@code after-against.jsonl} beside it. */
  static Path beside(Path file) {
    String name = file.getFileName().toString();
    int dot = name.lastIndexOf('.');
    int at = dot < 0 ? name.length() : dot;
    return file.resolveSibling(name.substring(0, at) + "-against" + name.substring(at));
  }

  /**
   * Measures and compares.
   *
   * @param words the arguments of a run, without its file and its cases
   * @param cases of the first runs, as {@code --case} takes them; none for all
   * @param minutes after which no pair begins, except for the first ones
   * @return that of the comparison
   */
  Outcome run(List<String> words, List<String> cases, int minutes)
      throws IOException, InterruptedException {
    long start = System.nanoTime();
    Files.deleteIfExists(before);
    Files.deleteIfExists(after);
    List<String> chosen = cases;
    int pairs = 0;
    for (int look : LOOKS) {
      for (; pairs < look; pairs++) {
        boolean late = System.nanoTime() - start > minutes * 60e9;
        if (late && pairs >= LOOKS[0]) {
          break;
        }
        terminal.err().println("pair %d, until %d".formatted(pairs + 1, look));
        boolean oursFirst = pairs % 2 == 1;
        if (!fork(oursFirst, words, chosen) || !fork(!oursFirst, words, chosen)) {
          return Outcome.FAILED;
        }
      }
      chosen = CompareCommand.undecided(before.toString(), after.toString());
      if (chosen.isEmpty() || pairs < look) {
        break;
      }
      terminal
          .err()
          .println("after %d pairs not decided: %s".formatted(pairs, String.join(", ", chosen)));
    }
    CompareCommand compare = new CompareCommand();
    List<String> files = List.of(before.toString(), after.toString());
    terminal.out().println("compare " + String.join(" ", files));
    return compare.run(Arguments.parse(compare, files), terminal);
  }

  /** Whether a run of one of the builds has come to its end, contenders that disagree or not. */
  private boolean fork(boolean ours, List<String> words, List<String> cases)
      throws IOException, InterruptedException {
    Path file = ours ? after : before;
    List<String> all = new ArrayList<>(words);
    if (!cases.isEmpty()) {
      all.add("--case=" + String.join(",", cases));
    }
    all.add("--json=" + file);
    all.add("--append");
    long old = Files.exists(file) ? Files.size(file) : 0;
    int code = Forks.run(ours ? Forks.OWN : jar.toString(), all);
    boolean measured = Files.exists(file) && Files.size(file) > old;
    if (measured && (code == Outcome.OK.code() || code == Outcome.FAILED.code())) {
      return true;
    }
    if (code != Forks.ENDING) {
      terminal
          .err()
          .println(
              "the JVM of %s ended with exit code %d%s: nothing is compared"
                  .formatted(ours ? "this build" : jar, code, measured ? "" : ", and no lines"));
    }
    return false;
  }
}
