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

/** Two builds beside one another, from the command line to the verdict. */
class RoundsTest {
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

  /** This build with other text in a source file. */
  private Path changed(String name, String from, String to) throws IOException {
    String source = Files.readString(SOURCE);
    assertTrue(source.contains(from));
    Path changed = folder.resolve(SOURCE.getFileName());
    Files.writeString(changed, source.replace(from, to));
    return jar(name + ".jar", compiled(changed));
  }

  private Path compiled(Path source) throws IOException {
    Path classes = Files.createTempDirectory(folder, "classes");
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
                source.toString());
    assertEquals(0, code);
    return classes;
  }

  /** A loaded machine may leave it open, but never says the contrary. */
  @Test
  void aBuildThatTakesATenthLongerIsFound() throws Exception {
    Path slower = changed("slower", MEASURED, SLOWER);
    Ended ended = bench(slower, "--against", plain().toString());
    String text = ended.text();
    String lines = Files.readString(results());
    boolean open = text.contains("1 AMBIGUOUS");
    assertAll(
        () -> assertTrue(open || text.contains("1 SLOWER"), text),
        () -> assertEquals(open ? 0 : 1, ended.code(), text),
        () -> assertTrue(lines.contains("\"implementation\":\"before:simd\""), lines),
        () -> assertTrue(text.contains("compare " + results()), text));
  }

  @Test
  void aBuildThatGivesOtherBitsIsRefused() throws Exception {
    Path idle = changed("idle", "run.accept(set);", "");
    Ended ended = bench(plain(), "--against", idle.toString());
    assertAll(
        () -> assertEquals(1, ended.code(), ended.text()),
        () -> assertTrue(ended.text().contains("REFUSED   tree_topology/"), ended.text()),
        () -> assertTrue(ended.text().contains(": before:simd gives"), ended.text()));
  }

  @Test
  void whatIsNoJarIsNamed() throws Exception {
    Path text = Files.writeString(folder.resolve("text.jar"), "no jar");
    Ended ended = bench(plain(), "--against", text.toString());
    assertAll(
        () -> assertEquals(1, ended.code(), ended.text()),
        () -> assertTrue(ended.text().contains(text + " has no build of this"), ended.text()),
        () -> assertTrue(ended.text().contains("nothing is compared"), ended.text()));
  }

  @Test
  void aBuildWithoutTheCaseIsNamed() throws Exception {
    Path source = folder.resolve("Guest.java");
    Files.writeString(
        source,
        """
        package io.quern.bench.measure;
        public class Guest {
          public Guest(java.util.Set<String> backends, int threads) {}
          public String commit() { return "old"; }
          public java.util.List<?> contenders(String id, java.lang.foreign.SegmentAllocator memory) {
            return java.util.List.of();
          }
          public void close() {}
        }
        """);
    Path old = jar("old.jar", compiled(source));
    Ended ended = bench(plain(), "--against", old.toString(), "--case", "levels");
    assertAll(
        () -> assertEquals(2, ended.code(), ended.text()),
        () -> assertTrue(ended.text().contains(old + " does not have tree_topology/levels")),
        () -> assertTrue(ended.text().contains("no figures in " + results()), ended.text()));
  }

  /** The fork ends with it, by its own last line, and nothing follows. */
  @Test
  void anInterruptedRunLeavesWholeLines() throws Exception {
    Path build = plain();
    Process bench = start(build, "--against", build.toString());
    long start = System.nanoTime();
    while (bench.isAlive() && (!Files.exists(results()) || Files.size(results()) == 0)) {
      assertTrue(System.nanoTime() - start < 120e9, "no line");
      Thread.sleep(50);
    }
    new ProcessBuilder("kill", "-INT", Long.toString(bench.pid())).start().waitFor();
    assertTrue(bench.waitFor(30, TimeUnit.SECONDS));
    String text = Files.readString(folder.resolve("log"));
    List<String> lines = Files.readAllLines(results());
    assertAll(
        () -> assertEquals(SIGINT, bench.exitValue(), text),
        () -> assertFalse(text.contains("nothing is compared"), text),
        () -> assertTrue(lines.getLast().endsWith("\"interrupted\":true}"), lines.getLast()));
  }
}
