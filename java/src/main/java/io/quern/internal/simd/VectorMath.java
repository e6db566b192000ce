package io.quern.internal.simd;

import io.quern.internal.scalar.CanonicalMath;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.VectorMask;
import jdk.incubator.vector.VectorOperators;

/**
 * {@link CanonicalMath}, operation by operation, on vectors. A method that takes or returns a
 * vector is inlined into a small loop, unless C2 has inlined much around that loop before; then
 * every vector becomes an object. Which of the two happens changes from one JVM to the next, so exp
 * of an array, which is in every softmax, is a loop of its own that calls nothing but the JDK and
 * is too long (325 bytes) to be inlined itself.
 */
final class VectorMath {
  private static final float ROUND = 0x1.8p23f;
  private static final int ROUND_BITS = 0x4b400000;
  private static final float LOG2_E = 0x1.715476p0f;
  private static final float LN2_HIGH = 0x1.62e4p-1f;
  private static final float LN2_LOW = 0x1.7f7d1cp-20f;
  private static final float EXP_MAX = 89;
  private static final float EXP_MIN = -104;
  private static final int BIAS = 127;
  private static final int MANTISSA_BITS = 23;
  private static final int SQRT_HALF_BITS = 0x3f3504f3;

  private VectorMath() {}

  /** {@code x = exp(x − max)} of {@code count} elements, in place. */
  static void exp(float[] x, int at, int count, float max) {
    int i = 0;
    for (; i <= count - Species.LANES; i += Species.LANES) {
      FloatVector v = FloatVector.fromArray(Species.FLOAT, x, at + i).sub(max);
      FloatVector clamped =
          v.blend(EXP_MAX, v.compare(VectorOperators.GT, EXP_MAX))
              .blend(EXP_MIN, v.compare(VectorOperators.LT, EXP_MIN));
      FloatVector shifted =
          clamped.fma(
              FloatVector.broadcast(Species.FLOAT, LOG2_E),
              FloatVector.broadcast(Species.FLOAT, ROUND));
      FloatVector n = shifted.sub(ROUND);
      FloatVector r = n.fma(FloatVector.broadcast(Species.FLOAT, -LN2_HIGH), clamped);
      r = n.fma(FloatVector.broadcast(Species.FLOAT, -LN2_LOW), r);
      FloatVector p =
          r.fma(
              FloatVector.broadcast(Species.FLOAT, 0x1.6a2434p-10f),
              FloatVector.broadcast(Species.FLOAT, 0x1.1239e2p-7f));
      p = p.fma(r, FloatVector.broadcast(Species.FLOAT, 0x1.5558f2p-5f));
      p = p.fma(r, FloatVector.broadcast(Species.FLOAT, 0x1.555492p-3f));
      p = p.fma(r, FloatVector.broadcast(Species.FLOAT, 0x1.fffffcp-2f));
      FloatVector power = p.fma(r.mul(r), r).add(1);
      IntVector exponent = shifted.reinterpretAsInts().sub(ROUND_BITS);
      IntVector half = exponent.lanewise(VectorOperators.ASHR, 1);
      power
          .mul(half.add(BIAS).lanewise(VectorOperators.LSHL, MANTISSA_BITS).reinterpretAsFloats())
          .mul(
              exponent
                  .sub(half)
                  .add(BIAS)
                  .lanewise(VectorOperators.LSHL, MANTISSA_BITS)
                  .reinterpretAsFloats())
          .intoArray(x, at + i);
    }
    for (; i < count; i++) {
      x[at + i] = CanonicalMath.exp(x[at + i] - max);
    }
  }

  /**
   * {@code out = exp((x − max) · scale)}: 1 where x is the maximum, 0 where there is no number.
   *
   * @param at where the results begin; x begins at 0
   */
  static void weights(float[] x, float max, float scale, float[] out, int at, int count) {
    for (int i = 0; i < count; i++) {
      out[at + i] = (x[i] - max) * scale;
    }
    exp(out, at, count, 0);
    int i = 0;
    for (; i <= count - Species.LANES; i += Species.LANES) {
      FloatVector power = FloatVector.fromArray(Species.FLOAT, out, at + i);
      FloatVector value = FloatVector.fromArray(Species.FLOAT, x, i);
      FloatVector.zero(Species.FLOAT)
          .blend(power, power.compare(VectorOperators.GT, 0))
          .blend(1, value.compare(VectorOperators.EQ, max))
          .intoArray(out, at + i);
    }
    for (; i < count; i++) {
      float weight = out[at + i] > 0 ? out[at + i] : 0;
      out[at + i] = x[i] == max ? 1 : weight;
    }
  }

  /** The natural logarithm of each lane. */
  static FloatVector log(FloatVector x) {
    VectorMask<Float> subnormal = x.compare(VectorOperators.LT, Float.MIN_NORMAL);
    IntVector bits = x.blend(x.mul(0x1p23f), subnormal).reinterpretAsInts();
    IntVector exponent = bits.sub(SQRT_HALF_BITS).lanewise(VectorOperators.ASHR, MANTISSA_BITS);
    FloatVector f =
        bits.sub(exponent.lanewise(VectorOperators.LSHL, MANTISSA_BITS))
            .reinterpretAsFloats()
            .sub(1);
    FloatVector n = (FloatVector) exponent.convert(VectorOperators.I2F, 0);
    n = n.blend(n.sub(MANTISSA_BITS), subnormal);
    FloatVector p =
        f.fma(
            FloatVector.broadcast(Species.FLOAT, -0x1.38b58p-4f),
            FloatVector.broadcast(Species.FLOAT, 0x1.055b6ap-3f));
    p = p.fma(f, FloatVector.broadcast(Species.FLOAT, -0x1.0d8542p-3f));
    p = p.fma(f, FloatVector.broadcast(Species.FLOAT, 0x1.22da1cp-3f));
    p = p.fma(f, FloatVector.broadcast(Species.FLOAT, -0x1.547244p-3f));
    p = p.fma(f, FloatVector.broadcast(Species.FLOAT, 0x1.99a008p-3f));
    p = p.fma(f, FloatVector.broadcast(Species.FLOAT, -0x1.000226p-2f));
    p = p.fma(f, FloatVector.broadcast(Species.FLOAT, 0x1.555554p-2f));
    p = p.fma(f, FloatVector.broadcast(Species.FLOAT, -0.5f));
    FloatVector y = p.fma(f.mul(f), n.mul(LN2_LOW)).add(f);
    y = n.fma(FloatVector.broadcast(Species.FLOAT, LN2_HIGH), y);
    return y.blend(x, x.compare(VectorOperators.EQ, Float.POSITIVE_INFINITY))
        .blend(Float.NaN, x.compare(VectorOperators.GT, 0).not())
        .blend(Float.NEGATIVE_INFINITY, x.compare(VectorOperators.EQ, 0));
  }
}
