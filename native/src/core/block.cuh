// What the threads of a block do together: counting, and sorting 64-bit keys.
#ifndef QUERN_CORE_BLOCK_CUH_
#define QUERN_CORE_BLOCK_CUH_

#include "core/launch.cuh"

namespace quern {

constexpr int kSharedSortBits = 12;  // up to 2^12 keys are sorted in shared memory, 32 KiB

// The order of floats as the order of unsigned numbers; zeros are +0, there are no NaNs.
inline __device__ unsigned int ascending_bits(float value) {
  const unsigned int bits = __float_as_uint(value);
  return (bits & 0x80000000u) != 0 ? ~bits : bits | 0x80000000u;
}

inline __device__ float from_ascending_bits(unsigned int bits) {
  return __uint_as_float((bits & 0x80000000u) != 0 ? bits & 0x7fffffffu : ~bits);
}

// How many threads before this one hold `flag`, and how many of the block do. Begins and ends with a barrier.
template <int THREADS>
__device__ int block_rank(bool flag, int* total) {
  QUERN_SHARED(int[THREADS / 32], warp_counts);
  const int thread = static_cast<int>(threadIdx.x);
  const unsigned int holders = __ballot_sync(0xffffffffu, flag);
  __syncthreads();
  if (thread % 32 == 0) {
    warp_counts[thread / 32] = __popc(holders);
  }
  __syncthreads();
  int before = 0;
  int all = 0;
  for (int warp = 0; warp < THREADS / 32; ++warp) {
    before += warp < thread / 32 ? warp_counts[warp] : 0;
    all += warp_counts[warp];
  }
  *total = all;
  return before + __popc(holders & ((1u << (thread % 32)) - 1));
}

// Sorts 2^bits keys ascending, in shared or global memory that the block has to itself. The keys are all
// different, so that there is one result. Begins and ends with a barrier.
template <int THREADS>
__device__ void block_sort(unsigned long long* keys, int bits) {
  const int64_t pairs = (int64_t{1} << bits) / 2;
  for (int run = 1; run <= bits; ++run) {
    for (int distance = run - 1; distance >= 0; --distance) {
      __syncthreads();
      for (int64_t pair = threadIdx.x; pair < pairs; pair += THREADS) {
        const int64_t low = ((pair >> distance) << (distance + 1)) | (pair & ((int64_t{1} << distance) - 1));
        const int64_t high = low + (int64_t{1} << distance);
        const bool ascending = ((low >> run) & 1) == 0;
        const unsigned long long a = keys[low];
        const unsigned long long b = keys[high];
        if ((a > b) == ascending) {
          keys[low] = b;
          keys[high] = a;
        }
      }
    }
  }
  __syncthreads();
}

}  // namespace quern

#endif  // QUERN_CORE_BLOCK_CUH_
