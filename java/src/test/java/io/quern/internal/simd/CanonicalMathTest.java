package io.quern.internal.simd;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.quern.internal.scalar.CanonicalMath;
import java.util.function.DoubleUnaryOperator;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/**
 * exp and log against the JDK's in double precision, and the vector forms against the scalar ones,
 * over all floats: every 257th by default, each with {@code -Dquern.test.all.floats=true}.
 */
@Tag("parity")
class CanonicalMathTest {
  private static final long FLOATS = 1L << 32;
  private static final int STEP = Boolean.getBoolean("quern.test.all.floats") ? 1 : 257;
  private static final int BLOCK = 1 << 12;

  /** Multiplier of a 64-bit FNV digest. */
  private static final long FNV = 0x100000001b3L;

  enum Function {
    EXP(1.01, 0x7a152172fbc67122L, Math::exp) {
      @Override
      float scalar(float x) {
        return CanonicalMath.exp(x);
      }

      @Override
      void vector(float[] x) {
        VectorMath.exp(x, 0, BLOCK, 0);
      }
    },
    LOG(0.88, 0xc1c7d400de8af5d5L, Math::log) {
      @Override
      float scalar(float x) {
        return CanonicalMath.log(x);
      }

      @Override
      void vector(float[] x) {
        RowReduction.log(x, 0, BLOCK);
      }
    },
    LOG1P(3, 0x206ba9ca89295599L, Math::log1p) {
      @Override
      float scalar(float x) {
        return CanonicalMath.log1p(x);
      }

      @Override
      void vector(float[] x) {
        for (int i = 0; i < BLOCK; i++) {
          x[i] = CanonicalMath.log1p(x[i]);
        }
      }
    };

    private final double ulps;
    private final long digest;
    private final DoubleUnaryOperator exact;

    Function(double ulps, long digest, DoubleUnaryOperator exact) {
      this.ulps = ulps;
      this.digest = digest;
      this.exact = exact;
    }

    abstract float scalar(float x);

    abstract void vector(float[] x);
  }

  @ParameterizedTest
  @EnumSource
  void isAccurateAndTheSameInVectors(Function function) {
    float[] x = new float[BLOCK];
    float[] y = new float[BLOCK];
    double worst = 0;
    float where = 0;
    long digest = 0;
    long next = 0;
    while (next < FLOATS) {
      int n = 0;
      for (; n < BLOCK && next < FLOATS; n++, next += STEP) {
        x[n] = Float.intBitsToFloat((int) next);
        y[n] = x[n];
      }
      function.vector(y);
      for (int i = 0; i < n; i++) {
        float value = function.scalar(x[i]);
        if (Float.floatToIntBits(value) != Float.floatToIntBits(y[i])) {
          assertEquals(value, y[i], "vector form of " + x[i]);
        }
        digest = (digest ^ (Float.floatToIntBits(value) & 0xffffffffL)) * FNV;
        double error = ulps(value, function.exact.applyAsDouble(x[i]));
        if (error > worst) {
          worst = error;
          where = x[i];
        }
      }
    }
    System.out.printf("%s: %.4f ulp at %a%n", function, worst, where);
    assertTrue(worst <= function.ulps, worst + " ulp at " + where);
    if (STEP == 257) {
      assertEquals(
          Long.toHexString(function.digest),
          Long.toHexString(digest),
          "the same digest as in native/test/core_test.cpp");
    }
  }

  /** The distance in units of the last place of the exact value's binade. */
  private static double ulps(float value, double exact) {
    float nearest = (float) exact;
    if (Float.isNaN(nearest) || Float.isInfinite(nearest)) {
      return Float.compare(value, nearest) == 0 ? 0 : Double.POSITIVE_INFINITY;
    }
    int exponent = Math.max(Math.getExponent(exact), Float.MIN_EXPONENT);
    return Math.abs(value - exact) / Math.scalb(1.0, exponent - 23);
  }
}
