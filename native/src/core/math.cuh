// exp and log, the same bits on every back end: io.quern.internal.scalar.CanonicalMath, operation by
// operation, with the same constants (rule 7). What they do and how far they are off is said there.
#ifndef QUERN_CORE_MATH_CUH_
#define QUERN_CORE_MATH_CUH_

#include "core/launch.cuh"

namespace quern {

namespace canonical_math {

constexpr float kRound = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer, in the lowest bits
constexpr int kRoundBits = 0x4b400000;
constexpr float kLog2E = 0x1.715476p0f;
constexpr float kLn2High = 0x1.62e4p-1f;
constexpr float kLn2Low = 0x1.7f7d1cp-20f;
constexpr int kSqrtHalfBits = 0x3f3504f3;

// Exponents within a float's, as exp's halves are; of a NaN they are anything.
inline __device__ float power_of_two(int exponent) {
  return __uint_as_float(static_cast<unsigned int>(exponent + 127) << 23);
}

}  // namespace canonical_math

// e to the power of x: at most 1.01 ulp off, exp(-inf) = 0, exp(inf) = inf, NaN gives NaN.
inline __device__ float canonical_exp(float x) {
  using namespace canonical_math;
  const float clamped = x > 89.0f ? 89.0f : x < -104.0f ? -104.0f : x;
  const float shifted = __fmaf_rn(clamped, kLog2E, kRound);
  const float n = __fsub_rn(shifted, kRound);
  float r = __fmaf_rn(n, -kLn2High, clamped);
  r = __fmaf_rn(n, -kLn2Low, r);
  float p = 0x1.6a2434p-10f;
  p = __fmaf_rn(p, r, 0x1.1239e2p-7f);
  p = __fmaf_rn(p, r, 0x1.5558f2p-5f);
  p = __fmaf_rn(p, r, 0x1.555492p-3f);
  p = __fmaf_rn(p, r, 0x1.fffffcp-2f);
  const float power = __fadd_rn(__fmaf_rn(p, __fmul_rn(r, r), r), 1.0f);
  const int exponent = static_cast<int>(__float_as_uint(shifted) - static_cast<unsigned int>(kRoundBits));
  const int half = exponent >> 1;
  return __fmul_rn(__fmul_rn(power, power_of_two(half)), power_of_two(exponent - half));
}

// The natural logarithm: at most 0.88 ulp off, log(+-0) = -inf, log(inf) = inf, NaN below 0 and of NaN.
inline __device__ float canonical_log(float x) {
  using namespace canonical_math;
  const bool subnormal = x < 0x1p-126f;
  const unsigned int bits = __float_as_uint(subnormal ? __fmul_rn(x, 0x1p23f) : x);
  const int exponent = static_cast<int>(bits - static_cast<unsigned int>(kSqrtHalfBits)) >> 23;
  const float f = __fsub_rn(__uint_as_float(bits - (static_cast<unsigned int>(exponent) << 23)), 1.0f);
  float n = __int2float_rn(exponent);
  if (subnormal) {
    n = __fsub_rn(n, 23.0f);
  }
  float p = -0x1.38b58p-4f;
  p = __fmaf_rn(p, f, 0x1.055b6ap-3f);
  p = __fmaf_rn(p, f, -0x1.0d8542p-3f);
  p = __fmaf_rn(p, f, 0x1.22da1cp-3f);
  p = __fmaf_rn(p, f, -0x1.547244p-3f);
  p = __fmaf_rn(p, f, 0x1.99a008p-3f);
  p = __fmaf_rn(p, f, -0x1.000226p-2f);
  p = __fmaf_rn(p, f, 0x1.555554p-2f);
  p = __fmaf_rn(p, f, -0.5f);
  float y = __fadd_rn(__fmaf_rn(p, __fmul_rn(f, f), __fmul_rn(n, kLn2Low)), f);
  y = __fmaf_rn(n, kLn2High, y);
  if (x > 0.0f) {
    return x == INFINITY ? x : y;
  }
  return x == 0.0f ? -INFINITY : NAN;
}

// log(1 + x), accurate near 0; log1p(-1) = -inf.
inline __device__ float canonical_log1p(float x) {
  const float u = __fadd_rn(1.0f, x);
  if (u == 1.0f || u == INFINITY) {
    return x;
  }
  return __fmul_rn(canonical_log(u), __fdiv_rn(x, __fsub_rn(u, 1.0f)));
}

}  // namespace quern

#endif  // QUERN_CORE_MATH_CUH_
