package io.quern.bench.report;

import io.quern.bench.BadArgumentsException;
import io.quern.timing.Statistics;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.OptionalDouble;
import java.util.regex.Pattern;

/**
 * One line of a result file. What it lacks, or has of another type, is named with file and line.
 *
 * @param file as the user named it
 * @param number from 1 on
 * @param object the line's one JSON object
 */
record Line(String file, int number, Map<String, Object> object) {
  /** Not to be sent to a terminal. */
  private static final Pattern CONTROL = Pattern.compile("\\p{Cntrl}");

  /** Where it is: {@code results.jsonl:7}. */
  String where() {
    return file + ":" + number;
  }

  /** The same without the folder, for a report that names its files in full elsewhere. */
  String shortly() {
    return Path.of(file).getFileName() + ":" + number;
  }

  BadArgumentsException wrong(String what) {
    return new BadArgumentsException(where() + ": " + CONTROL.matcher(what).replaceAll("?"));
  }

  /** A part of the object: {@code us.p50}. Null if it, or what it is in, is missing or null. */
  private Object at(String path) {
    Object value = object;
    for (String name : path.split("\\.")) {
      if (!(value instanceof Map<?, ?> map)) {
        return null;
      }
      value = map.get(name);
    }
    return value;
  }

  boolean has(String path) {
    return at(path) != null;
  }

  String text(String path) {
    if (at(path) instanceof String text) {
      return text;
    }
    throw expected(path, "a text");
  }

  String text(String path, String otherwise) {
    return has(path) ? text(path) : otherwise;
  }

  boolean flag(String path) {
    if (at(path) instanceof Boolean flag) {
      return flag;
    }
    throw expected(path, "true or false");
  }

  boolean flag(String path, boolean otherwise) {
    return has(path) ? flag(path) : otherwise;
  }

  /** A finite number that is not negative, as all of a result file are. */
  double number(String path) {
    if (at(path) instanceof Number number
        && Double.isFinite(number.doubleValue())
        && number.doubleValue() >= 0) {
      return number.doubleValue();
    }
    throw expected(path, "a number that is not negative");
  }

  /** The same; nothing where it is missing or was not a number when it was written. */
  OptionalDouble maybe(String path) {
    Object value = at(path);
    return value == null || "NaN".equals(value)
        ? OptionalDouble.empty()
        : OptionalDouble.of(number(path));
  }

  /** {@code {"median", "low", "high"}}, in this order of size. */
  Statistics.Interval interval(String path) {
    return interval(path, at(path));
  }

  private Statistics.Interval interval(String path, Object value) {
    if (value instanceof Map<?, ?> map
        && map.get("low") instanceof Number low
        && map.get("median") instanceof Number median
        && map.get("high") instanceof Number high) {
      Statistics.Interval interval =
          new Statistics.Interval(low.doubleValue(), median.doubleValue(), high.doubleValue());
      if (interval.low() > 0
          && interval.low() <= interval.median()
          && interval.median() <= interval.high()
          && Double.isFinite(interval.high())) {
        return interval;
      }
    }
    throw expected(path, "positive numbers low, median and high");
  }

  /** Intervals by name, empty where there are none. */
  Map<String, Statistics.Interval> intervals(String path) {
    Map<String, Statistics.Interval> intervals = new LinkedHashMap<>();
    // The name is a key and may have a dot in it.
    map(path).forEach((name, value) -> intervals.put(name, interval(path + " " + name, value)));
    return intervals;
  }

  @SuppressWarnings("unchecked") // JSON's names are texts
  Map<String, Object> map(String path) {
    Object value = at(path);
    if (value == null) {
      return Map.of();
    }
    if (value instanceof Map<?, ?> map) {
      return (Map<String, Object>) map;
    }
    throw expected(path, "an object");
  }

  private BadArgumentsException expected(String path, String what) {
    Object value = at(path);
    String got = value == null ? "missing" : shortened(value);
    return wrong("'%s' is %s, expected %s".formatted(path, got, what));
  }

  private static String shortened(Object value) {
    String text = value instanceof List || value instanceof Map ? "a structure" : value.toString();
    return text.length() <= 40 ? text : text.substring(0, 40) + "…";
  }
}
