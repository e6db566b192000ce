package io.quern.bench;

import static org.junit.jupiter.api.Assertions.assertAll;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.quern.Backend;
import java.io.ByteArrayOutputStream;
import java.io.FileNotFoundException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.EnumSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class MainTest {
  private static final Option SIZE = new Option("--size", "N", "how large");
  private static final Option FAST = new Option("--fast", "", "hurry");

  /** Takes one operand and every kind of option, and remembers what it was given. */
  private static final class Recorder implements Command {
    private final List<Arguments> calls = new ArrayList<>();
    private Exception failure;

    @Override
    public String name() {
      return "record";
    }

    @Override
    public String summary() {
      return "remembers its arguments";
    }

    @Override
    public List<String> operands() {
      return List.of("DIR");
    }

    @Override
    public List<Option> options() {
      return List.of(Option.BACKEND, Option.OP, SIZE, FAST);
    }

    @Override
    public String details() {
      return "Details of it.";
    }

    @Override
    public List<String> examples() {
      return List.of("record here");
    }

    @Override
    public Outcome run(Arguments arguments, Terminal terminal) throws Exception {
      calls.add(arguments);
      arguments.backends();
      arguments.operators(Set.of("embedding_gather", "embedding_bag"));
      arguments.integer(SIZE, 1, 1, 9);
      if (failure != null) {
        throw failure;
      }
      return Outcome.OK;
    }
  }

  private final Recorder command = new Recorder();
  private final ByteArrayOutputStream out = new ByteArrayOutputStream();
  private final ByteArrayOutputStream err = new ByteArrayOutputStream();

  private Outcome run(String... args) {
    PrintStream o = new PrintStream(out, true, StandardCharsets.UTF_8);
    PrintStream e = new PrintStream(err, true, StandardCharsets.UTF_8);
    return new Main(List.of(command), new Terminal(o, e, false)).run(List.of(args));
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      textBlock =
          """
          ''                          | a command is needed
          demon                       | no command is called 'demon'
          record                      | needs DIR
          record a b                  | needs DIR, not: a b
          record a --sise 3           | has no option --sise
          record a --size             | --size needs a value
          record a --size --fast      | --size needs a value
          record a --size=            | --size needs a value
          record a --size ten         | --size must be a number from 1 to 9, not ten
          record a --size 10          | --size must be a number from 1 to 9, not 10
          record a --fast=1           | --fast takes no value
          record a --fast --fast      | --fast is given twice
          record a --backend gpu      | unknown back end 'gpu'
          record a --op softmax       | no operator is called 'softmax'; there are embedding_bag, embedding_gather
          """)
  void badArgumentsAreOneLineAndCode2(String line, String message) {
    Outcome outcome = run(line.isEmpty() ? new String[0] : line.split(" "));
    String text = err.toString(StandardCharsets.UTF_8);
    assertAll(
        () -> assertEquals(2, outcome.code()),
        () -> assertTrue(text.contains(message), text),
        () -> assertEquals(1, text.lines().count(), text),
        () -> assertEquals("", out.toString(StandardCharsets.UTF_8)));
  }

  @Test
  void optionsAndOperandsReachTheCommand() {
    assertEquals(
        Outcome.OK, run("record", "--size=3", "dir", "--backend", "simd,scalar", "--fast"));
    Arguments arguments = command.calls.getFirst();
    assertAll(
        () -> assertEquals("dir", arguments.operand(0)),
        () -> assertEquals(3, arguments.integer(SIZE, 1, 1, 9)),
        () ->
            assertEquals(
                Optional.of(EnumSet.of(Backend.SCALAR, Backend.SIMD)), arguments.backends()),
        () -> assertTrue(arguments.has(FAST)),
        () -> assertEquals(Set.of("a"), arguments.operators(Set.of("a"))));
  }

  @Test
  void twoDashesEndTheOptions() {
    assertEquals(Outcome.OK, run("record", "--", "--odd-name"));
    assertEquals("--odd-name", command.calls.getFirst().operand(0));
  }

  @Test
  void helpNamesCommandsAndExitCodes() {
    assertEquals(Outcome.OK, run("--help"));
    String text = out.toString(StandardCharsets.UTF_8);
    assertAll(
        () -> assertTrue(text.contains("record    remembers its arguments"), text),
        () -> assertTrue(text.contains("-Pdemo package"), text),
        () -> assertTrue(text.contains("2  the arguments were wrong"), text));
  }

  @Test
  void helpOfACommandShowsWhatItTakesAndRunsNothing() {
    assertEquals(Outcome.OK, run("record", "x", "--help"));
    String text = out.toString(StandardCharsets.UTF_8);
    assertAll(
        () -> assertTrue(text.contains("record DIR [OPTION…]"), text),
        () -> assertTrue(text.contains("--size N"), text),
        () -> assertTrue(text.contains("record here"), text),
        () -> assertEquals(List.of(), command.calls));
  }

  @Test
  void anOptionalCommandThatIsNotBuiltInSaysHowToGetIt() {
    assertEquals(3, run("demo").code());
    assertTrue(err.toString(StandardCharsets.UTF_8).contains("mvn -B -ntp -Pdemo package"));
  }

  @Test
  void aMissingFileIsAFailureInOneLine() {
    command.failure = new FileNotFoundException("weights.safetensors");
    assertEquals(1, run("record", "x").code());
    String text = err.toString(StandardCharsets.UTF_8);
    assertAll(
        () -> assertTrue(text.contains("weights.safetensors"), text),
        () -> assertEquals(1, text.lines().count(), text));
  }
}
