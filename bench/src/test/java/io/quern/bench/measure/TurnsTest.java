package io.quern.bench.measure;

import static org.junit.jupiter.api.Assertions.assertAll;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.quern.bench.Main;
import java.io.File;
import java.io.IOException;
import java.io.OutputStream;
import java.lang.ProcessBuilder.Redirect;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.jar.Attributes;
import java.util.jar.JarEntry;
import java.util.jar.JarOutputStream;
import java.util.jar.Manifest;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import javax.tools.ToolProvider;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Builds in turns, each in JVMs of its own, from the command line to the verdict. */
class TurnsTest {
  private static final int SIGINT = 130; // 128 plus the signal's number

  private static final Path SOURCE =
      Path.of("src/main/java/io/quern/bench/measure/DeviceContender.java");
  private static final String MEASURED = "return Contender.super.seconds(first, runs, sets);";

  /** A tenth more time on the core, whatever the operator is. */
  private static final String SLOWER =
      """
      var thread = java.lang.management.ManagementFactory.getThreadMXBean();
      long wall = System.nanoTime();
      long cpu = thread.getCurrentThreadCpuTime();
      Contender.super.seconds(first, runs, sets);
      long end = cpu + (thread.getCurrentThreadCpuTime() - cpu) * 11 / 10;
      while (thread.getCurrentThreadCpuTime() < end) {
        Thread.onSpinWait();
      }
      return (System.nanoTime() - wall) * 1e-9;
      """;

  @TempDir private Path folder;

  /** How a command ended, and what it said. */
  private record Ended(int code, String text) {}

  private Process start(Path build, String... words) throws IOException {
    List<String> command = new ArrayList<>();
    // A shell that runs the tests in the background lets them ignore interrupts.
    command.addAll(List.of("env", "--default-signal=INT"));
    command.add(Path.of(System.getProperty("java.home"), "bin", "java").toString());
    command.addAll(List.of("--add-modules", "jdk.incubator.vector", "-cp", build.toString()));
    command.addAll(List.of(Main.class.getName(), "bench", "--preset", "quick"));
    command.addAll(List.of("--backend", "simd", "--op", "tree_topology"));
    command.addAll(List.of("--json", results().toString(), "--minutes", "1"));
    command.addAll(List.of(words));
    return new ProcessBuilder(command)
        .redirectErrorStream(true)
        .redirectOutput(Redirect.to(folder.resolve("log").toFile()))
        .start();
  }

  private Ended bench(Path build, String... words) throws IOException, InterruptedException {
    int code = start(build, words).waitFor();
    return new Ended(code, Files.readString(folder.resolve("log")));
  }

  private Path results() {
    return folder.resolve("after.jsonl");
  }

  /** This build as a jar, with other classes before its own. */
  private Path jar(String name, Path classes) throws IOException {
    Manifest manifest = new Manifest();
    Attributes attributes = manifest.getMainAttributes();
    attributes.put(Attributes.Name.MANIFEST_VERSION, "1.0");
    attributes.put(
        Attributes.Name.CLASS_PATH,
        Arrays.stream(System.getProperty("java.class.path").split(File.pathSeparator))
            .map(entry -> Path.of(entry).toUri().toString())
            .collect(Collectors.joining(" ")));
    Path jar = folder.resolve(name);
    try (OutputStream out = Files.newOutputStream(jar);
        JarOutputStream entries = new JarOutputStream(out, manifest);
        Stream<Path> files = Files.walk(classes)) {
      for (Path file : files.filter(Files::isRegularFile).toList()) {
        entries.putNextEntry(new JarEntry(classes.relativize(file).toString()));
        Files.copy(file, entries);
      }
    }
    return jar;
  }

  private Path plain() throws IOException {
    return jar("plain.jar", Files.createDirectories(folder.resolve("nothing")));
  }

  private Path slower() throws IOException {
    String source = Files.readString(SOURCE);
    assertTrue(source.contains(MEASURED));
    Path changed = folder.resolve("DeviceContender.java");
    Files.writeString(changed, source.replace(MEASURED, SLOWER));
    Path classes = Files.createDirectories(folder.resolve("slower"));
    int code =
        ToolProvider.getSystemJavaCompiler()
            .run(
                null,
                null,
                null,
                "-proc:none",
                "-cp",
                System.getProperty("java.class.path"),
                "-d",
                classes.toString(),
                changed.toString());
    assertEquals(0, code);
    return jar("slower.jar", classes);
  }

  /** A loaded machine may leave it open, but never says the contrary. */
  @Test
  void aBuildThatTakesATenthLongerIsFound() throws Exception {
    Ended ended = bench(slower(), "--against", plain().toString());
    String text = ended.text();
    boolean open = text.contains("1 AMBIGUOUS");
    assertAll(
        () -> assertTrue(open || text.contains("1 SLOWER"), text),
        () -> assertEquals(open ? 0 : 1, ended.code(), text),
        () -> assertTrue(Files.exists(folder.resolve("after-against.jsonl")), text));
  }

  @Test
  void whatIsNoJarIsNamed() throws Exception {
    Path text = Files.writeString(folder.resolve("text.jar"), "no jar");
    Ended ended = bench(plain(), "--against", text.toString());
    assertAll(
        () -> assertEquals(1, ended.code(), ended.text()),
        () -> assertTrue(ended.text().contains("JVM of " + text), ended.text()),
        () -> assertTrue(ended.text().contains("nothing is compared"), ended.text()));
  }

  @Test
  void aBuildWithoutTheCaseIsNamed() throws Exception {
    Path classes = Files.createDirectories(folder.resolve("old/io/quern/bench"));
    Path source = classes.resolve("Main.java");
    Files.writeString(
        source,
        """
        package io.quern.bench;
        public class Main {
          public static void main(String[] words) {
            System.err.println("no case of preset quick has such an id");
            System.exit(2);
          }
        }
        """);
    assertEquals(0, ToolProvider.getSystemJavaCompiler().run(null, null, null, source.toString()));
    Path old = jar("old.jar", folder.resolve("old"));
    Ended ended = bench(plain(), "--against", old.toString(), "--case", "levels");
    assertAll(
        () -> assertEquals(1, ended.code(), ended.text()),
        () -> assertTrue(ended.text().contains("no case of preset quick"), ended.text()),
        () -> assertTrue(ended.text().contains("ended with exit code 2"), ended.text()));
  }

  /** The fork ends with it, by its own last line, and nothing follows. */
  @Test
  void anInterruptedPairLeavesWholeLines() throws Exception {
    Path build = plain();
    Process bench = start(build, "--against", build.toString());
    Path before = folder.resolve("after-against.jsonl");
    long start = System.nanoTime();
    while (bench.isAlive() && (!Files.exists(before) || Files.size(before) == 0)) {
      assertTrue(System.nanoTime() - start < 120e9, "no line");
      Thread.sleep(50);
    }
    new ProcessBuilder("kill", "-INT", Long.toString(bench.pid())).start().waitFor();
    assertTrue(bench.waitFor(30, TimeUnit.SECONDS));
    String text = Files.readString(folder.resolve("log"));
    List<String> lines = Files.readAllLines(before);
    assertAll(
        () -> assertEquals(SIGINT, bench.exitValue(), text),
        () -> assertFalse(text.contains("nothing is compared"), text),
        () -> assertFalse(Files.exists(results()), text),
        () -> assertTrue(lines.getLast().endsWith("\"interrupted\":true}"), lines.getLast()));
  }
}
