// token_merge on raw pointers.
#ifndef QUERN_MERGING_TOKEN_MERGE_KERNEL_CUH_
#define QUERN_MERGING_TOKEN_MERGE_KERNEL_CUH_

#include "core/vector.cuh"
#include "quern/gather.h"
#include "quern/merging.h"

namespace quern {

constexpr int kMergeThreads = 256;
constexpr int kMergeWarps = kMergeThreads / 32;
constexpr int kMergeChunk = 64;  // tokens of a row that are added in order before the results of so many are

struct TokenMergeArguments {
  const char* x;
  const int32_t* slot;
  const float* size;
  const float* scale;
  char* out;
  float* size_out;
  int64_t rows;  // of the output, over the whole batch
  int64_t tokens;
  int64_t merged;
  int64_t packets;
  int64_t stride;  // bytes
  int64_t out_stride;
  int32_t combine;
  float least_size;
};

// Finds tokens [first, first + kMergeChunk) of those that go into row m, by a warp; the number of all of
// them. The slots of a batch row are read once for each of its output rows, from the caches, instead of being
// sorted by another launch.
inline __device__ int64_t find_members(const TokenMergeArguments& arguments, const int32_t* slots, int64_t m,
                                       int64_t first, int64_t* members) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  int64_t count = 0;
  __syncwarp();
#pragma unroll 4
  for (int64_t base = 0; base < arguments.tokens; base += 32) {
    const int64_t n = base + lane;
    const bool member = n < arguments.tokens && __ldg(slots + n) == m;
    const unsigned int found = __ballot_sync(0xffffffffu, member);
    const int64_t place = count + __popc(found & ((1u << lane) - 1)) - first;
    if (member && place >= 0 && place < kMergeChunk) {
      members[place] = n;
    }
    count += __popc(found);
  }
  __syncwarp();
  return count;
}

inline __device__ float token_size(const TokenMergeArguments& arguments, int64_t token) {
  const float size = arguments.size == nullptr ? 1.0f : __ldg(arguments.size + token);
  return arguments.scale == nullptr ? size : __fmul_rn(size, __ldg(arguments.scale + token));
}

inline __device__ float canonical_larger(float a, float b) {
  return b > a || b != b ? b : a;
}

// Adds `count` tokens of a row, at most kMergeChunk, to a packet of its columns: from(i) is where the i-th
// has its own, weight(i) its size, which is asked only where it counts.
template <typename Element, int N, typename From, typename Weight>
__device__ void add_chunk(float (&sums)[N], int32_t combine, int64_t count, const From& from,
                          const Weight& weight) {
  const bool maximum = combine == QUERN_COMBINE_MAX;
  float partial[N] = {};
#pragma unroll 2
  for (int64_t i = 0; i < count; ++i) {
    const Packet<Element, N> value = Packet<Element, N>::load(from(i));
    const float factor = combine == QUERN_COMBINE_WEIGHTED_MEAN ? weight(i) : 1.0f;
#pragma unroll
    for (int e = 0; e < N; ++e) {
      if (maximum) {
        sums[e] = canonical_larger(sums[e], value.widened(e));
      } else {
        partial[e] = __fmaf_rn(factor, value.widened(e), partial[e]);  // a sum, exactly, where that is 1
      }
    }
  }
#pragma unroll
  for (int e = 0; e < N; ++e) {
    sums[e] = maximum ? sums[e] : __fadd_rn(sums[e], partial[e]);
  }
}

// What the sums of `count` tokens, whose sizes add up to `size`, become.
template <int N>
__device__ void finish_row(float (&sums)[N], int32_t combine, int64_t count, float size) {
  const float divisor = combine == QUERN_COMBINE_WEIGHTED_MEAN ? size : __ll2float_rn(count);
#pragma unroll
  for (int e = 0; e < N; ++e) {
    if (combine == QUERN_COMBINE_MAX) {
      sums[e] = __fadd_rn(sums[e], 0.0f);
    } else if (combine != QUERN_COMBINE_SUM) {
      sums[e] = __fdiv_rn(sums[e], divisor);
    }
  }
}

