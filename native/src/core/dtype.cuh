// Element types: exact widening to float and one rounding to nearest even on the way back.
// Packets hold elements as raw bits; a type below says what the bits mean.
#ifndef QUERN_CORE_DTYPE_CUH_
#define QUERN_CORE_DTYPE_CUH_

#include "core/launch.cuh"

namespace quern {

struct F32 {
  using Bits = unsigned int;
  static __device__ float widen(Bits bits) { return __uint_as_float(bits); }
  static __device__ Bits round(float value) { return __float_as_uint(value); }
};

struct F16 {
  using Bits = unsigned short;
  static __device__ float widen(Bits bits) { return __half2float(__ushort_as_half(bits)); }
  static __device__ Bits round(float value) { return __half_as_ushort(__float2half_rn(value)); }
};

struct BF16 {
  using Bits = unsigned short;
  static __device__ float widen(Bits bits) { return __uint_as_float(static_cast<unsigned int>(bits) << 16); }
  static __device__ Bits round(float value) { return __bfloat16_as_ushort(__float2bfloat16_rn(value)); }
};

}  // namespace quern

#endif  // QUERN_CORE_DTYPE_CUH_
