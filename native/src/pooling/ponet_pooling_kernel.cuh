// ponet_pooling: global, segment and local pooling, fused, in one launch. Contract: quern/pooling.h.
//
// The work is a list of items: for every chunk of 64 tokens and slice of heads its share of the mean query,
// then for every one its share of the softmax over keys and of the segment maxima, then for every one its
// output rows. Blocks draw items in that order and never wait for one that was drawn later, so whoever waits
// waits for blocks that run. Whoever finishes a sequence's last share combines the shares, in ascending
// order.
#ifndef QUERN_POOLING_PONET_POOLING_KERNEL_CUH_
#define QUERN_POOLING_PONET_POOLING_KERNEL_CUH_

#include "pooling/pooled_rows.cuh"
#include "quern/pooling.h"

namespace quern {

constexpr int64_t kPonetChunk = 64;
constexpr int kPonetThreads = 128;
constexpr int kPonetSliceColumns = 512;  // about; a slice has whole heads
constexpr float kPonetFill = -10000.0f;  // padding, and locally special tokens, in a maximum

// What an item waits for and what it counts, per sequence and slice.
struct PonetProgress {
  unsigned int queries;  // chunks whose share of the mean query is there
  unsigned int keys;     // chunks whose share of the softmax and of the maxima is there
  unsigned int query_ready;
  unsigned int value_ready;
};

// Where things are in the workspace. A sequence's chunk c is in place offsets[s] / 64 + s + c, so that no two
// chunks share one.
struct PonetWorkspace {
  unsigned int* ticket;       // zero at first, like progress, which follows it
  PonetProgress* progress;    // [sequences, slices]
  float* query_sums;          // [places, columns]
  float* queries;             // [sequences, columns]: the mean query
  float* maxima;              // [places, heads]
  float* sums;                // [places, heads]
  float* value_sums;          // [places, columns]
  float* values;              // [sequences, columns]: v
  float* max;                 // [sequences, heads]
  float* sum;                 // [sequences, heads]
  unsigned int* segment_max;  // [tokens, columns]: the keys of segment i of a sequence are at its token i
};

// What is known of a document after some of its chunks; zeros at first. Null pointers where a whole is
// pooled.
struct PonetCarried {
  int64_t* counts;  // valid tokens, all tokens
  float* total;     // [columns]: sum of queries
  float* value;     // [columns]: weighted sum of keys
  float* max;       // [heads]
  float* sum;       // [heads]; 0: there was no key yet
};

// Strides in bytes. Pointers to local and to flags are those of the first token of the call, before which
// there may be more.
struct PonetArguments {
  Sequences sequences;
  PonetWorkspace workspace;
  PonetCarried carried;
  const char* q;
  const char* k;
  const char* o;
  const char* local;
  const char* segment;
  const int32_t* segment_ids;
  const uint8_t* valid;
  const uint8_t* special;
  char* out;
  float* probabilities;
  quern_error_record* errors;
  int64_t launch;
  int64_t q_stride;
  int64_t k_stride;
  int64_t o_stride;
  int64_t local_stride;
  int64_t segment_stride;
  int64_t out_stride;
  int64_t places;
  int64_t columns;
  int32_t heads;
  int32_t head_dim;
  int32_t slice_heads;
  int32_t slices;
  int32_t reach;  // window / 2
  int32_t flavour;
  int32_t out_dtype;
  float scale;
  int64_t segments;  // of a document's table
  int64_t position;  // of the chunk's first token in the document
  int32_t before;    // tokens of other chunks that windows reach
  int32_t after;

  __device__ bool is_valid(int64_t token) const { return valid == nullptr || __ldg(valid + token) != 0; }
  __device__ bool is_special(int64_t token) const {
    return special != nullptr && __ldg(special + token) != 0;
  }
};

// One chunk of a sequence and one slice of its heads.
struct PonetItem {
  int64_t sequence;
  int64_t begin;   // the sequence's first token
  int64_t length;  // of the sequence
  int64_t chunk;
  int64_t chunks;  // of the sequence
  int64_t first;   // token
  int tokens;      // of the chunk
  int heads;       // of the slice
  int64_t slice;
  int64_t first_head;

