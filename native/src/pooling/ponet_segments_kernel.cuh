// ponet_segments: the segment of each token. Contract: quern/pooling.h.
#ifndef QUERN_POOLING_PONET_SEGMENTS_KERNEL_CUH_
#define QUERN_POOLING_PONET_SEGMENTS_KERNEL_CUH_

#include "pooling/pooled_rows.cuh"
#include "quern/pooling.h"

namespace quern {

constexpr int kCutThreads = 256;

struct PonetSegmentsArguments {
  Sequences sequences;
  const int32_t* tokens;
  int32_t* segment_ids;
  uint8_t* special;
  quern_error_record* errors;
  int64_t launch;
  int32_t fixed;
  int32_t cls;
  int32_t sep;
  int32_t reserved;
};

// The sum of `value` over this thread and those before it, and over the block in *total.
inline __device__ int block_prefix(int value, int* warp_sums, int* total) {
  const int lane = static_cast<int>(threadIdx.x) & 31;
  const int warp = static_cast<int>(threadIdx.x) >> 5;
  for (int distance = 1; distance < 32; distance *= 2) {
    const int before = __shfl_up_sync(0xffffffffu, value, static_cast<unsigned int>(distance));
    value += lane >= distance ? before : 0;
  }
  if (lane == 31) {
    warp_sums[warp] = value;
  }
  __syncthreads();
  int sum = 0;
  for (int w = 0; w < kCutThreads / 32; ++w) {
    if (w == warp) {
      value += sum;
    }
    sum += warp_sums[w];
  }
  *total = sum;
  __syncthreads();
  return value;
}

// A block cuts a sequence, kCutThreads tokens at a time.
static __global__ void __launch_bounds__(kCutThreads)
    ponet_segments_kernel(const __grid_constant__ PonetSegmentsArguments arguments) {
  QUERN_SHARED(int[kCutThreads / 32], warp_sums);
  const Sequences& sequences = arguments.sequences;
  if (sequences.block_refuses(arguments.errors, arguments.launch, blockIdx.x == 0)) {
    return;
  }
  for (int64_t s = blockIdx.x; s < sequences.count; s += gridDim.x) {
    const int64_t begin = sequences.begin(s);
    const int64_t end = sequences.begin(s + 1);
    if (arguments.fixed > 0) {
      const int64_t length = (end - begin) / arguments.fixed + 1;
      for (int64_t t = begin + threadIdx.x; t < end; t += kCutThreads) {
        arguments.segment_ids[t] = static_cast<int32_t>((t - begin) / length);
      }
      continue;
    }
    int last = -1;  // the id before this round's first token
    for (int64_t first = begin; first < end; first += kCutThreads) {
      const int64_t t = first + threadIdx.x;
      const auto is_special = [&](int64_t i) {
        const int32_t token = __ldg(arguments.tokens + i);
        return token == arguments.cls || token == arguments.sep;
      };
      const bool here = t < end && is_special(t);
      const bool before = t > begin && t < end && is_special(t - 1);
      int total;
      const int id = last + block_prefix((here ? 1 : 0) + (before ? 1 : 0), warp_sums, &total);
      if (t < end) {
        arguments.segment_ids[t] = id;
        if (arguments.special != nullptr) {
          arguments.special[t] = here ? 1 : 0;
        }
      }
      last += total;
    }
  }
}

}  // namespace quern

#endif  // QUERN_POOLING_PONET_SEGMENTS_KERNEL_CUH_
