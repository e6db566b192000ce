package io.quern.bench.report;

import io.quern.timing.Statistics;
import java.util.Map;
import java.util.Objects;
import java.util.OptionalDouble;

/**
 * A line of schema {@code quern-bench/1}: what one implementation took at one case in one run.
 *
 * @param line where it stands
 * @param run that it belongs to; files older than runs are one run each
 * @param case_ the case's id
 * @param by the implementation
 * @param threads it had
 * @param pages of its operands: {@code huge} or {@code default}
 * @param micros the median with its interval; without one, the samples' quartile-free stand-in is
 *     the median alone
 * @param bytes that a call must move
 * @param rate GB/s
 * @param percentOfCopy of what a copy of as many bytes reaches
 * @param flops of a call, 0 where bytes bound it
 * @param timesMemcpy how many times the speed of a copy, paired; null in older files
 * @param timesFaster than each baseline, paired
 */
record Figure(
    Line line,
    String run,
    String case_,
    String operator,
    String by,
    String mode,
    int threads,
    String pages,
    Statistics.Interval micros,
    double bytes,
    double rate,
    OptionalDouble percentOfCopy,
    double flops,
    OptionalDouble percentOfFma,
    Statistics.Interval timesMemcpy,
    Map<String, Statistics.Interval> timesFaster) {

  static final String SCHEMA = "quern-bench/1";

  static Figure of(Line line) {
    double p50 = line.number("us.p50");
    if (p50 <= 0) {
      throw line.wrong("'us.p50' is 0: nothing takes no time");
    }
    return new Figure(
        line,
        line.text("run", line.file()),
        line.text("id"),
        line.text("operator"),
        line.text("implementation"),
        line.text("mode", ""),
        (int) line.number("threads"),
        line.text("pages", "default"),
        line.has("us.low")
            ? new Statistics.Interval(line.number("us.low"), p50, line.number("us.high"))
            : new Statistics.Interval(p50, p50, p50),
        line.number("bytes"),
        line.number("gb_per_s"),
        line.maybe("percent_of_copy"),
        line.maybe("flops").orElse(0),
        line.maybe("percent_of_fma"),
        line.has("times_memcpy") ? line.interval("times_memcpy") : null,
        line.intervals("times_faster_than"));
  }

  /** What has to be equal for two figures to be of the same thing. */
  record Key(String case_, String by, int threads, String pages) {
    @Override
    public String toString() {
      return "%s by %s%s%s"
          .formatted(
              case_,
              by,
              threads == 1 ? "" : ", %d threads".formatted(threads),
              pages.equals("default") ? "" : ", %s pages".formatted(pages));
    }
  }

  Key key() {
    return new Key(case_, by, threads, pages);
  }

  /** Whether it is Quern's, and not what Quern is compared with. */
  boolean quern() {
    return switch (by) {
      case "scalar", "simd", "cuda", "emulated" -> true;
      default -> false;
    };
  }

  boolean gpu() {
    return mode.equals("gpu events");
  }

  /** The operators' family of cases: the part of the id before its first dash. */
  String shape() {
    return case_.substring(Math.min(case_.length(), operator.length() + 1));
  }

  /** A number among the case's parameters. */
  OptionalDouble parameter(String name) {
    Object value = line.map("parameters").get(name);
    return value instanceof Number number
        ? OptionalDouble.of(number.doubleValue())
        : OptionalDouble.empty();
  }

  String machine() {
    Map<String, Object> environment = line.map("environment");
    return "%s, %s cores, %s"
        .formatted(
            Objects.requireNonNullElse(environment.get("cpu"), "unknown CPU"),
            Objects.requireNonNullElse(environment.get("cores"), "?"),
            Objects.requireNonNullElse(environment.get("jdk"), "unknown JDK"));
  }
}
