package io.quern.internal.load;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;

/**
 * A JVM of its own for what a JVM can do only once: load a library, lose a device, start with other
 * flags.
 */
public final class ForkedJvm {
  private static final long TIMEOUT_SECONDS = 120;

  private final List<String> command =
      new ArrayList<>(List.of(Path.of(System.getProperty("java.home"), "bin", "java").toString()));
  private String classPath = System.getProperty("java.class.path");
  private Map<String, String> environment = Map.of();

  /**
   * @param flags what it is started with, class path and main class excluded
   */
  public ForkedJvm(String... flags) {
    command.addAll(List.of(flags));
  }

  /** The flags of all other test JVMs. */
  public static ForkedJvm allowed(String... flags) {
    return new ForkedJvm(
        Stream.concat(
                Stream.of(
                    "--add-modules=jdk.incubator.vector", "--enable-native-access=ALL-UNNAMED"),
                Stream.of(flags))
            .toArray(String[]::new));
  }

  /** Adds a folder to the tests' class path. */
  public ForkedJvm withClassPath(Path folder) {
    classPath += File.pathSeparator + folder;
    return this;
  }

  /** Adds environment variables. */
  public ForkedJvm with(Map<String, String> environment) {
    this.environment = environment;
    return this;
  }

  /**
   * Runs a main class of the tests to its end; what it printed. Another exit status than 0 fails
   * the test.
   */
  public String run(Class<?> main, String... arguments) throws IOException, InterruptedException {
    List<String> line = new ArrayList<>(command);
    line.addAll(List.of("-cp", classPath, main.getName()));
    line.addAll(List.of(arguments));
    Path output =
        Files.createTempFile("quern-fork", ".txt"); // a pipe would have to be read meanwhile
    ProcessBuilder builder =
        new ProcessBuilder(line).redirectErrorStream(true).redirectOutput(output.toFile());
    builder.environment().putAll(environment);
    Process process = builder.start();
    try {
      boolean ended = process.waitFor(TIMEOUT_SECONDS, TimeUnit.SECONDS);
      String text = Files.readString(output);
      assertTrue(ended, () -> "still running: " + main.getName() + "\n" + text);
      assertEquals(0, process.exitValue(), () -> main.getName() + "\n" + text);
      return text;
    } finally {
      process.destroyForcibly();
      Files.delete(output);
    }
  }
}
