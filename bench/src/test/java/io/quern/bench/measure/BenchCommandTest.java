package io.quern.bench.measure;

import static org.junit.jupiter.api.Assertions.assertAll;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.quern.bench.Arguments;
import io.quern.bench.BadArgumentsException;
import io.quern.bench.Main;
import io.quern.bench.Terminal;
import io.quern.bench.jmh.CaseBenchmark;
import java.io.IOException;
import java.io.PrintStream;
import java.lang.ProcessBuilder.Redirect;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.openjdk.jmh.annotations.Param;

class BenchCommandTest {
  private static final int SIGINT = 130; // 128 plus the signal's number

  @TempDir private Path folder;

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      textBlock =
          """
          --preset fast                | no preset is called 'fast'; there are quick, full, grid
          --preset full --quick        | give one of them
          --forks 3                    | need --json FILE
          --append                     | need --json FILE
          --against old.jar            | need --json FILE
          --against x --json y --forks 2 | --against has as many forks as it takes
          --against x --json y --backend simd,cuda | --against is for CPU back ends
          --against no-such.jar --json y | there is no file no-such.jar
          --against no-such.jar --json y --append | there is no file no-such.jar
          --minutes 3                  | --minutes is for --against
          --case no-such-case          | no case of preset full has an id with no-such-case
          --quick --dtype f8,f4        | no case of preset quick has an id with f8 or f4
          --quick --case row --dtype x | an id with row and x
          --op softmax                 | no operator is called 'softmax'
          """)
  void badArgumentsAreNamed(String line, String message) {
    BenchCommand bench = new BenchCommand();
    Arguments arguments = Arguments.parse(bench, List.of(line.split(" ")));
    PrintStream nowhere = new PrintStream(PrintStream.nullOutputStream());
    BadArgumentsException refused =
        assertThrows(
            BadArgumentsException.class,
            () -> bench.run(arguments, new Terminal(nowhere, nowhere, false)));
    assertTrue(refused.getMessage().contains(message), refused.getMessage());
  }

  @Test
  void presetsHaveTheirCases() {
    List<String> grid = Preset.GRID.cases().map(TimedCase::id).toList();
    assertAll(
        () -> assertEquals(grid.size(), grid.stream().distinct().count()),
        () -> assertEquals(108, grid.stream().filter(id -> id.contains("/cuembed-")).count()),
        () -> assertEquals(2, grid.stream().filter(id -> id.contains("/nvcache-")).count()),
        () -> assertTrue(grid.stream().anyMatch(id -> id.startsWith("ponet_pooling/"))),
        () -> assertEquals(Preset.FULL.cases().count(), TimedCase.all().size()),
        () -> assertTrue(Preset.QUICK.cases().count() < 40));
  }

  @Test
  void theCasesOfTheJmhBenchmarkExist() throws NoSuchFieldException {
    for (String id : CaseBenchmark.class.getField("id").getAnnotation(Param.class).value()) {
      assertEquals(id, TimedCase.named(id).id());
    }
  }

  /** A real signal, to a run of several JVMs. */
  @Test
  void anInterruptedRunLeavesWholeLines() throws IOException, InterruptedException {
    Path results = folder.resolve("results.jsonl");
    List<String> command = new ArrayList<>();
    // A shell that runs the tests in the background lets them ignore interrupts.
    command.addAll(List.of("env", "--default-signal=INT"));
    command.add(Path.of(System.getProperty("java.home"), "bin", "java").toString());
    command.addAll(List.of("--add-modules", "jdk.incubator.vector"));
    command.addAll(List.of("-cp", System.getProperty("java.class.path"), Main.class.getName()));
    command.addAll(List.of("bench", "--preset", "quick", "--op", "tree_topology,top_k"));
    command.addAll(List.of("--backend", "scalar", "--forks", "2", "--json", results.toString()));
    Path log = folder.resolve("log");
    Process bench =
        new ProcessBuilder(command)
            .redirectErrorStream(true)
            .redirectOutput(Redirect.to(log.toFile()))
            .start();
    long start = System.nanoTime();
    while (lines(results).isEmpty() && bench.isAlive()) {
      assertTrue(System.nanoTime() - start < 120e9, () -> text(log));
      Thread.sleep(50);
    }
    new ProcessBuilder("kill", "-INT", Long.toString(bench.pid())).start().waitFor();
    assertTrue(bench.waitFor(30, TimeUnit.SECONDS), () -> text(log));
    List<String> lines = lines(results);
    assertAll(
        () -> assertEquals(SIGINT, bench.exitValue(), () -> text(log)),
        () -> assertTrue(lines.size() >= 2, lines::toString),
        () -> assertTrue(lines.getFirst().contains("\"verified\":true"), lines.getFirst()),
        () -> assertTrue(lines.getLast().endsWith("\"interrupted\":true}"), lines.getLast()),
        () -> lines.forEach(line -> assertTrue(line.startsWith("{\"schema\":"), line)));
  }

  private static List<String> lines(Path file) throws IOException {
    return Files.exists(file) ? Files.readAllLines(file) : List.of();
  }

  private static String text(Path file) {
    try {
      return Files.readString(file);
    } catch (IOException e) {
      return e.toString();
    }
  }
}
