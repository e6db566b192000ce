package io.quern.internal.scalar;

/**
 * exp and log in F32, the same bits on every back end (rule 7): {@code
 * io.quern.internal.simd.VectorMath} and {@code core/math.cuh} do the same operations with the same
 * constants. Over all floats exp is within 1.01 ulp of the exact value and log within 0.88.
 */
public final class CanonicalMath {
  /** Adding it rounds to an integer, which then is in the lowest bits. */
  private static final float ROUND = 0x1.8p23f;

  private static final int ROUND_BITS = 0x4b400000;

  private static final float LOG2_E = 0x1.715476p0f;

  /** ln 2 in two parts; the first has 16 bits, so that its multiples up to 2^8 are exact. */
  private static final float LN2_HIGH = 0x1.62e4p-1f;

  private static final float LN2_LOW = 0x1.7f7d1cp-20f;

  /** Beyond these the result is an infinity or 0. */
  private static final float EXP_MAX = 89;

  private static final float EXP_MIN = -104;

  private static final int BIAS = 127;
  private static final int MANTISSA_BITS = 23;
  private static final int SQRT_HALF_BITS = 0x3f3504f3;

  private CanonicalMath() {}

  /**
   * e to the power of x = n ln 2 + r with |r| ≤ ln 2 / 2: a polynomial in r times 2^n in two
   * factors, so that a subnormal result is rounded once. exp(−∞) = 0, exp(∞) = ∞, NaN gives NaN.
   */
  public static float exp(float x) {
    float clamped = x > EXP_MAX ? EXP_MAX : x < EXP_MIN ? EXP_MIN : x;
    float shifted = Math.fma(clamped, LOG2_E, ROUND);
    float n = shifted - ROUND;
    float r = Math.fma(n, -LN2_HIGH, clamped);
    r = Math.fma(n, -LN2_LOW, r);
    float p = 0x1.6a2434p-10f;
    p = Math.fma(p, r, 0x1.1239e2p-7f);
    p = Math.fma(p, r, 0x1.5558f2p-5f);
    p = Math.fma(p, r, 0x1.555492p-3f);
    p = Math.fma(p, r, 0x1.fffffcp-2f);
    float power = Math.fma(p, r * r, r) + 1;
    int exponent = Float.floatToRawIntBits(shifted) - ROUND_BITS;
    int half = exponent >> 1;
    return power * powerOfTwo(half) * powerOfTwo(exponent - half);
  }

  /**
   * The natural logarithm of x = 2^n (1 + f) with √½ ≤ 1 + f < √2: n ln 2 plus a polynomial in f.
   * log(±0) = −∞, log(∞) = ∞; below 0, and of a NaN, it is NaN.
   */
  public static float log(float x) {
    boolean subnormal = x < Float.MIN_NORMAL;
    int bits = Float.floatToRawIntBits(subnormal ? x * 0x1p23f : x);
    int exponent = (bits - SQRT_HALF_BITS) >> MANTISSA_BITS;
    float f = Float.intBitsToFloat(bits - (exponent << MANTISSA_BITS)) - 1;
    float n = exponent;
    if (subnormal) {
      n -= MANTISSA_BITS;
    }
    float p = -0x1.38b58p-4f;
    p = Math.fma(p, f, 0x1.055b6ap-3f);
    p = Math.fma(p, f, -0x1.0d8542p-3f);
    p = Math.fma(p, f, 0x1.22da1cp-3f);
    p = Math.fma(p, f, -0x1.547244p-3f);
    p = Math.fma(p, f, 0x1.99a008p-3f);
    p = Math.fma(p, f, -0x1.000226p-2f);
    p = Math.fma(p, f, 0x1.555554p-2f);
    p = Math.fma(p, f, -0.5f);
    float y = Math.fma(p, f * f, n * LN2_LOW) + f;
    y = Math.fma(n, LN2_HIGH, y);
    if (x > 0) {
      return x == Float.POSITIVE_INFINITY ? x : y;
    }
    return x == 0 ? Float.NEGATIVE_INFINITY : Float.NaN;
  }

  /**
   * log(1 + x), accurate near 0: log(u) · (x / (u − 1)) with u = 1 + x rounded, whose error the
   * quotient makes up for. log1p(−1) = −∞.
   */
  public static float log1p(float x) {
    float u = 1 + x;
    if (u == 1 || u == Float.POSITIVE_INFINITY) {
      return x;
    }
    return log(u) * (x / (u - 1));
  }

  private static float powerOfTwo(int exponent) {
    return Float.intBitsToFloat((exponent + BIAS) << MANTISSA_BITS);
  }
}
