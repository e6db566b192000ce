// What token_match's fast form has of its own: rows packed for a matrix product that is made elsewhere, and
// the best of its results. Lists, norms and slots are those of token_match_kernel.cuh.
#ifndef QUERN_MERGING_TOKEN_MATCH_FAST_KERNEL_CUH_
#define QUERN_MERGING_TOKEN_MATCH_FAST_KERNEL_CUH_

#include "core/vector.cuh"
#include "merging/token_match_kernel.cuh"

namespace quern {

// Listed tokens' metrics, one after the other: [batch, listed, depth], zeros from dim on.
struct PackedRows {
  char* data;
  int64_t depth;
  int64_t row_bytes;  // a multiple of 16
};

// Products of a tile: batch rows and their sources against some destinations.
struct ScoreTile {
  const float* scores;  // [batches, rows, stride]
  int64_t rows;         // of a batch row in memory
  int64_t stride;       // a multiple of 4
  int64_t first_batch;
  int64_t batches;
  int64_t first_source;
  int64_t sources;
  int64_t first_destination;
  int64_t destinations;
};

// A row's bits, by half a warp.
template <typename Element>
__device__ void pack_row(const StoredRow<Element>& row, int64_t dim, int64_t depth, char* target) {
  using Four = Packet<Element, 4>;
  using One = Packet<Element, 1>;
  for (int64_t k = 4 * (threadIdx.x % kRowLanes); k < depth; k += 4 * kRowLanes) {
    Four four = Four::zeros();
    if (row.aligned && k + 4 <= dim) {
      four = Four::load(row.data + k * One::kBytes);
    } else {
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        if (k + e < dim) {
          const unsigned int bits = One::load(row.data + (k + e) * One::kBytes).words[0];
          four.words[e * One::kBytes / 4] |= bits << (8 * (e * One::kBytes % 4));
        }
      }
    }
    four.store(target + k * One::kBytes);
  }
}

// Norms as token_norm_kernel, and the packed rows. Blocks y: batch rows.
template <typename Element>
__global__ void __launch_bounds__(kMatchThreads, 4)
    token_pack_kernel(const __grid_constant__ TokenMatchArguments arguments,
                      const __grid_constant__ PackedRows packed) {
  constexpr int kHalfWarps = kMatchThreads / kRowLanes;
  const int64_t listed = arguments.sources + arguments.destinations;
  const int64_t first = static_cast<int64_t>(blockIdx.x) * kHalfWarps + threadIdx.x / kRowLanes;
  const int64_t step = static_cast<int64_t>(gridDim.x) * kHalfWarps;
  for (int64_t b = blockIdx.y; b < arguments.batch; b += gridDim.y) {
    if (arguments.valid[b] == 0) {
      continue;  // its products are made of whatever is there, and not looked at
    }
    find_norms<Element>(arguments, b, first, step);
    for (int64_t i = first; i < listed; i += step) {
      pack_row(metric_row<Element>(arguments, b, i), arguments.dim, packed.depth,
               packed.data + (b * listed + i) * packed.row_bytes);
    }
  }
}

// The greatest product times 1 / norm of its destination, of equals the first, in the tile and before it:
// tiles of one source must follow one another. A warp for each source. Blocks y: batch rows.
static __global__ void __launch_bounds__(kMatchThreads, 4)
    token_argmax_kernel(const __grid_constant__ TokenMatchArguments arguments,
                        const __grid_constant__ ScoreTile tile) {
  constexpr int kWarps = kMatchThreads / 32;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int64_t listed = arguments.sources + arguments.destinations;
  for (int64_t t = blockIdx.y; t < tile.batches; t += gridDim.y) {
    const int64_t b = tile.first_batch + t;
    if (arguments.valid[b] == 0) {
      continue;
    }
    const float* factors = arguments.inverse_norms + b * listed + arguments.sources + tile.first_destination;
    for (int64_t i = static_cast<int64_t>(blockIdx.x) * kWarps + threadIdx.x / 32; i < tile.sources;
         i += static_cast<int64_t>(gridDim.x) * kWarps) {
      const float* scores = tile.scores + (t * tile.rows + i) * tile.stride;
      float best = -INFINITY;
      int32_t where = arguments.first_destination;
#pragma unroll 4
      for (int64_t first = 4 * lane; first < tile.destinations; first += 4 * 32) {
        const Packet<F32, 4> four = Packet<F32, 4>::load(scores + first);
#pragma unroll
        for (int e = 0; e < 4; ++e) {
          const int64_t j = first + e;
          const int32_t destination = static_cast<int32_t>(tile.first_destination + j);
          const bool admissible = j < tile.destinations && destination >= arguments.first_destination;
          const float value = __fmul_rn(four.widened(e), admissible ? factors[j] : NAN);
          if (value > best) {  // not of NaN
            best = value;
            where = destination;
          }
        }
      }
      unsigned long long key = best_key(best, where);
#pragma unroll
      for (int distance = 16; distance > 0; distance /= 2) {
        const unsigned long long other = __shfl_xor_sync(0xffffffffu, key, distance);
        key = other > key ? other : key;
      }
      unsigned long long* kept = arguments.best + b * arguments.sources + tile.first_source + i;
      if (lane == 0 && key > *kept) {
        *kept = key;
      }
    }
  }
}

}  // namespace quern

#endif  // QUERN_MERGING_TOKEN_MATCH_FAST_KERNEL_CUH_
