package io.quern;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/** A JVM of this one's kind, with the same class path and Quern's properties, and other flags. */
public final class ForkedJvm {
  /** The flags that this JVM's tests have and a bare JVM has not. */
  public static final List<String> MODULES =
      List.of("--add-modules", "jdk.incubator.vector", "--enable-native-access=ALL-UNNAMED");

  private ForkedJvm() {}

  /**
   * What became of it.
   *
   * @param output what it printed on both streams
   */
  public record Result(int exitCode, String output) {}

  /** Runs a class's main method and waits for it. */
  public static Result run(List<String> flags, Class<?> main, String... arguments)
      throws IOException, InterruptedException {
    List<String> command = new ArrayList<>();
    command.add(Path.of(System.getProperty("java.home"), "bin", "java").toString());
    command.addAll(List.of("-XX:-CreateCoredumpOnCrash", "-XX:ErrorFile=/dev/null"));
    System.getProperties()
        .forEach(
            (name, value) -> {
              if (name.toString().startsWith("quern.")) {
                command.add("-D" + name + "=" + value);
              }
            });
    command.addAll(flags);
    command.addAll(List.of("-cp", System.getProperty("java.class.path"), main.getName()));
    command.addAll(List.of(arguments));
    Process process = new ProcessBuilder(command).redirectErrorStream(true).start();
    process.getOutputStream().close();
    String output = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
    return new Result(process.waitFor(), output);
  }
}