  __device__ int64_t place(int64_t of_chunk) const { return begin / kPonetChunk + sequence + of_chunk; }
};

// The item of a place and slice; without tokens if no chunk is there. The last sequence that begins at or
// before the place is searched for.
inline __device__ PonetItem ponet_item(const PonetArguments& arguments, int64_t place, int64_t slice) {
  const Sequences& sequences = arguments.sequences;
  int64_t low = 0;
  int64_t high = sequences.count - 1;
  while (low < high) {
    const int64_t middle = (low + high + 1) / 2;
    if (sequences.begin(middle) / kPonetChunk + middle <= place) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  PonetItem item;
  item.sequence = low;
  item.begin = sequences.begin(low);
  item.length = sequences.begin(low + 1) - item.begin;
  item.chunk = place - item.begin / kPonetChunk - low;
  item.chunks = (item.length + kPonetChunk - 1) / kPonetChunk;
  item.first = item.begin + item.chunk * kPonetChunk;
  const int64_t left = item.length - item.chunk * kPonetChunk;
  item.tokens = item.chunk < 0 || left < 0 ? 0 : static_cast<int>(min(kPonetChunk, left));
  item.slice = slice;
  item.first_head = slice * arguments.slice_heads;
  item.heads =
      static_cast<int>(min(static_cast<int64_t>(arguments.slice_heads), arguments.heads - item.first_head));
  return item;
}

inline __device__ PonetProgress* progress_of(const PonetArguments& arguments, const PonetItem& item) {
  return arguments.workspace.progress + item.sequence * arguments.slices + item.slice;
}

// Makes what the block has written visible, and counts it; true for the block that was the last of `all`.
inline __device__ bool block_is_last(unsigned int* counter, int64_t all, int* shared) {
  __threadfence();
  __syncthreads();
  if (threadIdx.x == 0) {
    *shared = atomicAdd(counter, 1u) + 1u == static_cast<unsigned int>(all);
  }
  __syncthreads();
  __threadfence();
  return *shared != 0;
}

inline __device__ void block_announce(unsigned int* flag) {
  __threadfence();
  __syncthreads();
  if (threadIdx.x == 0) {
    atomicExch(flag, 1u);
  }
}

inline __device__ void block_await(unsigned int* flag) {
  if (threadIdx.x == 0) {
    while (atomicAdd(flag, 0u) == 0u) {
      __nanosleep(64);
    }
  }
  __syncthreads();
  __threadfence();
}

// Whether a token's segment id is usable; it is in *id then.
template <bool CHUNK>
__device__ bool segment_of(const PonetArguments& arguments, const PonetItem& item, int64_t token,
                           int64_t* id) {
  *id = __ldg(arguments.segment_ids + token);
  return *id >= 0 && *id < (CHUNK ? arguments.segments : item.length);
}

// The sequence's valid tokens. By a whole block.
inline __device__ int64_t count_valid(const PonetArguments& arguments, const PonetItem& item) {
  if (arguments.valid == nullptr) {
    return item.length;
  }
  int64_t total = 0;
  for (int64_t first = 0; first < item.length; first += kPonetThreads) {
    const int64_t t = first + threadIdx.x;
    total += __syncthreads_count(t < item.length && arguments.is_valid(item.begin + t));
  }
  return total;
}

// The chunk's share of the mean query. It also makes the keys of the segments that begin here ready.
template <bool CHUNK, typename Element, int N>
__device__ void ponet_queries(const PonetArguments& arguments, const PonetItem& item, int* shared) {
  constexpr int kRows = 8;
  const int head_packets = arguments.head_dim / N;
  const int64_t first_column = item.first_head * arguments.head_dim;
  const PonetWorkspace& workspace = arguments.workspace;
  float* shares = workspace.query_sums + item.place(item.chunk) * arguments.columns + first_column;
  for (int packet = threadIdx.x; packet < item.heads * head_packets; packet += kPonetThreads) {
    const char* column = arguments.q + item.first * arguments.q_stride +
                         (first_column / N + packet) * Packet<Element, N>::kBytes;
    float sums[N] = {};
#pragma unroll 1
    for (int first = 0; first < item.tokens; first += kRows) {
      Packet<Element, N> rows[kRows];
#pragma unroll
      for (int u = 0; u < kRows; ++u) {
        const int t = first + u;
        rows[u] = t < item.tokens && arguments.is_valid(item.first + t)
                      ? Packet<Element, N>::load(column + t * arguments.q_stride)
                      : Packet<Element, N>::zeros();  // adding +0 changes no sum that began with +0
      }
#pragma unroll
      for (int u = 0; u < kRows; ++u) {
#pragma unroll
        for (int i = 0; i < N; ++i) {
          sums[i] = __fadd_rn(sums[i], rows[u].widened(i));
        }
      }
    }
#pragma unroll
    for (int i = 0; i < N; ++i) {
      shares[static_cast<int64_t>(packet) * N + i] = sums[i];
    }
  }
  int64_t before = -1;
  for (int t = 0; !CHUNK && t < item.tokens; ++t) {
    int64_t id;
    if (segment_of<CHUNK>(arguments, item, item.first + t, &id)) {
      if (id != before) {
        unsigned int* keys = workspace.segment_max + (item.begin + id) * arguments.columns + first_column;
        for (int c = threadIdx.x; c < item.heads * arguments.head_dim; c += kPonetThreads) {
          atomicExch(keys + c, kNoKey);  // chunks with tokens of one segment do it alike
        }
      }
      before = id;
    }
  }
  PonetProgress* progress = progress_of(arguments, item);
  if (!block_is_last(&progress->queries, item.chunks, shared)) {
    return;
  }
  const int64_t valid = count_valid(arguments, item);
  if (CHUNK && item.slice == 0 && threadIdx.x == 0) {
    arguments.carried.counts[0] += valid;
    arguments.carried.counts[1] += item.length;
  }
  for (int c = threadIdx.x; c < item.heads * arguments.head_dim; c += kPonetThreads) {
    const float* share = workspace.query_sums + item.place(0) * arguments.columns + first_column + c;
    float total = CHUNK ? arguments.carried.total[first_column + c] : 0.0f;
    for (int64_t chunk = 0; chunk < item.chunks; ++chunk) {
      total = __fadd_rn(total, __ldcg(share + chunk * arguments.columns));
    }
    if (CHUNK) {
      arguments.carried.total[first_column + c] = total;
    } else {
      workspace.queries[item.sequence * arguments.columns + first_column + c] =
          __fdiv_rn(total, __ll2float_rn(valid));
    }
  }
  block_announce(&progress->query_ready);
}

// A row in shared memory.
struct SharedRow {
  const float* data;

  __device__ float operator()(int64_t i) const { return data[i]; }
  __device__ float4 four(int64_t i) const {
    return make_float4(data[i], data[i + 1], data[i + 2], data[i + 3]);
  }
};

// The chunk's softmax, by a warp a head: scores become weights; maximum and sum are stored.
inline __device__ void ponet_weights(const PonetArguments& arguments, const PonetItem& item, float* scores) {
  const int lane = static_cast<int>(threadIdx.x) & 31;
  for (int h = static_cast<int>(threadIdx.x) / 32; h < item.heads; h += kPonetThreads / 32) {
    float* of_head = scores + h * kPonetChunk;
    const float low = of_head[lane];
    const float high = of_head[lane + 32];
    float max = canonical_max(low, high);
    for (int distance = 16; distance > 0; distance /= 2) {
      max = canonical_max(max, __shfl_xor_sync(0xffffffffu, max, distance));
    }
    max = max == 0.0f ? 0.0f : max;
    const bool skipped = max == -INFINITY;
    const auto weight = [&](float score, int at) {
      const bool counts = !skipped && at < item.tokens && arguments.is_valid(item.first + at);
      return counts ? canonical_exp(__fsub_rn(score, max)) : 0.0f;
    };
    const float low_weight = weight(low, lane);
    const float high_weight = weight(high, lane + 32);
    of_head[lane] = low_weight;
    of_head[lane + 32] = high_weight;
    float sum = __fadd_rn(low_weight, high_weight);
    for (unsigned int distance = 16; distance > 0; distance /= 2) {
      sum = __fadd_rn(sum, __shfl_down_sync(0xffffffffu, sum, distance));
    }
    if (lane == 0) {
      const int64_t at = item.place(item.chunk) * arguments.heads + item.first_head + h;
      arguments.workspace.maxima[at] = max;
      arguments.workspace.sums[at] = sum;
    }
  }
}

// A state of the softmax, and one column of its weighted sum.
struct PonetState {
  float max;
  float sum;
  float value;
  bool some;  // whether there was a key

  __device__ void merge(float chunk_max, float chunk_sum, float chunk_value) {
    if (!some) {
      *this = {chunk_max, chunk_sum, chunk_value, true};
      return;
    }
    const float greater = canonical_max(max, chunk_max);
    const float merged = greater == 0.0f ? 0.0f : greater;
    const float a = canonical_exp(__fsub_rn(max, merged));
    const float b = canonical_exp(__fsub_rn(chunk_max, merged));
    max = merged;
    sum = __fmaf_rn(chunk_sum, b, __fmul_rn(sum, a));
    value = __fmaf_rn(chunk_value, b, __fmul_rn(value, a));
  }
};

// Merges the states of a sequence's chunks in ascending order, for a column of `stride` in a chunk's values.
inline __device__ void merge_chunks(const PonetArguments& arguments, const PonetItem& item, int64_t head,
                                    const float* values, int64_t stride, PonetState* state) {
  const PonetWorkspace& workspace = arguments.workspace;
  const int64_t place = item.place(0);
  for (int64_t chunk = 0; chunk < item.chunks; ++chunk) {
    const float chunk_max = __ldcg(workspace.maxima + (place + chunk) * arguments.heads + head);
    if (chunk_max != -INFINITY) {
      state->merge(chunk_max, __ldcg(workspace.sums + (place + chunk) * arguments.heads + head),
                   __ldcg(values + (place + chunk) * stride));
    }
  }
}

// Merges the chunks' states of the softmax in ascending order, a column a thread. Heads' maxima and sums are
// written when all threads have read them.
template <bool CHUNK>
__device__ void ponet_merge(const PonetArguments& arguments, const PonetItem& item) {
  const PonetWorkspace& workspace = arguments.workspace;
  const PonetCarried& carried = arguments.carried;
  const int columns = item.heads * arguments.head_dim;
  for (int first = 0; first < columns; first += kPonetThreads) {
    const int c = first + static_cast<int>(threadIdx.x);
    const int64_t head = item.first_head + (c < columns ? c / arguments.head_dim : 0);
    const int64_t column = item.first_head * arguments.head_dim + c;
    PonetState state = {-INFINITY, 0.0f, 0.0f, false};
    if (c < columns) {
      if (CHUNK && carried.sum[head] != 0.0f) {
        state = {carried.max[head], carried.sum[head], carried.value[column], true};
      }
      merge_chunks(arguments, item, head, workspace.value_sums + column, arguments.columns, &state);
      if (CHUNK) {
        carried.value[column] = state.value;
      } else {
        workspace.values[item.sequence * arguments.columns + column] = __fdiv_rn(state.value, state.sum);
      }
    }
    __syncthreads();
    // A head whose columns go on in the next round is written after its last one.
    if (c < columns && (c + 1) % arguments.head_dim == 0) {
      float* max = CHUNK ? carried.max : workspace.max + item.sequence * arguments.heads;
      float* sum = CHUNK ? carried.sum : workspace.sum + item.sequence * arguments.heads;
      max[head] = state.max;
      sum[head] = state.sum;
    }
  }
}

// Takes a chunk's rows into the maxima of their segments. Runs of one segment cost one round of atomics.
template <bool CHUNK, typename Element, int N>
__device__ void ponet_raise(const PonetArguments& arguments, const PonetItem& item) {
  const int head_packets = arguments.head_dim / N;
  const int64_t first_column = item.first_head * arguments.head_dim;
  const PonetWorkspace& workspace = arguments.workspace;
  for (int packet = threadIdx.x; packet < item.heads * head_packets; packet += kPonetThreads) {
    const int64_t skipped = static_cast<int64_t>(packet) * N;  // columns of the slice
    const int64_t skip = (first_column / N + packet) * Packet<Element, N>::kBytes;
    const char* column = arguments.segment + item.first * arguments.segment_stride + skip;
    float best[N] = {};
    int64_t open = -1;
    const auto raise = [&] {
      unsigned int* raised =
          workspace.segment_max + (item.begin + open) * arguments.columns + first_column + skipped;
#pragma unroll
      for (int i = 0; i < N; ++i) {
        atomicMax(raised + i, max_key(best[i]));
      }
    };
    for (int t = 0; t < item.tokens; ++t) {
      int64_t id;
      if (!segment_of<CHUNK>(arguments, item, item.first + t, &id)) {
        continue;
      }
      if (id != open) {
        if (open >= 0) {
          raise();
        }
        open = id;
#pragma unroll
        for (int i = 0; i < N; ++i) {
          best[i] = -INFINITY;
        }
      }
      if (arguments.is_valid(item.first + t)) {
        const Packet<Element, N> row = Packet<Element, N>::load(column + t * arguments.segment_stride);
#pragma unroll
        for (int i = 0; i < N; ++i) {
          best[i] = canonical_max(best[i], row.widened(i));
        }
      } else {
#pragma unroll
        for (int i = 0; i < N; ++i) {
          best[i] = canonical_max(best[i], kPonetFill);
        }
      }
    }
    if (open >= 0) {
      raise();
    }
  }
}

// The chunk's shares of the softmax over keys and of the segment maxima.
template <bool CHUNK, typename Element, int N>
__device__ void ponet_keys(const PonetArguments& arguments, const PonetItem& item, float* query,
                           float* scores, int* shared) {
  constexpr int kRows = 4;
  const int head_packets = arguments.head_dim / N;
  const int columns = item.heads * arguments.head_dim;
  const int64_t first_column = item.first_head * arguments.head_dim;
  const PonetWorkspace& workspace = arguments.workspace;
  PonetProgress* progress = progress_of(arguments, item);
  if (!CHUNK) {
    block_await(&progress->query_ready);
  }
  for (int c = threadIdx.x; c < columns; c += kPonetThreads) {
    query[c] = CHUNK ? __fdiv_rn(arguments.carried.total[first_column + c],
                                 __ll2float_rn(arguments.carried.counts[0]))
                     : __ldcg(workspace.queries + item.sequence * arguments.columns + first_column + c);
  }
  __syncthreads();

  // Half a warp a score. The halves of a warp differ in what they do, so each names its own lanes.
  const int half = static_cast<int>(threadIdx.x) / kRowLanes;
  const bool leads = threadIdx.x % kRowLanes == 0;
  for (int at = half; at < kPonetChunk * item.heads; at += kPonetThreads / kRowLanes) {
    const int t = at / item.heads;
    const int64_t h = at - static_cast<int64_t>(t) * item.heads;
    float score = -INFINITY;
    const bool there = t < item.tokens;
    if (there && arguments.is_valid(item.first + t)) {
      const StoredRow<Element> key = {
          arguments.k + (item.first + t) * arguments.k_stride +
              (first_column + h * arguments.head_dim) * Packet<Element, 1>::kBytes,
          N > 1};
      const DotOf<StoredRow<Element>, SharedRow> dot = {key, {query + h * arguments.head_dim}};
      score = __fmul_rn(half_warp_reduce(dot, arguments.head_dim), arguments.scale);
    }
    if (leads) {
      scores[h * kPonetChunk + t] = score;
      if (there && arguments.probabilities != nullptr) {
        arguments.probabilities[(item.first + t) * arguments.heads + item.first_head + h] = score;
      }
    }
  }
  __syncthreads();
  ponet_weights(arguments, item, scores);
  __syncthreads();

  for (int packet = threadIdx.x; packet < item.heads * head_packets; packet += kPonetThreads) {
    const int64_t skipped = static_cast<int64_t>(packet) * N;  // columns of the slice
    const int64_t skip = (first_column / N + packet) * Packet<Element, N>::kBytes;
    const float* weights = scores + packet / head_packets * kPonetChunk;
    const char* keys = arguments.k + item.first * arguments.k_stride + skip;
    float values[N] = {};
#pragma unroll 1
    for (int first = 0; first < item.tokens; first += kRows) {
      Packet<Element, N> rows[kRows];
      bool counts[kRows];
#pragma unroll
      for (int u = 0; u < kRows; ++u) {
        const int t = first + u;
        counts[u] = t < item.tokens && arguments.is_valid(item.first + t);
        rows[u] =
            counts[u] ? Packet<Element, N>::load(keys + t * arguments.k_stride) : Packet<Element, N>::zeros();
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
    float* shares =
        workspace.value_sums + item.place(item.chunk) * arguments.columns + first_column + skipped;
#pragma unroll
    for (int i = 0; i < N; ++i) {
      shares[i] = values[i];
    }
  }
  ponet_raise<CHUNK, Element, N>(arguments, item);
  if (block_is_last(&progress->keys, item.chunks, shared)) {
    ponet_merge<CHUNK>(arguments, item);
    if (!CHUNK) {
      block_announce(&progress->value_ready);
    }
  }
}

// The chunk's output rows, and its probabilities.
template <bool CHUNK, typename Element, int N>
__device__ void ponet_fuse(const PonetArguments& arguments, const PonetItem& item) {
  const int head_packets = arguments.head_dim / N;
  const int64_t first_column = item.first_head * arguments.head_dim;
  const PonetWorkspace& workspace = arguments.workspace;
  for (int packet = threadIdx.x; packet < item.heads * head_packets; packet += kPonetThreads) {
    const int64_t skipped = static_cast<int64_t>(packet) * N;  // columns of the slice
    const int64_t in_row = first_column / N + packet;
    const int64_t skip = in_row * Packet<Element, N>::kBytes;
    float v[N];
    float lift[N] = {};
#pragma unroll
    for (int i = 0; i < N; ++i) {
      v[i] = CHUNK
                 ? __fdiv_rn(arguments.carried.value[first_column + skipped + i],
                             arguments.carried.sum[item.first_head + packet / head_packets])
                 : __ldcg(workspace.values + item.sequence * arguments.columns + first_column + skipped + i);
    }
    int64_t open = -1;  // the segment of lift
    for (int64_t token = item.first; token < item.first + item.tokens; ++token) {
      char* row = arguments.out + token * arguments.out_stride;
      int64_t id;
      const bool has_segment = segment_of<CHUNK>(arguments, item, token, &id);
      float values[N] = {};
      if (!has_segment || !arguments.is_valid(token)) {
        if (!has_segment && arguments.is_valid(token) && in_row == 0) {
          record_bad_data(arguments.errors, arguments.launch, QUERN_DATA_INDEX, arguments.position + token,
                          id, CHUNK ? arguments.segments : item.length);
        }
        store_packet(arguments.out_dtype, row, in_row, values);
        continue;
      }
      const Packet<Element, N> o = Packet<Element, N>::load(arguments.o + token * arguments.o_stride + skip);
      if (arguments.is_special(token)) {
#pragma unroll
        for (int i = 0; i < N; ++i) {
          values[i] = __fmaf_rn(__fadd_rn(v[i], 0.0f), o.widened(i), 0.0f);
        }
        store_packet(arguments.out_dtype, row, in_row, values);
        continue;
      }
      if (id != open) {
        open = id;
        const unsigned int* keys =
            workspace.segment_max + (item.begin + id) * arguments.columns + first_column + skipped;
#pragma unroll
        for (int i = 0; i < N; ++i) {
          lift[i] = __fadd_rn(v[i], max_of_key(__ldcg(keys + i)));
        }
      }
#pragma unroll
      for (int i = 0; i < N; ++i) {
        values[i] = -INFINITY;
      }
      const int64_t from = max(item.begin - (CHUNK ? arguments.before : 0), token - arguments.reach);
      const int64_t to =
          min(item.begin + item.length - 1 + (CHUNK ? arguments.after : 0), token + arguments.reach);
      for (int64_t j = from; j <= to; ++j) {
        if (arguments.is_valid(j) && !arguments.is_special(j)) {
          const Packet<Element, N> local =
              Packet<Element, N>::load(arguments.local + j * arguments.local_stride + skip);
#pragma unroll
          for (int i = 0; i < N; ++i) {
            values[i] = canonical_max(values[i], local.widened(i));
          }
        } else {
#pragma unroll
          for (int i = 0; i < N; ++i) {
            values[i] = canonical_max(values[i], kPonetFill);
          }
        }
      }
#pragma unroll
      for (int i = 0; i < N; ++i) {
        values[i] = __fmaf_rn(lift[i], o.widened(i), values[i] == 0.0f ? 0.0f : values[i]);
      }
      store_packet(arguments.out_dtype, row, in_row, values);
    }
  }
  if (arguments.probabilities == nullptr) {
    return;
  }
  const int64_t valid = CHUNK ? arguments.carried.counts[0] : count_valid(arguments, item);
  const int64_t length = CHUNK ? arguments.carried.counts[1] : item.length;
  const float* maxima = CHUNK ? arguments.carried.max : workspace.max + item.sequence * arguments.heads;
  const float* sums = CHUNK ? arguments.carried.sum : workspace.sum + item.sequence * arguments.heads;
  for (int at = threadIdx.x; at < item.tokens * item.heads; at += kPonetThreads) {
    const int64_t t = at / item.heads;
    const int64_t token = item.first + t;
    const int64_t head = item.first_head + at - t * item.heads;
    float* p = arguments.probabilities + token * arguments.heads + head;
    if (valid == 0) {
      *p = arguments.flavour == QUERN_PONET_LRA ? __fdiv_rn(1.0f, __ll2float_rn(length)) : NAN;
    } else if (!arguments.is_valid(token)) {
      *p = 0.0f;
    } else {
      const float max = __ldcg(maxima + head);
      const float sum = __ldcg(sums + head);
      *p = __fdiv_rn(canonical_exp(__fsub_rn(__ldcg(p), max)), sum);
    }
  }
}

template <typename Element, int N>
__global__ void __launch_bounds__(kPonetThreads, 4)
    ponet_pooling_kernel(const __grid_constant__ PonetArguments arguments) {
  float* query = dynamic_shared<float>();  // [columns of a slice]
  float* scores =
      query + static_cast<int64_t>(arguments.slice_heads) * arguments.head_dim;  // [heads of a slice, 64]
  QUERN_SHARED(int[1], last);
  QUERN_SHARED(int64_t[1], drawn);
  if (arguments.sequences.block_refuses(arguments.errors, arguments.launch, blockIdx.x == 0)) {
    return;
  }
  if (threadIdx.x == 0) {
    drawn[0] = atomicAdd(arguments.workspace.ticket, 1u);
  }
  __syncthreads();
  const int64_t phase_items = arguments.places * arguments.slices;
  const int64_t phase = drawn[0] / phase_items;
  const int64_t in_phase = drawn[0] - phase * phase_items;
  const int64_t place = in_phase / arguments.slices;
  const PonetItem item = ponet_item(arguments, place, in_phase - place * arguments.slices);
  if (item.tokens == 0) {
    return;
  }
  if (phase == 0) {
    ponet_queries<false, Element, N>(arguments, item, last);
  } else if (phase == 1) {
    ponet_keys<false, Element, N>(arguments, item, query, scores, last);
  } else {
    block_await(&progress_of(arguments, item)->value_ready);
    ponet_fuse<false, Element, N>(arguments, item);
  }
}

}  // namespace quern

#endif  // QUERN_POOLING_PONET_POOLING_KERNEL_CUH_
