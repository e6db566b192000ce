// ponet_mixer: pooling of projections of x, two of which are made of one row a sequence and head instead of
// all tokens. Contract: quern/pooling.h. In the order of launch:
//   mean     the mean of x, by chunks; makes the keys of segments ready
//   ask      g = W_q m + b_q
//   fold     u_h = sum over the head's columns of g_c W_k,c
//   keys     the chunks' shares of the softmax over x asked by u, and of the weighted rows
//   merge    z_h from them
//   tell     v = W_k z + b_k
//   project  o, local and segment of all tokens
//   raise    segment maxima
//   fuse     the output
#ifndef QUERN_POOLING_PONET_MIXER_KERNEL_CUH_
#define QUERN_POOLING_PONET_MIXER_KERNEL_CUH_

#include "core/product.cuh"
#include "pooling/ponet_pooling_kernel.cuh"

namespace quern {

// What pooling does not know of. Its own arguments say x where it reads queries and keys, and the projected
// rows elsewhere.
struct MixerArguments {
  PonetArguments pooling;
  const float* weight;  // [5 columns, columns]: q, k, o, local, segment
  const float* bias;    // [5 columns]
  float* asked;         // [sequences, columns]: g
  float* folded;        // [sequences, heads, columns]: u, then z
  float* wide_sums;     // [places, heads, columns]: weighted rows of x
  float* projected;     // [3, tokens, columns]
  bool weight_aligned;  // rows of weight can be read 16 bytes at a time
};

// The item of a block of a grid over places and slices.
inline __device__ PonetItem mixer_item(const PonetArguments& arguments) {
  const int64_t place = blockIdx.x / static_cast<unsigned int>(arguments.slices);
  return ponet_item(arguments, place, static_cast<int64_t>(blockIdx.x) - place * arguments.slices);
}

template <typename Element, int N>
__global__ void __launch_bounds__(kPonetThreads, 4)
    mixer_mean_kernel(const __grid_constant__ MixerArguments arguments) {
  QUERN_SHARED(int[1], last);
  const PonetArguments& pooling = arguments.pooling;
  if (pooling.sequences.block_refuses(pooling.errors, pooling.launch, blockIdx.x == 0)) {
    return;
  }
  const PonetItem item = mixer_item(pooling);
  if (item.tokens > 0) {
    ponet_queries<false, Element, N>(pooling, item, last);
  }
}

// Half a warp an element of in W^T + b.
inline __device__ float layer_element(const MixerArguments& arguments, const float* in, int64_t row) {
  const int64_t columns = arguments.pooling.columns;
  const DotOf<StoredRow<F32>, StoredRow<F32>> dot = {
      {reinterpret_cast<const char*>(arguments.weight + row * columns), arguments.weight_aligned},
      {reinterpret_cast<const char*>(in), columns % 4 == 0}};
  return __fadd_rn(half_warp_reduce(dot, columns), __ldg(arguments.bias + row));
}

// Which row of all sequences' columns half a warp works on.
inline __device__ int64_t half_warp_row() {
  return static_cast<int64_t>(blockIdx.x) * (kPonetThreads / kRowLanes) + threadIdx.x / kRowLanes;
}

static __global__ void __launch_bounds__(kPonetThreads, 4)
    mixer_ask_kernel(const __grid_constant__ MixerArguments arguments) {
  const PonetArguments& pooling = arguments.pooling;
  const int64_t at = half_warp_row();
  if (at >= pooling.sequences.count * pooling.columns) {
    return;
  }
  const int64_t s = at / pooling.columns;
  const float g =
      layer_element(arguments, pooling.workspace.queries + s * pooling.columns, at - s * pooling.columns);
  if (threadIdx.x % kRowLanes == 0) {
    arguments.asked[at] = g;
  }
}

static __global__ void __launch_bounds__(kPonetThreads, 4)
    mixer_fold_kernel(const __grid_constant__ MixerArguments arguments) {
  const PonetArguments& pooling = arguments.pooling;
  const int64_t at = static_cast<int64_t>(blockIdx.x) * kPonetThreads + threadIdx.x;
  if (at >= pooling.sequences.count * pooling.heads * pooling.columns) {
    return;
  }
  const int64_t row = at / pooling.columns;  // of sequences and heads
  const int64_t i = at - row * pooling.columns;
  const int64_t first = row % pooling.heads * pooling.head_dim;
  const float* asked = arguments.asked + row / pooling.heads * pooling.columns + first;
  const float* weight = arguments.weight + (pooling.columns + first) * pooling.columns + i;
  float total = 0.0f;
  for (int64_t chunk = 0; chunk < pooling.head_dim; chunk += kPonetChunk) {
    float partial = 0.0f;
    const int64_t end = min(static_cast<int64_t>(pooling.head_dim), chunk + kPonetChunk);
    for (int64_t d = chunk; d < end; ++d) {
      partial = __fmaf_rn(__ldg(asked + d), __ldg(weight + d * pooling.columns), partial);
    }
    total = __fadd_rn(total, partial);
  }
  arguments.folded[at] = total;
}

template <typename Element, int N>
__global__ void __launch_bounds__(kPonetThreads, 4)
    mixer_keys_kernel(const __grid_constant__ MixerArguments arguments) {
  constexpr int kRows = 4;
  float* scores = dynamic_shared<float>();  // [heads of a slice, 64]
  const PonetArguments& pooling = arguments.pooling;
  if (pooling.sequences.block_refuses(pooling.errors, pooling.launch, false)) {
    return;
  }
  const PonetItem item = mixer_item(pooling);
  if (item.tokens == 0) {
    return;
  }
  const int half = static_cast<int>(threadIdx.x) / kRowLanes;
  const bool leads = threadIdx.x % kRowLanes == 0;
  for (int at = half; at < kPonetChunk * item.heads; at += kPonetThreads / kRowLanes) {
    const int t = at / item.heads;
    const int64_t h = at - static_cast<int64_t>(t) * item.heads;
    float score = -INFINITY;
    const bool there = t < item.tokens;
    if (there && pooling.is_valid(item.first + t)) {
      const float* query =
          arguments.folded + (item.sequence * pooling.heads + item.first_head + h) * pooling.columns;
      const DotOf<StoredRow<Element>, StoredRow<F32>> dot = {
          {pooling.k + (item.first + t) * pooling.k_stride, N > 1},
          {reinterpret_cast<const char*>(query), pooling.columns % 4 == 0}};
      score = __fmul_rn(half_warp_reduce(dot, pooling.columns), pooling.scale);
    }
    if (leads) {
      scores[h * kPonetChunk + t] = score;
      if (there && pooling.probabilities != nullptr) {
        pooling.probabilities[(item.first + t) * pooling.heads + item.first_head + h] = score;
      }
    }
  }
  __syncthreads();
  ponet_weights(pooling, item, scores);
  __syncthreads();

  const int64_t packets = pooling.columns / N;
  for (int64_t packet = threadIdx.x; packet < packets; packet += kPonetThreads) {
    const char* column = pooling.k + item.first * pooling.k_stride + packet * Packet<Element, N>::kBytes;
    for (int64_t h = 0; h < item.heads; ++h) {
      const float* weights = scores + h * kPonetChunk;
      float values[N] = {};
#pragma unroll 1
      for (int first = 0; first < item.tokens; first += kRows) {
        Packet<Element, N> rows[kRows];
        bool counts[kRows];
#pragma unroll
        for (int u = 0; u < kRows; ++u) {
          const int t = first + u;
          counts[u] = t < item.tokens && pooling.is_valid(item.first + t);
          rows[u] = counts[u] ? Packet<Element, N>::load(column + t * pooling.k_stride)
                              : Packet<Element, N>::zeros();
        }
#pragma unroll
        for (int u = 0; u < kRows; ++u) {
          if (counts[u]) {
#pragma unroll
            for (int i = 0; i < N; ++i) {
              values[i] = __fmaf_rn(weights[first + u], rows[u].widened(i), values[i]);
            }
          }
        }
      }
      float* sums = arguments.wide_sums +
                    (item.place(item.chunk) * pooling.heads + item.first_head + h) * pooling.columns +
                    packet * N;
#pragma unroll
      for (int i = 0; i < N; ++i) {
        sums[i] = values[i];
      }
    }
  }
}

// A block a sequence and head.
static __global__ void __launch_bounds__(kPonetThreads, 4)
    mixer_merge_kernel(const __grid_constant__ MixerArguments arguments) {
  const PonetArguments& pooling = arguments.pooling;
  if (pooling.sequences.block_refuses(pooling.errors, pooling.launch, false)) {
    return;
  }
  PonetItem item = {};
  item.sequence = blockIdx.x / static_cast<unsigned int>(pooling.heads);
  item.begin = pooling.sequences.begin(item.sequence);
  const int64_t length = pooling.sequences.begin(item.sequence + 1) - item.begin;
  item.chunks = (length + kPonetChunk - 1) / kPonetChunk;
  const int64_t row = blockIdx.x;
  const int64_t head = row - item.sequence * pooling.heads;
  for (int64_t c = threadIdx.x; c < pooling.columns; c += kPonetThreads) {
    PonetState state = {-INFINITY, 0.0f, 0.0f, false};
    merge_chunks(pooling, item, head, arguments.wide_sums + head * pooling.columns + c,
                 pooling.heads * pooling.columns, &state);
    arguments.folded[row * pooling.columns + c] = __fdiv_rn(state.value, state.sum);
    if (c == 0) {
      pooling.workspace.max[row] = state.max;
      pooling.workspace.sum[row] = state.sum;
    }
  }
}

static __global__ void __launch_bounds__(kPonetThreads, 4)
    mixer_tell_kernel(const __grid_constant__ MixerArguments arguments) {
  const PonetArguments& pooling = arguments.pooling;
  const int64_t at = half_warp_row();
  if (at >= pooling.sequences.count * pooling.columns) {
    return;
  }
  const int64_t s = at / pooling.columns;
  const int64_t c = at - s * pooling.columns;
  const float* z = arguments.folded + (s * pooling.heads + c / pooling.head_dim) * pooling.columns;
  const float v = layer_element(arguments, z, pooling.columns + c);
  if (threadIdx.x % kRowLanes == 0) {
    pooling.workspace.values[at] = v;
  }
}

// A tile of tokens and columns of a layer a block; layers are blockIdx.z.
template <typename Element, int SUMS>
__global__ void __launch_bounds__(kProductThreads, 1)
    mixer_project_kernel(const __grid_constant__ MixerArguments arguments) {
  using Tile = ProductTile<SUMS>;
  QUERN_SHARED(typename Tile::Shared, shared);
  const PonetArguments& pooling = arguments.pooling;
  const int64_t columns = pooling.columns;
  const int64_t first_token = static_cast<int64_t>(blockIdx.x) * Tile::kRows;
  const int64_t first_column = static_cast<int64_t>(blockIdx.y) * Tile::kRows;
  const int64_t layer = blockIdx.z;
  const int64_t first_row = (2 + layer) * columns + first_column;  // of the weights
  const int thread = static_cast<int>(threadIdx.x);
  const auto left = [&](int r, int64_t k) {
    return first_token + r < pooling.sequences.tokens
               ? Packet<Element, 1>::load(pooling.q + (first_token + r) * pooling.q_stride +
                                          k * Packet<Element, 1>::kBytes)
                     .widened(0)
               : 0.0f;
  };
  const auto right = [&](int r, int64_t k) {
    return first_column + r < columns ? __ldg(arguments.weight + (first_row + r) * columns + k) : 0.0f;
  };
  Tile tile;
  tile.compute(thread, columns, left, right, shared);
#pragma unroll
  for (int i = 0; i < SUMS; ++i) {
    const int64_t token = first_token + Tile::row(thread, i);
    if (token < pooling.sequences.tokens) {
      float* out = arguments.projected + (layer * pooling.sequences.tokens + token) * columns;
#pragma unroll
      for (int j = 0; j < SUMS; ++j) {
        const int64_t c = first_column + Tile::column(thread, j);
        if (c < columns) {
          out[c] = __fadd_rn(tile.sums[i][j], __ldg(arguments.bias + (2 + layer) * columns + c));
        }
      }
    }
  }
}

template <int N>
__global__ void __launch_bounds__(kPonetThreads, 4)
    mixer_raise_kernel(const __grid_constant__ MixerArguments arguments) {
  const PonetArguments& pooling = arguments.pooling;
  if (pooling.sequences.block_refuses(pooling.errors, pooling.launch, false)) {
    return;
  }
  const PonetItem item = mixer_item(pooling);
  if (item.tokens > 0) {
    ponet_raise<false, F32, N>(pooling, item);
  }
}

template <int N>
__global__ void __launch_bounds__(kPonetThreads, 4)
    mixer_fuse_kernel(const __grid_constant__ MixerArguments arguments) {
  const PonetArguments& pooling = arguments.pooling;
  if (pooling.sequences.block_refuses(pooling.errors, pooling.launch, false)) {
    return;
  }
  const PonetItem item = mixer_item(pooling);
  if (item.tokens > 0) {
    ponet_fuse<false, F32, N>(pooling, item);
  }
}

}  // namespace quern

#endif  // QUERN_POOLING_PONET_MIXER_KERNEL_CUH_
