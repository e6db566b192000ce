// Where requests begin whose outputs follow each other without rows.
#ifndef QUERN_TREE_FLAT_LAYOUT_CUH_
#define QUERN_TREE_FLAT_LAYOUT_CUH_

#include "tree/tree_block.cuh"

namespace quern {

// Sums stop here, so that no garbage overflows them.
constexpr int64_t kMostFlatElements = int64_t{1} << 62;

inline __device__ int64_t saturating_add(int64_t a, int64_t b) {
  const int64_t x = a < kMostFlatElements ? a : kMostFlatElements;
  const int64_t y = b < kMostFlatElements ? b : kMostFlatElements;
  return x + y < kMostFlatElements ? x + y : kMostFlatElements;
}

// The sum of size(a) over a < b, in every thread of the block.
template <typename Size>
__device__ int64_t sum_before(int64_t b, Size size) {
  QUERN_SHARED(int64_t[kMostTreeThreads / kWarpSize], sums);
  int64_t sum = 0;
  for (int64_t a = threadIdx.x; a < b; a += blockDim.x) {
    sum = saturating_add(sum, size(a));
  }
  for (int step = kWarpSize / 2; step > 0; step /= 2) {
    sum = saturating_add(sum, __shfl_xor_sync(0xffffffffu, sum, step));
  }
  __syncthreads();  // what the call before left may still be read
  if (threadIdx.x % kWarpSize == 0) {
    sums[threadIdx.x / kWarpSize] = sum;
  }
  __syncthreads();
  int64_t total = 0;
  for (int w = 0; w < static_cast<int>(blockDim.x) / kWarpSize; ++w) {
    total = saturating_add(total, sums[w]);
  }
  return total;
}

}  // namespace quern

#endif  // QUERN_TREE_FLAT_LAYOUT_CUH_
