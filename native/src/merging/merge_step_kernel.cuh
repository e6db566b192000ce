// merge_step on raw pointers: the steps of token_prune, token_match and token_merge, a batch row each by
// blocks that know nothing of each other. A block keeps all that it finds in shared memory and merges a slice
// of the features; the first one writes what is not features.
#ifndef QUERN_MERGING_MERGE_STEP_KERNEL_CUH_
#define QUERN_MERGING_MERGE_STEP_KERNEL_CUH_

#include "merging/token_match_kernel.cuh"
#include "merging/token_merge_kernel.cuh"
#include "merging/token_prune_kernel.cuh"

namespace quern {

constexpr int kStepThreads = kMatchThreads;
constexpr int kStepWarps = kStepThreads / 32;
constexpr int kStepPackets = 32;  // of a row that a warp copies or adds at a time; slices are made of these
constexpr int kStepRows = 4;      // that a warp copies at once

// Where each part of the dynamic shared memory begins. Slots, sizes and `valid` have theirs to themselves,
// but that the order by importance lies where similarities will; the keys of that order, what the match has
// besides, and the rows follow each other in the same place.
struct StepMemory {
  int32_t slots;
  int32_t sizes;  // as similarities first
  int32_t valid;
  int32_t best;
  int32_t keys;
  int32_t norms;
  int32_t lists;
  int32_t index;
  int32_t order_keys;  // tokens by importance
  int32_t row_keys;    // tokens by row
  int32_t begins;
  int32_t ends;
  int32_t totals;
  int32_t bytes;
};

struct MergeStepArguments {
  TokenMatchArguments match;  // without workspace; `order` only where it is an input
  TokenMergeArguments merge;  // without slots and rows; `scale` only where it is not the similarity
  TokenPruneArguments prune;  // without slots and keys; `attention` null where there is none
  StepMemory memory;
  int32_t row_bits;  // 2^row_bits row keys
  int32_t dtype;     // of x
  int32_t packed;    // 1 where its packets are 16 bytes, else an element
  int32_t scaled;    // 1 where sizes are scaled by the similarity
};

// The rows of a batch row: which tokens, in ascending order, and their sizes' sum.
struct StepRows {
  const unsigned long long* keys;
  const int32_t* begins;  // of a row's keys; 0 and 0 of a row without a token
  const int32_t* ends;
  const float* sizes;   // of tokens
  const float* totals;  // of rows

