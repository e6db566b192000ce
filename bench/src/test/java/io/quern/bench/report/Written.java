package io.quern.bench.report;

import io.quern.bench.Arguments;
import io.quern.bench.Command;
import io.quern.bench.Outcome;
import io.quern.bench.Terminal;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;

/** Result files as tests make them up. */
final class Written {
  private final List<String> lines = new ArrayList<>();

  /** A figure in microseconds of a run, and that of the plain loop beside it. */
  Written figure(String run, String id, double micros, double loopMicros) {
    lines.add(line(run, id, "simd", micros, loopMicros));
    lines.add(line(run, id, "java-segment", loopMicros, loopMicros));
    return this;
  }

  /** Figures of a run in which an earlier build took its turns as well. */
  Written beside(String run, String id, double before, double micros) {
    lines.add(line(run, id, "before:simd", before, before));
    lines.add(line(run, id, "simd", micros, before).replace("java-segment", "before:simd"));
    return this;
  }

  Written line(String line) {
    lines.add(line);
    return this;
  }

  static String line(String run, String id, String by, double micros, double loopMicros) {
    return String.format(
        Locale.ROOT,
        "{\"schema\":\"quern-bench/1\",\"run\":\"%1$s\",\"id\":\"%2$s\",\"operator\":\"op\","
            + "\"implementation\":\"%3$s\",\"commit\":\"abc\",\"parameters\":{\"row_bytes\":512},"
            + "\"environment\":{\"cpu\":\"Test CPU\",\"cores\":2},\"mode\":\"wall clock\","
            + "\"threads\":1,\"us\":{\"p05\":%4$f,\"p50\":%5$f,\"low\":%4$f,\"high\":%6$f},"
            + "\"cpu_us\":{\"p05\":%4$f},\"memcpy_cpu_us\":{\"p05\":%7$f},\"bytes\":1000000,"
            + "\"gb_per_s\":3.5,\"percent_of_copy\":70,\"times_faster_than\":%8$s,"
            + "\"verified\":true,\"allocated_bytes_per_op\":0}",
        run,
        id,
        by,
        micros,
        micros * 1.01,
        micros * 1.02,
        loopMicros / 2,
        by.equals("simd")
            ? String.format(
                Locale.ROOT,
                "{\"java-segment\":{\"median\":%f,\"low\":%f,\"high\":%f}}",
                loopMicros / micros,
                loopMicros / micros * 0.98,
                loopMicros / micros * 1.02)
            : "{}");
  }

  Path in(Path folder, String name) throws IOException {
    return Files.write(folder.resolve(name), lines);
  }

  /** What a command printed, and how it ended. */
  record Ended(Outcome outcome, String out) {}

  static Ended run(Command command, Object... words) throws Exception {
    ByteArrayOutputStream out = new ByteArrayOutputStream();
    PrintStream stream = new PrintStream(out, true, StandardCharsets.UTF_8);
    List<String> texts = new ArrayList<>();
    for (Object word : words) {
      texts.add(word.toString());
    }
    Outcome outcome =
        command.run(Arguments.parse(command, texts), new Terminal(stream, stream, false));
    return new Ended(outcome, out.toString(StandardCharsets.UTF_8));
  }
}
