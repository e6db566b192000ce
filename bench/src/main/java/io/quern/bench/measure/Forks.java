package io.quern.bench.measure;

import io.quern.bench.Main;
import io.quern.bench.Outcome;
import io.quern.bench.Terminal;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/**
 * The same measurement in several JVMs, one after another, into one file: what the JIT compiler and
 * the layout of memory make different from one JVM to the next is then seen.
 */
final class Forks {
  /** Instead of an exit code: this JVM is ending as well, and nothing must follow. */
  static final int ENDING = -1;

  private final Terminal terminal;

  Forks(Terminal terminal) {
    this.terminal = terminal;
  }

  /**
   * Runs it.
   *
   * @param words the arguments of one of them
   * @param file that all of them append to; what it holds is lost unless they say {@code --append}
   * @return the worst outcome
   */
  Outcome run(int forks, List<String> words, Path file) throws IOException, InterruptedException {
    List<String> appending = new ArrayList<>(words);
    if (!words.contains("--append")) {
      Files.deleteIfExists(file);
      appending.add("--append");
    }
    Outcome worst = Outcome.OK;
    for (int fork = 1; fork <= forks; fork++) {
      terminal.err().println("fork %d of %d".formatted(fork, forks));
      int code = run(appending);
      if (code == ENDING) {
        return Outcome.FAILED;
      }
      worst = code > worst.code() ? of(code) : worst;
    }
    return worst;
  }

  /**
   * Runs {@code bench} in a JVM like this one.
   *
   * @return the exit code, or {@link #ENDING}
   */
  static int run(List<String> words) throws IOException, InterruptedException {
    List<String> command = new ArrayList<>();
    command.add(Path.of(System.getProperty("java.home"), "bin", "java").toString());
    command.addAll(ManagementFactory.getRuntimeMXBean().getInputArguments());
    command.add("-cp");
    command.add(System.getProperty("java.class.path"));
    command.add(Main.class.getName());
    command.add("bench");
    command.addAll(words);
    Process process = new ProcessBuilder(command).inheritIO().start();
    Thread end = new Thread(() -> end(process), "end of the fork");
    Runtime.getRuntime().addShutdownHook(end);
    int code = process.waitFor();
    try {
      Runtime.getRuntime().removeShutdownHook(end);
    } catch (IllegalStateException e) {
      return ENDING;
    }
    return code;
  }

  /** Ends it, and lets it write its last line. */
  private static void end(Process process) {
    process.destroy();
    process.onExit().join();
  }

  private static Outcome of(int code) {
    return code < Outcome.values().length ? Outcome.values()[code] : Outcome.FAILED;
  }
}
