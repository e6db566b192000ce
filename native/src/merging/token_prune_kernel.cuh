// token_prune on raw pointers.
#ifndef QUERN_MERGING_TOKEN_PRUNE_KERNEL_CUH_
#define QUERN_MERGING_TOKEN_PRUNE_KERNEL_CUH_

#include "core/block.cuh"
#include "quern/merging.h"

namespace quern {

constexpr int kPruneThreads = 512;
constexpr int64_t kHeadChunk = 64;  // heads that are added in order before the sums of so many are

struct TokenPruneArguments {
  const float* attention;
  int32_t* order;
  int32_t* slot;
  unsigned long long* keys;  // [batch, 2^sort_bits], null where they are sorted in shared memory
  int64_t batch;
  int64_t heads;
  int64_t stride;
  int64_t keep;
  int32_t tokens;
  int32_t class_token;
  int32_t sort_bits;
};

inline __device__ float importance(const TokenPruneArguments& arguments, int64_t b, int64_t n) {
  const float* column = arguments.attention + b * arguments.heads * arguments.stride + n;
  float sum = 0.0f;
  for (int64_t chunk = 0; chunk < arguments.heads; chunk += kHeadChunk) {
    float partial = 0.0f;
    const int64_t end = min(chunk + kHeadChunk, arguments.heads);
#pragma unroll 4
    for (int64_t h = chunk; h < end; ++h) {
      partial = __fadd_rn(partial, __ldg(column + h * arguments.stride));
    }
    sum = __fadd_rn(sum, partial);
  }
  return __fdiv_rn(sum, __ll2float_rn(arguments.heads));
}

// A block orders a batch row: ascending keys are descending importances, equal ones by token, NaN last.
// `keys` has room for 2^sort_bits.
template <int THREADS>
__device__ void prune_tokens(const TokenPruneArguments& arguments, int64_t b, unsigned long long* keys) {
  const int thread = static_cast<int>(threadIdx.x);
  for (int64_t n = thread; n < int64_t{1} << arguments.sort_bits; n += THREADS) {
    unsigned long long key = ~0ull;
    if (n < arguments.tokens) {
      const float value = importance(arguments, b, n);
      unsigned int bits = value != value ? 0xffffffffu : ~ascending_bits(__fadd_rn(value, 0.0f));
      if (arguments.class_token && n == 0) {
        bits = 0;
      }
      key = static_cast<unsigned long long>(bits) << 32 | static_cast<unsigned int>(n);
    }
    keys[n] = key;
  }
  block_sort<THREADS>(keys, arguments.sort_bits);
  for (int i = thread; i < arguments.tokens; i += THREADS) {
    const int32_t token = static_cast<int32_t>(static_cast<unsigned int>(keys[i]));
    arguments.order[b * arguments.tokens + i] = token;
    if (arguments.slot != nullptr) {
      arguments.slot[b * arguments.tokens + token] = i < arguments.keep ? i : -1;
    }
  }
  __syncthreads();
}

template <int THREADS>
__global__ void __launch_bounds__(THREADS)
    token_prune_kernel(const __grid_constant__ TokenPruneArguments arguments) {
  for (int64_t b = blockIdx.x; b < arguments.batch; b += gridDim.x) {
    prune_tokens<THREADS>(arguments, b,
                          arguments.keys == nullptr ? dynamic_shared<unsigned long long>()
                                                    : arguments.keys + (b << arguments.sort_bits));
  }
}

}  // namespace quern

#endif  // QUERN_MERGING_TOKEN_PRUNE_KERNEL_CUH_