  __device__ int64_t token(int i) const { return static_cast<unsigned int>(keys[i]); }
};

// Orders the tokens, where that is asked for, and matches; slots and similarities are in shared memory then.
template <typename Metric>
__device__ void step_match(const MergeStepArguments& arguments, int64_t b, char* shared,
                           ProductTile<4>::Shared& tiles) {
  const StepMemory& memory = arguments.memory;
  const bool writes = blockIdx.x == 0;
  TokenMatchArguments match = arguments.match;
  const int64_t first_token = b * match.tokens;
  if (arguments.prune.attention != nullptr) {
    TokenPruneArguments prune = arguments.prune;
    prune.attention += b * prune.heads * prune.stride;
    prune.order = reinterpret_cast<int32_t*>(shared + memory.sizes);
    prune_tokens<kStepThreads>(prune, 0, reinterpret_cast<unsigned long long*>(shared + memory.order_keys));
    for (int n = static_cast<int>(threadIdx.x); writes && n < match.tokens; n += kStepThreads) {
      arguments.prune.order[first_token + n] = prune.order[n];
    }
    match.order = prune.order;
  } else if (match.order != nullptr && match.scheme != QUERN_MERGE_GRID) {
    match.order += first_token;
  }
  match.metric += first_token * match.stride;
  match.limits += match.limits == nullptr ? 0 : b;
  match.count = match.count == nullptr || !writes ? nullptr : match.count + b;
  match.slot = reinterpret_cast<int32_t*>(shared + memory.slots);
  match.similarity = match.similarity == nullptr && !arguments.scaled
                         ? nullptr
                         : reinterpret_cast<float*>(shared + memory.sizes);
  match.best = reinterpret_cast<unsigned long long*>(shared + memory.best);
  match.inverse_norms = reinterpret_cast<float*>(shared + memory.norms);
  match.lists = reinterpret_cast<int32_t*>(shared + memory.lists);
  match.index = reinterpret_cast<int32_t*>(shared + memory.index);
  match.valid = reinterpret_cast<int32_t*>(shared + memory.valid);
  match_tokens<Metric>(match, 0, reinterpret_cast<unsigned long long*>(shared + memory.keys), tiles);
}

// Writes slots, similarities and sizes, and sorts the tokens by row.
inline __device__ StepRows step_rows(const MergeStepArguments& arguments, int64_t b, char* shared) {
  const StepMemory& memory = arguments.memory;
  const TokenMergeArguments& merge = arguments.merge;
  const int thread = static_cast<int>(threadIdx.x);
  const bool writes = blockIdx.x == 0;
  const int tokens = arguments.match.tokens;
  const int merged = static_cast<int>(merge.merged);
  const int64_t first_token = b * tokens;
  const int32_t* slots = reinterpret_cast<int32_t*>(shared + memory.slots);
  float* sizes = reinterpret_cast<float*>(shared + memory.sizes);
  unsigned long long* keys = reinterpret_cast<unsigned long long*>(shared + memory.row_keys);
  int32_t* begins = reinterpret_cast<int32_t*>(shared + memory.begins);
  int32_t* ends = reinterpret_cast<int32_t*>(shared + memory.ends);
  float* totals = reinterpret_cast<float*>(shared + memory.totals);
  for (int n = thread; n < tokens; n += kStepThreads) {
    if (writes) {
      arguments.match.slot[first_token + n] = slots[n];
    }
    if (writes && arguments.match.similarity != nullptr) {
      arguments.match.similarity[first_token + n] = sizes[n];
    }
    const float size = token_size(merge, first_token + n);
    sizes[n] = arguments.scaled ? __fmul_rn(size, sizes[n]) : size;
  }
  for (int i = thread; i < 1 << arguments.row_bits; i += kStepThreads) {
    keys[i] = i < tokens ? static_cast<unsigned long long>(static_cast<unsigned int>(slots[i])) << 32 |
                               static_cast<unsigned int>(i)
                         : ~0ull;
  }
  for (int m = thread; m < merged; m += kStepThreads) {
    begins[m] = 0;
    ends[m] = 0;
  }
  block_sort<kStepThreads>(keys, arguments.row_bits);
  for (int i = thread; i < tokens; i += kStepThreads) {
    const unsigned int slot = static_cast<unsigned int>(keys[i] >> 32);
    if (slot < static_cast<unsigned int>(merged)) {
      if (i == 0 || static_cast<unsigned int>(keys[i - 1] >> 32) != slot) {
        begins[slot] = i;
      }
      if (i == tokens - 1 || static_cast<unsigned int>(keys[i + 1] >> 32) != slot) {
        ends[slot] = i + 1;
      }
    }
  }
  __syncthreads();
  const StepRows rows = {keys, begins, ends, sizes, totals};
  for (int m = thread; m < merged; m += kStepThreads) {
    const int end = ends[m];
    const int count = end - begins[m];
    float total = 0.0f;
    for (int chunk = begins[m]; chunk < end; chunk += kMergeChunk) {
      float partial = 0.0f;
      for (int i = chunk; i < min(chunk + kMergeChunk, end); ++i) {
        partial = __fadd_rn(partial, sizes[rows.token(i)]);
      }
      total = __fadd_rn(total, partial);
    }
    if (count == 1) {
      total = sizes[rows.token(end - 1)];
    }
    totals[m] = total;
    if (writes && merge.size_out != nullptr) {
      const float least = total < merge.least_size ? merge.least_size : total;
      merge.size_out[b * merge.merged + m] = count == 0 ? 0.0f : least;
    }
  }
  __syncthreads();
  return rows;
}

// Merges the block's slice of the features: first the rows of one token and of none, several at a time, since
// most are; then the others.
template <typename Element, int N>
__device__ void step_merge(const TokenMergeArguments& merge, int64_t b, const StepRows& rows) {
  using Row = Packet<Element, N>;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int warp = static_cast<int>(threadIdx.x) / 32;
  const int merged = static_cast<int>(merge.merged);
  const char* x = merge.x + b * merge.tokens * merge.stride;
  char* out = merge.out + b * merge.merged * merge.out_stride;
  for (int64_t packet = static_cast<int64_t>(blockIdx.x) * kStepPackets + lane; packet < merge.packets;
       packet += static_cast<int64_t>(gridDim.x) * kStepPackets) {
    const char* from = x + packet * Row::kBytes;
    char* to = out + packet * Row::kBytes;
    for (int first = warp; first < merged; first += kStepWarps * kStepRows) {
      Row values[kStepRows];
#pragma unroll
      for (int u = 0; u < kStepRows; ++u) {
        const int m = first + u * kStepWarps;
        const bool alone = m < merged && rows.ends[m] - rows.begins[m] == 1;
        values[u] = alone ? Row::load(from + rows.token(rows.begins[m]) * merge.stride) : Row::zeros();
      }
#pragma unroll
      for (int u = 0; u < kStepRows; ++u) {
        const int m = first + u * kStepWarps;
        if (m < merged && rows.ends[m] - rows.begins[m] <= 1) {
          values[u].store(to + m * merge.out_stride);
        }
      }
    }
    for (int m = warp; m < merged; m += kStepWarps) {
      const int begin = rows.begins[m];
      const int count = rows.ends[m] - begin;
      if (count <= 1) {
        continue;
      }
      float sums[N];
#pragma unroll
      for (int e = 0; e < N; ++e) {
        sums[e] = merge.combine == QUERN_COMBINE_MAX ? -INFINITY : 0.0f;
      }
      for (int chunk = 0; chunk < count; chunk += kMergeChunk) {
        add_chunk<Element>(
            sums, merge.combine, min(kMergeChunk, count - chunk),
            [&](int64_t i) { return from + rows.token(begin + chunk + static_cast<int>(i)) * merge.stride; },
            [&](int64_t i) { return rows.sizes[rows.token(begin + chunk + static_cast<int>(i))]; });
      }
      finish_row(sums, merge.combine, count, rows.totals[m]);
      Row::rounded(sums).store(to + m * merge.out_stride);
    }
  }
}

// Blocks x: slices of the features, y: batch rows.
template <typename Metric>
__global__ void __launch_bounds__(kStepThreads, 2)
    merge_step_kernel(const __grid_constant__ MergeStepArguments arguments) {
  QUERN_SHARED(ProductTile<4>::Shared, tiles);
  char* shared = dynamic_shared<char>();
  for (int64_t b = blockIdx.y; b < arguments.match.batch; b += gridDim.y) {
    step_match<Metric>(arguments, b, shared, tiles);
    const StepRows rows = step_rows(arguments, b, shared);
    const TokenMergeArguments& merge = arguments.merge;
    if (arguments.dtype == QUERN_F32) {
      arguments.packed ? step_merge<F32, 4>(merge, b, rows) : step_merge<F32, 1>(merge, b, rows);
    } else if (arguments.dtype == QUERN_F16) {
      arguments.packed ? step_merge<F16, 8>(merge, b, rows) : step_merge<F16, 1>(merge, b, rows);
    } else {
      arguments.packed ? step_merge<BF16, 8>(merge, b, rows) : step_merge<BF16, 1>(merge, b, rows);
    }
    __syncthreads();
  }
}

}  // namespace quern

#endif  // QUERN_MERGING_MERGE_STEP_KERNEL_CUH_