// A warp makes an output row, its lanes a packet of columns each at a time.
template <typename Element, int N>
__global__ void __launch_bounds__(kMergeThreads, 4)
    token_merge_kernel(const __grid_constant__ TokenMergeArguments arguments) {
  using Row = Packet<Element, N>;
  QUERN_SHARED(int64_t[kMergeThreads / 32 * kMergeChunk], all_members);
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int warp = static_cast<int>(threadIdx.x) / 32;
  int64_t* members = all_members + warp * kMergeChunk;
  const int64_t step = static_cast<int64_t>(gridDim.x) * kMergeWarps;
  for (int64_t row = static_cast<int64_t>(blockIdx.x) * kMergeWarps + warp; row < arguments.rows;
       row += step) {
    const int64_t batch = row / arguments.merged;
    const int64_t m = row - batch * arguments.merged;
    const int64_t first_token = batch * arguments.tokens;
    const int32_t* slots = arguments.slot + first_token;
    const int64_t count = find_members(arguments, slots, m, 0, members);
    char* out = arguments.out + row * arguments.out_stride;

    float total = 0.0f;
    if (count == 1) {
      total = token_size(arguments, first_token + members[0]);
    } else if (arguments.size_out != nullptr || arguments.combine == QUERN_COMBINE_WEIGHTED_MEAN) {
      for (int64_t chunk = 0; chunk < count; chunk += kMergeChunk) {
        if (chunk > 0) {
          find_members(arguments, slots, m, chunk, members);
        }
        float partial = 0.0f;
        for (int64_t i = 0; i < min(static_cast<int64_t>(kMergeChunk), count - chunk); ++i) {
          partial = __fadd_rn(partial, token_size(arguments, first_token + members[i]));
        }
        total = __fadd_rn(total, partial);
      }
    }
    if (lane == 0 && arguments.size_out != nullptr) {
      const float least = total < arguments.least_size ? arguments.least_size : total;
      arguments.size_out[row] = count == 0 ? 0.0f : least;
    }

    if (count <= 1) {
      const char* only = arguments.x + (first_token + (count == 1 ? members[0] : 0)) * arguments.stride;
#pragma unroll 4
      for (int64_t packet = lane; packet < arguments.packets; packet += 32) {
        const Row value = count == 1 ? Row::load(only + packet * Row::kBytes) : Row::zeros();
        value.store(out + packet * Row::kBytes);
      }
      continue;
    }
    for (int64_t base = 0; base < arguments.packets; base += 32) {
      const int64_t packet = base + lane;
      const bool loads = packet < arguments.packets;
      float sums[N];
#pragma unroll
      for (int e = 0; e < N; ++e) {
        sums[e] = arguments.combine == QUERN_COMBINE_MAX ? -INFINITY : 0.0f;
      }
      for (int64_t chunk = 0; chunk < count; chunk += kMergeChunk) {
        if (count > kMergeChunk) {
          find_members(arguments, slots, m, chunk, members);
        }
        const int64_t here = loads ? min(static_cast<int64_t>(kMergeChunk), count - chunk) : 0;
        add_chunk<Element>(
            sums, arguments.combine, here,
            [&](int64_t i) {
              return arguments.x + (first_token + members[i]) * arguments.stride + packet * Row::kBytes;
            },
            [&](int64_t i) { return token_size(arguments, first_token + members[i]); });
      }
      finish_row(sums, arguments.combine, count, total);
      if (loads) {
        Row::rounded(sums).store(out + packet * Row::kBytes);
      }
    }
  }
}

struct TokenUnmergeArguments {
  const char* y;
  const int32_t* slot;
  char* out;
  int64_t rows;  // of the output, over the whole batch
  int64_t tokens;
  int64_t merged;
  int64_t packets;
  int64_t stride;  // bytes
  int64_t out_stride;
  int32_t dropped_to_first;
};

// A warp copies a row; packets of N halves.
template <int N>
__global__ void __launch_bounds__(kMergeThreads)
    token_unmerge_kernel(const __grid_constant__ TokenUnmergeArguments arguments) {
  using Piece = Packet<F16, N>;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int64_t step = static_cast<int64_t>(gridDim.x) * kMergeWarps;
  for (int64_t token = static_cast<int64_t>(blockIdx.x) * kMergeWarps + threadIdx.x / 32;
       token < arguments.rows; token += step) {
    int64_t slot = __ldg(arguments.slot + token);
    if (slot < 0 || slot >= arguments.merged) {
      slot = arguments.dropped_to_first && arguments.merged > 0 ? 0 : -1;
    }
    const int64_t row = token / arguments.tokens * arguments.merged + slot;
    const char* from = arguments.y + (slot < 0 ? 0 : row) * arguments.stride;
    char* out = arguments.out + token * arguments.out_stride;
#pragma unroll 4
    for (int64_t packet = lane; packet < arguments.packets; packet += 32) {
      const Piece value = slot < 0 ? Piece::zeros() : Piece::load(from + packet * Piece::kBytes);
      value.store(out + packet * Piece::kBytes);
    }
  }
}

}  // namespace quern

#endif  // QUERN_MERGING_TOKEN_MERGE_KERNEL_CUH_
