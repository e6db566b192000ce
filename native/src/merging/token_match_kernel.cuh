// token_match on raw pointers. Four steps: lists of tokens, their norms, products with the best in
// passing, slots. Small batch rows take all four in one block and one launch; large ones a launch each. No
// similarity is stored.
#ifndef QUERN_MERGING_TOKEN_MATCH_KERNEL_CUH_
#define QUERN_MERGING_TOKEN_MATCH_KERNEL_CUH_

#include "core/block.cuh"
#include "core/product.cuh"
#include "core/row_reduction.cuh"
#include "quern/merging.h"

namespace quern {

constexpr int kMatchThreads = kProductThreads;
constexpr float kLeastSimilarity = -2.0f;  // what counts for a similarity that is not above it

struct TokenMatchArguments {
  const char* metric;
  const int32_t* order;
  const int32_t* limits;
  int32_t* slot;
  float* similarity;
  int32_t* count;
  // Workspace. Lists hold the sources, then the destinations, of each batch row.
  unsigned long long* best;  // [batch, sources]
  unsigned long long* keys;  // [batch, 2^sort_bits], null where they are sorted in shared memory
  float* inverse_norms;      // [batch, listed]
  int32_t* lists;            // [batch, listed]
  int32_t* index;            // [batch, sources]
  int32_t* valid;            // [batch]
  int64_t batch;
  int64_t dim;
  int64_t stride;  // bytes
  int64_t width;
  int64_t stride_x;
  int64_t stride_y;
  int64_t columns;  // cells of a line of the grid
  int64_t k;
  int32_t tokens;
  int32_t sources;
  int32_t destinations;
  int32_t merges;
  int32_t first_destination;  // that may be merged into
  int32_t scheme;
  int32_t token_order;
  int32_t class_token;
  int32_t distill_token;
  int32_t sort_bits;
  int32_t selects;
  int32_t identity;
  int32_t wide_metric;  // 1 where rows can be read four elements at a time
  float threshold;
};

// The greatest such key is the greatest product, of equals that of the first destination.
inline __device__ unsigned long long best_key(float product, int32_t destination) {
  return static_cast<unsigned long long>(ascending_bits(__fadd_rn(product, 0.0f))) << 32 |
         (0xffffffffu - static_cast<unsigned int>(destination));
}

// A source's greatest similarity and where it is.
struct BestMatch {
  float similarity;
  int32_t destination;
};

inline __device__ BestMatch best_match(const TokenMatchArguments& arguments, int64_t b, int64_t i) {
  const int64_t listed = arguments.sources + arguments.destinations;
  const unsigned long long key = arguments.best[b * arguments.sources + i];
  const float similarity = __fmul_rn(from_ascending_bits(static_cast<unsigned int>(key >> 32)),
                                     arguments.inverse_norms[b * listed + i]);
  if (!(similarity > kLeastSimilarity)) {
    return {kLeastSimilarity, arguments.first_destination};
  }
  return {__fadd_rn(similarity, 0.0f), static_cast<int32_t>(0xffffffffu - static_cast<unsigned int>(key))};
}

// Lists the sources and destinations of a batch row, by a block. The row's slots serve as marks.
inline __device__ void list_tokens(const TokenMatchArguments& arguments, int64_t b) {
  const int listed = arguments.sources + arguments.destinations;
  int32_t* sources = arguments.lists + b * listed;
  int32_t* destinations = sources + arguments.sources;
  int32_t* marks = arguments.slot + b * arguments.tokens;
  const int thread = static_cast<int>(threadIdx.x);
  int valid = 1;
  switch (arguments.scheme) {
    case QUERN_MERGE_BIPARTITE:
      for (int i = thread; i < arguments.sources; i += kMatchThreads) {
        sources[i] = 2 * i;
      }
      for (int j = thread; j < arguments.destinations; j += kMatchThreads) {
        destinations[j] = 2 * j + 1;
      }
      break;
    case QUERN_MERGE_EVERY_KTH:
      for (int i = thread; i < arguments.sources; i += kMatchThreads) {
        sources[i] = static_cast<int32_t>(i + i / (arguments.k - 1));  // one of each k is left out
      }
      for (int j = thread; j < arguments.destinations; j += kMatchThreads) {
        destinations[j] = static_cast<int32_t>(j * arguments.k + arguments.k - 1);
      }
      break;
    case QUERN_MERGE_GRID: {
      for (int n = thread; n < arguments.tokens; n += kMatchThreads) {
        marks[n] = 0;
      }
      __syncthreads();
      for (int64_t cell = thread; cell < arguments.destinations; cell += kMatchThreads) {
        int64_t offset = arguments.order == nullptr ? 0 : arguments.order[cell];
        if (offset < 0 || offset >= arguments.stride_x * arguments.stride_y) {
          offset = 0;
        }
        // Remainders from quotients: the compiler would make 32-bit products of their own.
        const int64_t line = cell / arguments.columns;
        const int64_t down = offset / arguments.stride_x;
        const int64_t y = line * arguments.stride_y + down;
        const int64_t x = (cell - line * arguments.columns - down) * arguments.stride_x + offset;
        marks[y * arguments.width + x] = 1;
      }
      __syncthreads();
      int before = 0;
      for (int first = 0; first < arguments.tokens; first += kMatchThreads) {
        const int n = first + thread;
        const bool destination = n < arguments.tokens && marks[n] == 1;
        int found;
        const int j = before + block_rank<kMatchThreads>(destination, &found);
        if (destination) {
          destinations[j] = n;
        } else if (n < arguments.tokens) {
          sources[n - j] = n;
        }
        before += found;
      }
      break;
    }
    default: {  // PERMUTED, HEAD_TAIL
      const int32_t* order = arguments.order == nullptr ? nullptr : arguments.order + b * arguments.tokens;
      for (int n = thread; n < arguments.tokens; n += kMatchThreads) {
        marks[n] = 0;
      }
      __syncthreads();
      int bad = 0;
      for (int n = thread; order != nullptr && n < arguments.tokens; n += kMatchThreads) {
        const int32_t token = order[n];
        bad |= token < 0 || token >= arguments.tokens || atomicExch(marks + token, 1) != 0;
      }
      valid = !__syncthreads_or(bad);
      const int first_source = arguments.scheme == QUERN_MERGE_PERMUTED ? 0 : arguments.destinations;
      const int first_destination = arguments.scheme == QUERN_MERGE_PERMUTED ? arguments.sources : 0;
      for (int i = thread; valid && i < arguments.sources; i += kMatchThreads) {
        sources[i] = order == nullptr ? first_source + i : order[first_source + i];
      }
      for (int j = thread; valid && j < arguments.destinations; j += kMatchThreads) {
        destinations[j] = order == nullptr ? first_destination + j : order[first_destination + j];
      }
    }
  }
  if (thread == 0) {
    arguments.valid[b] = valid;
  }
}

// A listed token's metric.
template <typename Element>
__device__ StoredRow<Element> metric_row(const TokenMatchArguments& arguments, int64_t b, int64_t i) {
  const int64_t listed = arguments.sources + arguments.destinations;
  const int64_t token = arguments.lists[b * listed + i];
  return {arguments.metric + (b * arguments.tokens + token) * arguments.stride, arguments.wide_metric != 0};
}

// 1 / norm of listed tokens of a batch row, NaN where that is zero, half a warp each: every step-th.
template <typename Element>
__device__ void find_norms(const TokenMatchArguments& arguments, int64_t b, int64_t first, int64_t step) {
  const int64_t listed = arguments.sources + arguments.destinations;
  for (int64_t i = first; i < listed; i += step) {
    const SquaredNormOf<StoredRow<Element>> squares = {metric_row<Element>(arguments, b, i)};
    const float norm = __fsqrt_rn(half_warp_reduce(squares, arguments.dim));
    if (threadIdx.x % kRowLanes == 0) {
      arguments.inverse_norms[b * listed + i] = norm == 0.0f ? NAN : __fdiv_rn(1.0f, norm);
      if (i < arguments.sources) {
        arguments.best[b * arguments.sources + i] = best_key(-INFINITY, arguments.first_destination);
      }
    }
  }
}

// A tile of sources against destinations [first, end) of a batch row, by a block.
template <typename Element, int SUMS>
__device__ void compare_tiles(const TokenMatchArguments& arguments, int64_t b, int first_source, int first,
                              int end, typename ProductTile<SUMS>::Shared& shared) {
  using Tile = ProductTile<SUMS>;
  const int thread = static_cast<int>(threadIdx.x);
  const int64_t listed = arguments.sources + arguments.destinations;
  const float* factors = arguments.inverse_norms + b * listed + arguments.sources;
  const auto left = [&](int row, int64_t k) {
    const int64_t i = first_source + row;
    return i < arguments.sources ? metric_row<Element>(arguments, b, i)(k) : 0.0f;
  };
  float best[SUMS];
  int32_t where[SUMS];
#pragma unroll
  for (int i = 0; i < SUMS; ++i) {
    best[i] = -INFINITY;
    where[i] = arguments.first_destination;
  }
  for (int tile = first; tile < end; tile += Tile::kRows) {
    const auto right = [&](int row, int64_t k) {
      const int64_t j = tile + row;
      return j < arguments.destinations ? metric_row<Element>(arguments, b, arguments.sources + j)(k) : 0.0f;
    };
    Tile product;
    product.compute(thread, arguments.dim, left, right, shared);
#pragma unroll
    for (int j = 0; j < SUMS; ++j) {
      const int32_t destination = tile + Tile::column(thread, j);
      const bool admissible =
          destination >= arguments.first_destination && destination < arguments.destinations;
      const float factor = admissible ? factors[destination] : NAN;
#pragma unroll
      for (int i = 0; i < SUMS; ++i) {
        const float value = __fmul_rn(product.sums[i][j], factor);
        if (value > best[i]) {  // not of NaN
          best[i] = value;
          where[i] = destination;
        }
      }
    }
  }
#pragma unroll
  for (int i = 0; i < SUMS; ++i) {
    unsigned long long key = best_key(best[i], where[i]);
#pragma unroll
    for (int distance = 8; distance > 0; distance /= 2) {
      const unsigned long long other = __shfl_xor_sync(0xffffffffu, key, distance, 16);
      key = other > key ? other : key;
    }
    const int row = first_source + Tile::row(thread, i);
    if (thread % 16 == 0 && row < arguments.sources) {
      atomicMax(arguments.best + b * arguments.sources + row,
                key);  // the greatest, in whatever order they come
    }
  }
}

// Chooses what is merged in a batch row and writes its slots, by a block. `keys` has room for 2^sort_bits.
inline __device__ void place_tokens(const TokenMatchArguments& arguments, int64_t b,
                                    unsigned long long* keys) {
  const int thread = static_cast<int>(threadIdx.x);
  int32_t* slot = arguments.slot + b * arguments.tokens;
  float* similarity = arguments.similarity == nullptr ? nullptr : arguments.similarity + b * arguments.tokens;
  int limit = arguments.merges;
  if (arguments.limits != nullptr) {
    limit = min(limit, arguments.limits[b]);
  }
  const bool stays = arguments.identity || (arguments.selects && limit <= 0);
  const bool valid = stays || arguments.valid[b] != 0;
  if (stays || !valid) {
    for (int n = thread; n < arguments.tokens; n += kMatchThreads) {
      slot[n] = valid ? n : -1;
      if (similarity != nullptr) {
        similarity[n] = valid ? 1.0f : 0.0f;
      }
    }
    if (thread == 0 && arguments.count != nullptr) {
      arguments.count[b] = valid ? arguments.tokens : 0;
    }
    return;
  }
  const int listed = arguments.sources + arguments.destinations;
  const int32_t* sources = arguments.lists + b * listed;
  const int32_t* destinations = sources + arguments.sources;
  int32_t* index = arguments.index + b * arguments.sources;  // the destination, -1 of an unmerged source

  for (int n = thread; n < arguments.tokens; n += kMatchThreads) {
    slot[n] = -1;
    if (similarity != nullptr) {
      similarity[n] = 0.0f;
    }
  }
  for (int i = thread; i < arguments.sources; i += kMatchThreads) {
    index[i] = best_match(arguments, b, i).destination;
  }
  int merged = arguments.sources;
  if (arguments.selects) {
    // Ascending keys are descending similarities, equal ones by the source's number.
    for (int64_t i = thread; i < int64_t{1} << arguments.sort_bits; i += kMatchThreads) {
      unsigned long long key = ~0ull;
      if (i < arguments.sources) {
        const unsigned int bits = ascending_bits(
            arguments.class_token && i == 0 ? -INFINITY : best_match(arguments, b, i).similarity);
        key = static_cast<unsigned long long>(~bits) << 32 | static_cast<unsigned int>(i);
      }
      keys[i] = key;
    }
    block_sort<kMatchThreads>(keys, arguments.sort_bits);
    merged = 0;
    for (int first = 0; first < limit; first += kMatchThreads) {
      const int rank = first + thread;
      merged += __syncthreads_count(rank < limit && from_ascending_bits(~static_cast<unsigned int>(
                                                        keys[rank] >> 32)) > arguments.threshold);
    }
  }
  const int unmerged = arguments.sources - merged;
  // Where the distillation token stands second, one unmerged source is before it.
  const int before = arguments.distill_token ? min(1, unmerged) : unmerged;
  __syncthreads();
  for (int j = thread; j < arguments.destinations; j += kMatchThreads) {
    slot[destinations[j]] = j == 0 ? before : unmerged + j;
    if (similarity != nullptr) {
      similarity[destinations[j]] = 1.0f;
    }
  }
  for (int i = thread; similarity != nullptr && i < arguments.sources; i += kMatchThreads) {
    similarity[sources[i]] = arguments.class_token && arguments.selects && i == 0
                                 ? -INFINITY
                                 : best_match(arguments, b, i).similarity;
  }
  for (int rank = merged + thread; arguments.selects && rank < arguments.sources; rank += kMatchThreads) {
    const int i = static_cast<int>(static_cast<unsigned int>(keys[rank]));
    index[i] = -1;
    const int u = rank - merged;
    slot[sources[i]] = u < before ? u : u + 1;
  }
  __syncthreads();
  if (arguments.class_token && arguments.selects) {  // unmerged sources by token
    int counted = 0;
    for (int first = 0; first < arguments.sources; first += kMatchThreads) {
      const int i = first + thread;
      const bool left = i < arguments.sources && index[i] < 0;
      int found;
      const int u = counted + block_rank<kMatchThreads>(left, &found);
      if (left) {
        slot[sources[i]] = u < before ? u : u + 1;
      }
      counted += found;
    }
    __syncthreads();
  }
  if (arguments.token_order == QUERN_TOKEN_ORDER_TOKENS) {
    int counted = 0;
    for (int first = 0; first < arguments.tokens; first += kMatchThreads) {
      const int n = first + thread;
      const bool left = n < arguments.tokens && slot[n] >= 0;
      int found;
      const int row = counted + block_rank<kMatchThreads>(left, &found);
      if (left) {
        slot[n] = row;
      }
      counted += found;
    }
    __syncthreads();
  }
  for (int i = thread; i < arguments.sources; i += kMatchThreads) {
    if (index[i] >= 0) {
      slot[sources[i]] = slot[destinations[index[i]]];
    }
  }
  if (thread == 0 && arguments.count != nullptr) {
    arguments.count[b] = unmerged + arguments.destinations;
  }
}

// A batch row by a block, all four steps.
template <typename Element>
__device__ void match_tokens(const TokenMatchArguments& arguments, int64_t b, unsigned long long* keys,
                             ProductTile<4>::Shared& tiles) {
  if (!arguments.identity) {
    list_tokens(arguments, b);
    __syncthreads();
    if (arguments.valid[b] != 0) {
      find_norms<Element>(arguments, b, threadIdx.x / kRowLanes, kMatchThreads / kRowLanes);
      __syncthreads();
      for (int first = 0; first < arguments.sources; first += ProductTile<4>::kRows) {
        compare_tiles<Element, 4>(arguments, b, first, 0, arguments.destinations, tiles);
      }
    }
    __syncthreads();
  }
  place_tokens(arguments, b, keys);
  __syncthreads();
}

// Sorts in shared memory.
template <typename Element>
__global__ void __launch_bounds__(kMatchThreads, 2)
    token_match_kernel(const __grid_constant__ TokenMatchArguments arguments) {
  QUERN_SHARED(ProductTile<4>::Shared, tiles);
  for (int64_t b = blockIdx.x; b < arguments.batch; b += gridDim.x) {
    match_tokens<Element>(arguments, b, dynamic_shared<unsigned long long>(), tiles);
  }
}

// Blocks y: batch rows.
template <typename Element>
__global__ void __launch_bounds__(kMatchThreads, 4)
    token_norm_kernel(const __grid_constant__ TokenMatchArguments arguments) {
  constexpr int kHalfWarps = kMatchThreads / kRowLanes;
  for (int64_t b = blockIdx.y; b < arguments.batch; b += gridDim.y) {
    if (arguments.valid[b] != 0) {
      find_norms<Element>(arguments, b,
                          static_cast<int64_t>(blockIdx.x) * kHalfWarps + threadIdx.x / kRowLanes,
                          static_cast<int64_t>(gridDim.x) * kHalfWarps);
    }
  }
}

// Blocks x: tiles of sources, y: tiles of destinations, z: batch rows.
template <typename Element, int SUMS>
__global__ void __launch_bounds__(kMatchThreads, 1)
    token_compare_kernel(const __grid_constant__ TokenMatchArguments arguments) {
  constexpr int kRows = ProductTile<SUMS>::kRows;
  QUERN_SHARED(typename ProductTile<SUMS>::Shared, tiles);
  for (int64_t b = blockIdx.z; b < arguments.batch; b += gridDim.z) {
    for (int first = static_cast<int>(blockIdx.y) * kRows;
         arguments.valid[b] != 0 && first < arguments.destinations;
         first += static_cast<int>(gridDim.y) * kRows) {
      compare_tiles<Element, SUMS>(arguments, b, static_cast<int>(blockIdx.x) * kRows, first,
                                   min(first + kRows, arguments.destinations), tiles);
    }
  }
}

}  // namespace quern

#endif  // QUERN_MERGING_TOKEN_MATCH_KERNEL_CUH_
