// seeded_coins: a thread for each coin. Contract: quern/rejection.h.
#ifndef QUERN_REJECTION_SEEDED_COINS_KERNEL_CUH_
#define QUERN_REJECTION_SEEDED_COINS_KERNEL_CUH_

#include "core/launch.cuh"
#include "quern/rejection.h"

namespace quern {

struct SeededCoinsArguments {
  const int64_t* seeds;
  const int64_t* positions;
  const int32_t* offsets;
  unsigned int* coins;
  unsigned int* finals;
  int64_t requests;
  int64_t nodes;
  int32_t hashes;  // 1: U32
};

inline __device__ unsigned int rotated(unsigned int x, int left) {
  return x << left | x >> (32 - left);
}

inline __device__ unsigned int murmur_mix(unsigned int hash, unsigned int word) {
  hash ^= rotated(word * 0xcc9e2d51u, 15) * 0x1b873593u;
  return rotated(hash, 13) * 5u + 0xe6546b64u;
}

inline __device__ unsigned int coin_bits(const SeededCoinsArguments& arguments, int64_t b,
                                         unsigned int column) {
  const unsigned long long seed = static_cast<unsigned long long>(arguments.seeds[b]);
  unsigned int hash = murmur_mix(0, static_cast<unsigned int>(seed));
  hash = murmur_mix(hash, static_cast<unsigned int>(seed >> 32));
  hash = murmur_mix(hash, static_cast<unsigned int>(arguments.positions[b]));
  hash = murmur_mix(hash, column) ^ 16u;
  hash = (hash ^ hash >> 16) * 0x85ebca6bu;
  hash = (hash ^ hash >> 13) * 0xc2b2ae35u;
  hash ^= hash >> 16;
  if (arguments.hashes) {
    return hash;
  }
  const float coin = __double2float_rn(__ddiv_rn(static_cast<double>(hash), 4294967295.0));
  return __float_as_uint(fminf(coin, 0x1.fffffep-1f));
}

__global__ void seeded_coins_kernel(SeededCoinsArguments arguments) {
  const auto offset = [&](int64_t b) { return static_cast<int64_t>(arguments.offsets[b]); };
  const auto good = [&](int64_t b) {
    return offset(b) >= 0 && offset(b) <= offset(b + 1) && offset(b + 1) <= arguments.nodes;
  };
  const int64_t step = static_cast<int64_t>(gridDim.x) * blockDim.x;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
       i < arguments.nodes + arguments.requests; i += step) {
    if (i >= arguments.nodes) {
      const int64_t b = i - arguments.nodes;
      arguments.finals[b] =
          coin_bits(arguments, b, good(b) ? static_cast<unsigned int>(offset(b + 1) - offset(b)) : 0u);
      continue;
    }
    int64_t low = 0;
    int64_t high = arguments.requests;
    while (low < high) {
      const int64_t middle = (low + high + 1) / 2;
      if (offset(middle) <= i) {
        low = middle;
      } else {
        high = middle - 1;
      }
    }
    const bool owned = low < arguments.requests && good(low) && offset(low) <= i && i < offset(low + 1);
    arguments.coins[i] = owned ? coin_bits(arguments, low, static_cast<unsigned int>(i - offset(low))) : 0u;
  }
}

}  // namespace quern

#endif  // QUERN_REJECTION_SEEDED_COINS_KERNEL_CUH_
