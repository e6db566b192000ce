package io.quern.bench.verify;

import io.quern.Availability.Unavailable;
import io.quern.Backend;
import io.quern.bench.Outcome;
import java.io.PrintStream;
import java.nio.file.Path;
import java.util.Optional;
import java.util.Set;
import java.util.TreeSet;

/** One line per vector and back end, then what was skipped and why, then the counts. */
final class VerifyReport {
  private final Path dir;
  private final PrintStream out;
  private final Set<String> missing = new TreeSet<>();
  private int passed;
  private int failed;
  private int skipped;

  VerifyReport(Path dir, PrintStream out) {
    this.dir = dir;
    this.out = out;
  }

  /** A back end is left out because it cannot be used here. */
  void unavailable(Backend backend, Unavailable why) {
    out.printf("%s: unavailable: %s (%s)%n", backend.id(), why.reason(), why.hint());
  }

  /**
   * A vector was run.
   *
   * @param required whether it counts
   * @param difference what is wrong with the result, if anything
   */
  void ran(Path file, Backend backend, boolean required, Optional<String> difference) {
    if (required) {
      passed += difference.isEmpty() ? 1 : 0;
      failed += difference.isEmpty() ? 0 : 1;
      line(difference.isEmpty() ? "pass" : "FAIL", backend, file, difference.orElse(""));
    } else {
      line(
          difference.isEmpty() ? "agrees" : "differs",
          backend,
          file,
          "informative" + difference.map(text -> "; " + text).orElse(""));
    }
  }

  /**
   * The library does not have this yet.
   *
   * @param required whether it counts
   * @param variant which variant of the operator; empty if it has no part of it
   */
  void skipped(Path file, Backend backend, boolean required, String op, String variant) {
    skipped += required ? 1 : 0;
    missing.add(op + (variant.isEmpty() ? "" : ", " + variant));
    line("skip", backend, file, "");
  }

  private void line(String what, Backend backend, Path file, String remark) {
    String name = dir.relativize(file).toString();
    out.printf(
        "%-7s %-8s %s%s%n",
        what,
        backend.id(),
        name.substring(0, name.length() - VerifyCommand.SUFFIX.length()),
        remark.isEmpty() ? "" : "  " + remark.replaceAll("\\R", " "));
  }

  /** Prints the end of the report and judges. */
  Outcome finish() {
    missing.forEach(op -> out.printf("skipped: %s: not in the library yet%n", op));
    out.printf("%d passed, %d failed, %d skipped%n", passed, failed, skipped);
    out.flush();
    return failed == 0 ? Outcome.OK : Outcome.FAILED;
  }
}
