package io.quern.bench;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import org.junit.jupiter.api.Test;

class ProgressTest {
  private final ByteArrayOutputStream err = new ByteArrayOutputStream();

  private Terminal terminal(boolean interactive) {
    PrintStream stream = new PrintStream(err, true, StandardCharsets.UTF_8);
    return new Terminal(stream, stream, interactive);
  }

  private String shown() {
    return err.toString(StandardCharsets.UTF_8);
  }

  private void awaitText() throws InterruptedException {
    for (int i = 0; i < 1000 && shown().isEmpty(); i++) {
      Thread.sleep(10);
    }
  }

  @Test
  void shortWorkSaysNothing() {
    try (Progress progress = terminal(true).progress("sorting", 3)) {
      progress.step("first");
    }
    assertEquals("", shown());
  }

  @Test
  void longWorkIsOneLineThatDisappears() throws InterruptedException {
    Terminal terminal = terminal(true);
    try (Progress progress = new Progress(terminal, "sorting", 3, Duration.ofMillis(20))) {
      progress.step("first");
      awaitText();
    }
    assertTrue(shown().startsWith("\rsorting, 1 of 3: first, 0 s"), shown());
    assertTrue(shown().endsWith(" \r"), shown());
    assertEquals(1, shown().lines().filter(line -> !line.isBlank()).distinct().count());
  }

  @Test
  void withoutAPersonItIsAPlainLine() throws InterruptedException {
    Terminal terminal = terminal(false);
    try (Progress progress = new Progress(terminal, "sorting", 3, Duration.ofMillis(20))) {
      progress.step("first");
      awaitText();
    }
    assertEquals("sorting, 1 of 3: first, 0 s\n", shown());
  }

  @Test
  void timeLeftIsThatOfTheStepsBefore() {
    assertEquals("", Progress.left(10, 1, 12));
    assertEquals(", about 50 s left", Progress.left(10, 2, 12));
    assertEquals(", about 4 min left", Progress.left(40, 2, 12));
    assertEquals("", Progress.left(40, 12, 12));
  }
}
