package io.quern.bench.verify;

import io.quern.DType;
import io.quern.Shape;
import java.util.Optional;

/**
 * Values are compared, not storage types: an I32 result may meet an I64 expectation, an F16 result
 * an F32 one. An F64 expectation that has to be met exactly is narrowed first, since operators
 * compute in F32. Shapes have to be equal.
 */
public final class GoldenComparison {
  private final GoldenTensor got;
  private final GoldenTensor want;
  private final Tolerance tolerance;

  private GoldenComparison(GoldenTensor got, GoldenTensor want, Tolerance tolerance) {
    this.got = got;
    this.want = want;
    this.tolerance = tolerance;
  }

  /**
   * Says how a result differs from the expectation, in one line; empty if it is within the
   * tolerance.
   */
  public static Optional<String> difference(
      GoldenTensor got, GoldenTensor want, Tolerance tolerance) {
    if (!got.shape().equals(want.shape())) {
      return Optional.of("shape %s, expected %s".formatted(got.shape(), want.shape()));
    }
    return new GoldenComparison(got, want, tolerance).difference();
  }

  private Optional<String> difference() {
    long size = want.shape().size();
    long first = -1;
    long different = 0;
    double worst = 0;
    for (long i = 0; i < size; i++) {
      if (!matches(i)) {
        first = first < 0 ? i : first;
        different++;
        worst = Math.max(worst, Math.abs(got.asDouble(i) - want.asDouble(i)));
      }
    }
    if (different == 0) {
      return Optional.empty();
    }
    return Optional.of(
        "%s is %s, expected %s%s; %d of %d values differ, by up to %s"
            .formatted(
                position(first, want.shape()),
                got.text(first),
                want.text(first),
                tolerance instanceof Tolerance.AllClose(double rtol, double atol)
                    ? " ± (%s + %s·|expected|)".formatted(atol, rtol)
                    : "",
                different,
                size,
                worst));
  }

  private boolean matches(long i) {
    double g = got.asDouble(i);
    double w = want.asDouble(i);
    return switch (tolerance) {
      case Tolerance.Exact() when got.isIntegral() && want.isIntegral() -> isSameInteger(i);
      case Tolerance.Exact() -> {
        double expected = want.dtype() == DType.F64 && got.dtype() != DType.F64 ? (float) w : w;
        yield g == expected || (Double.isNaN(g) && Double.isNaN(expected));
      }
      case Tolerance.AllClose close -> isClose(g, w, close);
    };
  }

  private boolean isSameInteger(long i) {
    // A negative long of U64 stands for a value that no other type has.
    boolean sameMeaning =
        got.asLong(i) >= 0 || (got.dtype() == DType.U64) == (want.dtype() == DType.U64);
    return got.asLong(i) == want.asLong(i) && sameMeaning;
  }

  private static boolean isClose(double g, double w, Tolerance.AllClose close) {
    if (Double.isNaN(w) || Double.isInfinite(w)) {
      return g == w || (Double.isNaN(g) && Double.isNaN(w));
    }
    return Math.abs(g - w) <= close.atol() + close.rtol() * Math.abs(w);
  }

  /** A flat position as indices: {@code [1, 0, 7]}. */
  private static String position(long flat, Shape shape) {
    StringBuilder text = new StringBuilder("]");
    long rest = flat;
    for (int d = shape.rank() - 1; d >= 0; d--) {
      text.insert(0, rest % shape.dim(d)).insert(0, d == 0 ? "[" : ", ");
      rest /= shape.dim(d);
    }
    return shape.rank() == 0 ? "[]" : text.toString();
  }
}
