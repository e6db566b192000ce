package io.quern.bench.verify;

import java.util.List;
import java.util.Map;
import java.util.Optional;

/** Values that are no tensors: maps, lists, numbers, truth values and texts. */
final class GoldenValue {
  private GoldenValue() {}

  /**
   * Says how a value differs from the expectation, in one line; empty if it is within the
   * tolerance.
   */
  static Optional<String> difference(Object got, Object want, GoldenCase golden) {
    if (want instanceof Map<?, ?> expected && got instanceof Map<?, ?> map) {
      for (Object key : expected.keySet()) {
        Optional<String> difference =
            difference(map.get(key), expected.get(key), golden.tolerance((String) key), "" + key);
        if (difference.isPresent()) {
          return difference;
        }
      }
      return Optional.empty();
    }
    return difference(got, want, golden.tolerance("expected"), "expected");
  }

  private static Optional<String> difference(
      Object got, Object want, Tolerance tolerance, String name) {
    return matches(got, want, tolerance)
        ? Optional.empty()
        : Optional.of("%s: is %s, expected %s".formatted(name, got, want));
  }

  private static boolean matches(Object got, Object want, Tolerance tolerance) {
    return switch (want) {
      case List<?> list -> {
        boolean same = got instanceof List<?> mine && mine.size() == list.size();
        for (int i = 0; same && i < list.size(); i++) {
          same = matches(((List<?>) got).get(i), list.get(i), tolerance);
        }
        yield same;
      }
      case Map<?, ?> map ->
          got instanceof Map<?, ?> mine
              && mine.keySet().equals(map.keySet())
              && map.keySet().stream()
                  .allMatch(key -> matches(mine.get(key), map.get(key), tolerance));
      case Number number when got instanceof Number mine -> {
        double difference = Math.abs(mine.doubleValue() - number.doubleValue());
        yield tolerance instanceof Tolerance.AllClose(double rtol, double atol)
            ? difference <= atol + rtol * Math.abs(number.doubleValue())
            : difference == 0;
      }
      case null -> got == null;
      default -> want.equals(got);
    };
  }
}
