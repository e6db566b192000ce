package io.quern.bench.report;

import io.quern.timing.Statistics;
import java.util.Map;
import java.util.OptionalDouble;

/**
 * A line of schema {@code quern-bench/1}: what one implementation took at one case in one run.
 *
 * @param line where it stands
 * @param run that it belongs to; files older than runs are one run each
 * @param id the case's id
 * @param by the implementation
 * @param threads it had
 * @param pages of its operands: {@code huge} or {@code default}
 * @param micros the median with its interval, which has no width in lines older than it
 * @param bytes that a call must move
 * @param rate GB/s
 * @param percentOfCopy of what a copy of as many bytes reaches
 * @param flops of a call, 0 where bytes bound it
 * @param timesFaster than each baseline, paired
 */
record Figure(
    Line line,
    String run,
    String id,
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
    Map<String, Statistics.Interval> timesFaster) {

  static final String SCHEMA = "quern-bench/1";

  static Figure of(Line line) {
    double p50 = line.number("us.p50");
    double low = line.maybe("us.low").orElse(p50);
    double high = line.maybe("us.high").orElse(p50);
    if (low <= 0 || low > p50 || p50 > high) {
      throw line.wrong("'us' has not 0 < low <= p50 <= high");
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
        new Statistics.Interval(low, p50, high),
        line.number("bytes"),
        line.number("gb_per_s"),
        line.maybe("percent_of_copy"),
        line.maybe("flops").orElse(0),
        line.maybe("percent_of_fma"),
        line.intervals("times_faster_than"));
  }

  /** What has to be equal for two figures to be of the same thing. */
  record Key(String id, String by, int threads, String pages) {
    @Override
    public String toString() {
      return "%s by %s%s%s"
          .formatted(
              id,
              by,
              threads == 1 ? "" : ", %d threads".formatted(threads),
              pages.equals("default") ? "" : ", %s pages".formatted(pages));
    }
  }

  Key key() {
    return new Key(id, by, threads, pages);
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

  /** The id without the operator. */
  String shape() {
    return id.substring(Math.min(id.length(), operator.length() + 1));
  }

  /** A number among the case's parameters. */
  OptionalDouble parameter(String name) {
    Object value = line.map("parameters").get(name);
    return value instanceof Number number
        ? OptionalDouble.of(number.doubleValue())
        : OptionalDouble.empty();
  }
}
