package io.quern.bench.report;

import static org.junit.jupiter.api.Assertions.assertAll;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.quern.bench.BadArgumentsException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Broken and hostile files are errors with file and line. */
class ResultFileTest {
  private static final String GOOD = Written.line("r", "op/case", "simd", 10, 30);

  @TempDir private Path folder;

  private BadArgumentsException refused(byte[] bytes) throws IOException {
    Path file = Files.write(folder.resolve("results.jsonl"), bytes);
    return assertThrows(
        BadArgumentsException.class, () -> ResultFile.read(List.of(file.toString())));
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      quoteCharacter = '`',
      textBlock =
          """
          {"schema":"quern-bench/1"                         | not JSON
          nonsense                                          | not JSON
          []                                                | not a JSON object
          {"schema":"quern-bench/1"} {}                     | more than one JSON object
          {}                                                | 'schema' is missing, expected a text
          {"schema":7}                                      | 'schema' is 7
          {"schema":"else/3"}                               | schema 'else/3' is not known here
          {"schema":"quern-bench/1"}                        | 'verified' is missing
          {"schema":"quern-bench/1","verified":"yes"}       | expected true or false
          {"schema":"quern-bench/1","verified":true}        | 'us.p50' is missing
          {"schema":"quern-bench/1","verified":true,"us":3} | 'us.p50' is missing
          {"schema":"quern-bench/1","verified":true,"us":{"p50":0}}     | 'us' has not 0 < low
          {"schema":"quern-bench/1","verified":true,"us":{"p50":-1}}    | 'us.p50' is -1.0, expected a number that is not negative
          {"schema":"quern-bench/1","verified":true,"us":{"p50":1e999}} | 'us.p50' is Infinity
          {"schema":"quern-bench/1","verified":true,"us":{"p50":NaN}}   | not JSON
          {"schema":"a","schema":"b"}                       | Duplicate field 'schema'
          {"a":[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]} | nesting depth
          {"schema":"quern-downcall/1","function":"f","ns":{"low":2,"median":1,"high":3}} | 'ns' is a structure, expected positive numbers low, median and high
          """)
  void aBrokenLineIsNamed(String line, String message) throws IOException {
    String text = refused((GOOD + "\n\n" + line + "\n").getBytes("UTF-8")).getMessage();
    assertAll(
        () -> assertTrue(text.contains(message), text),
        () -> assertTrue(text.contains("results.jsonl:3: "), text),
        () -> assertEquals(1, text.lines().count(), text));
  }

  @Test
  void whatIsNotTextOrTooLongIsRefused() throws IOException {
    assertTrue(refused(new byte[] {'{', (byte) 0xFF, '}'}).getMessage().contains(":1: not UTF-8"));
    byte[] endless = new byte[3 << 20];
    assertTrue(refused(endless).getMessage().contains(":1: longer than"));
    String text = "{\"schema\":\"" + "x".repeat(100_000) + "\"}";
    assertTrue(refused(text.getBytes("UTF-8")).getMessage().contains(":1: not JSON"));
    assertTrue(refused(new byte[0]).getMessage().contains("no figures in"));
  }

  @Test
  void messagesCarryNoControlCharacters() throws IOException {
    String text = "{\"schema\":\"\\u001b[2J\\u0007\"}";
    assertFalse(refused(text.getBytes("UTF-8")).getMessage().chars().anyMatch(c -> c < ' '));
  }

  @Test
  void aFileThatIsNotThereIsNamed() {
    BadArgumentsException missing =
        assertThrows(BadArgumentsException.class, () -> ResultFile.read(List.of("no/such.jsonl")));
    assertEquals("there is no file no/such.jsonl", missing.getMessage());
  }

  /** Whatever is done to a good file, the answer is figures or an error of ours. */
  @Test
  void mutationsNeverDoWorse() throws IOException {
    SplittableRandom random = new SplittableRandom(42);
    byte[] good = (GOOD + "\n" + GOOD + "\n").getBytes("UTF-8");
    Path file = folder.resolve("mutated.jsonl");
    for (int i = 0; i < 2000; i++) {
      byte[] mutated = good.clone();
      for (int change = 0; change <= random.nextInt(4); change++) {
        mutated[random.nextInt(mutated.length)] =
            (byte) "{}[]\",:0123456789eE.-+x\n\\\u0000".charAt(random.nextInt(26));
      }
      Files.write(file, mutated);
      try {
        ResultFile read = ResultFile.read(List.of(file.toString()));
        Report report = Report.of(read, Notes.none());
        HtmlPage.of(report, Notes.none(), List.of("mutated.jsonl"));
      } catch (BadArgumentsException e) {
        assertTrue(e.getMessage().contains("mutated.jsonl"), e.getMessage());
      }
    }
  }

  @Test
  void theCommittedResultsAreReadable() throws IOException {
    Path results = Path.of("results");
    try (var files = Files.list(results)) {
      for (Path file : files.filter(one -> one.toString().endsWith(".jsonl")).toList()) {
        if (file.getFileName().toString().startsWith("notes")) {
          assertFalse(Notes.read(file.toString()).targets().isEmpty());
        } else {
          assertFalse(ResultFile.read(List.of(file.toString())).figures().isEmpty());
        }
      }
    }
  }
}
