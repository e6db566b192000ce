// Philox 4x32-10, a counter-based generator: a number depends on nothing but its key (rule 9). The same
// numbers as io.quern.internal.cpu.Philox, whose comment states the key, the counter and the mapping.
#ifndef QUERN_CORE_PHILOX_CUH_
#define QUERN_CORE_PHILOX_CUH_

#include "core/launch.cuh"

namespace quern {

// The four words of the block of a counter under a key.
inline __device__ uint4 philox_block(uint4 counter, unsigned int key0, unsigned int key1) {
#pragma unroll
  for (int round = 0; round < 10; ++round) {
    const unsigned int high0 = __umulhi(0xD2511F53u, counter.x);
    const unsigned int high1 = __umulhi(0xCD9E8D57u, counter.z);
    counter = make_uint4(high1 ^ counter.y ^ key0, 0xCD9E8D57u * counter.z, high0 ^ counter.w ^ key1,
                         0xD2511F53u * counter.x);
    key0 += 0x9E3779B9u;
    key1 += 0xBB67AE85u;
  }
  return counter;
}

// A word as a number in (0, 1), neither end included: an odd multiple of 2^-24.
inline __device__ float philox_to_uniform(unsigned int word) {
  return __fmul_rn(__uint2float_rn((word >> 9) * 2 + 1), 0x1p-24f);
}

// The uniforms of columns 4 * quad ... 4 * quad + 3.
inline __device__ float4 philox_uniforms(int64_t seed, int64_t position, int purpose, unsigned int quad) {
  const unsigned long long key = static_cast<unsigned long long>(seed);
  const unsigned long long place = static_cast<unsigned long long>(position);
  const uint4 words =
      philox_block(make_uint4(quad, static_cast<unsigned int>(place), static_cast<unsigned int>(place >> 32),
                              static_cast<unsigned int>(purpose)),
                   static_cast<unsigned int>(key), static_cast<unsigned int>(key >> 32));
  return make_float4(philox_to_uniform(words.x), philox_to_uniform(words.y), philox_to_uniform(words.z),
                     philox_to_uniform(words.w));
}

// The uniform of one column, not negative and below 2^34.
inline __device__ float philox_uniform(int64_t seed, int64_t position, int purpose, int64_t column) {
  const float4 four = philox_uniforms(seed, position, purpose, static_cast<unsigned int>(column / 4));
  switch (column % 4) {
    case 0:
      return four.x;
    case 1:
      return four.y;
    case 2:
      return four.z;
    default:
      return four.w;
  }
}

}  // namespace quern

#endif  // QUERN_CORE_PHILOX_CUH_
