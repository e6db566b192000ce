// embedding_bag: rows by id, combined bag by bag in canonical order. Contract: quern/gather.h.
#ifndef QUERN_GATHER_EMBEDDING_BAG_KERNEL_CUH_
#define QUERN_GATHER_EMBEDDING_BAG_KERNEL_CUH_

#include "core/error_record.cuh"
#include "core/index_policy.cuh"
#include "core/vector.cuh"
#include "quern/gather.h"

namespace quern {

constexpr int64_t kBagChunk = 64;  // positions whose rows are added in order before chunks are
constexpr int kBagThreads = 256;
constexpr int kLongBagThreads = 512;

// Strides in bytes. Offsets are 64-bit throughout: tables and outputs may exceed 2^31 elements.
template <int TABLES>
struct EmbeddingBagArguments {
  const void* ids;           // null: each position is its own id
  const int32_t* table_ids;  // unused with one table
  const void* offsets;
  const float* weights;
  const char* fallback;
  char* out;
  quern_error_record* errors;
  int64_t count;
  int64_t bags;
  int64_t block_bags;  // groups of a block; 1 where a block is one
  int64_t packets;     // per row
  int64_t out_stride;
  int64_t fallback_stride;
  int64_t launch;
  int32_t table_count;
  int32_t policy;
  int32_t combine;
  int32_t empty;
  int32_t out_dtype;
  int32_t wide_ids;      // 1: I64
  int32_t wide_offsets;  // 1: I64
  int32_t group_shift;   // 2^group_shift lanes share a bag's row
  struct {
    const char* data;
    int64_t rows;
    int64_t stride;
  } tables[TABLES];
};

enum class BagOutcome { kCombined, kZeros, kUntouched };

// A bag whose offsets and table id have been checked. Without anything to combine its range is empty.
struct Bag {
  BagOutcome outcome = BagOutcome::kCombined;
  int64_t begin = 0;
  int64_t end = 0;
  const char* table = nullptr;
  int64_t rows = 0;
  int64_t stride = 0;
};

template <int TABLES>
__device__ Bag open_bag(const EmbeddingBagArguments<TABLES>& arguments, int64_t s, bool report) {
  Bag bag;
  int64_t table = 0;
  if constexpr (TABLES > 1) {
    const int32_t table_id = __ldg(arguments.table_ids + s);
    table = resolve_index(table_id, arguments.table_count, arguments.policy);
    if (table == kBadRow) {
      if (report) {
        record_bad_data(arguments.errors, arguments.launch, QUERN_DATA_TABLE_ID, s, table_id,
                        arguments.table_count);
      }
      bag.outcome = BagOutcome::kZeros;
    }
  }
  if (table >= 0) {  // else no row is valid, and every id follows the policy
    bag.table = arguments.tables[table].data;
    bag.rows = arguments.tables[table].rows;
    bag.stride = arguments.tables[table].stride;
  }
  const int64_t count = arguments.count;
  int64_t begin = load_index(arguments.offsets, arguments.wide_offsets, s);
  int64_t end = load_index(arguments.offsets, arguments.wide_offsets, s + 1);
  const bool bad_begin = begin < 0 || begin > count;
  if (bad_begin || end < begin || end > count) {
    switch (arguments.policy) {
      case QUERN_INDEX_CLAMP:
        begin = begin < 0 ? 0 : begin > count ? count : begin;
        end = end < begin ? begin : end > count ? count : end;
        break;
      case QUERN_INDEX_SKIP:
        bag.outcome = BagOutcome::kUntouched;
        break;
      default:
        bag.outcome = BagOutcome::kZeros;
        if (arguments.policy == QUERN_INDEX_FAIL && report) {
          record_bad_data(arguments.errors, arguments.launch, QUERN_DATA_OFFSETS, s, bad_begin ? begin : end,
                          count);
        }
    }
  }
  if (bag.outcome == BagOutcome::kCombined) {
    bag.begin = begin;
    bag.end = end;
  }
  return bag;
}

template <int TABLES>
__device__ int64_t id_at(const EmbeddingBagArguments<TABLES>& arguments, int64_t position) {
  return arguments.ids == nullptr ? position : load_index(arguments.ids, arguments.wide_ids, position);
}

// The row at a position of the bag, or one of resolve_index's codes; -1 is not counted either.
template <int TABLES>
__device__ int64_t row_at(const EmbeddingBagArguments<TABLES>& arguments, const Bag& bag, int64_t position) {
  const int64_t id = id_at(arguments, position);
  return id == -1 ? kSkipRow : resolve_index(id, bag.rows, arguments.policy);
}

enum class BagMode { kSum, kWeightedSum, kExtreme };

// N columns of a chunk, or of the chunks so far. MIN is the MAX of the negated values.
template <BagMode MODE, int N>
struct BagState {
  float values[N];
  float weight = 0.0f;
  int64_t counted = 0;
  int64_t first_bad = -1;  // position, -1: none

  __device__ BagState() {
#pragma unroll
    for (int i = 0; i < N; ++i) {
      values[i] = MODE == BagMode::kExtreme ? -INFINITY : 0.0f;
    }
  }

  static __device__ float larger(float a, float b) {
    return b > a || b != b ? b : a;
  }

  // Adds one value at its position; `sign` has the sign bit set for MIN.
  __device__ void take(int i, float value, float weight_of_row, unsigned int sign) {
    if constexpr (MODE == BagMode::kWeightedSum) {
      values[i] = __fmaf_rn(weight_of_row, value, values[i]);
    } else if constexpr (MODE == BagMode::kSum) {
      values[i] = __fadd_rn(values[i], value);
    } else {
      values[i] = larger(values[i], __uint_as_float(__float_as_uint(value) ^ sign));
    }
  }

  // Adds the result of the next chunk.
  __device__ void merge(int i, float chunk) {
    values[i] = MODE == BagMode::kExtreme ? larger(values[i], chunk) : __fadd_rn(values[i], chunk);
  }

  __device__ void merge_counts(float chunk_weight, int64_t chunk_counted, int64_t chunk_bad) {
    weight = __fadd_rn(weight, chunk_weight);
    counted += chunk_counted;
    if (first_bad < 0) {
      first_bad = chunk_bad;
    }
  }
};

// Combines the positions [begin, end) of one chunk, in order. `column` is this thread's packet of row 0. All
// ids of a batch are read first, then all rows, so that kRows rows are on their way at once: as many as
// registers allow.
template <typename Element, int N, BagMode MODE, int TABLES>
__device__ BagState<MODE, N> combine_chunk(const EmbeddingBagArguments<TABLES>& arguments, const Bag& bag,
                                           const char* column, int64_t begin, int64_t end) {
  constexpr int kRows = N == 8 ? 4 : 8;
  BagState<MODE, N> state;
  const unsigned int sign = arguments.combine == QUERN_COMBINE_MIN ? 0x80000000u : 0u;
#pragma unroll 1
  for (int64_t first = begin; first < end; first += kRows) {
    int64_t rows[kRows];
    float weights[kRows];
#pragma unroll
    for (int u = 0; u < kRows; ++u) {
      rows[u] = kSkipRow;
      weights[u] = 0.0f;
      if (first + u < end) {
        rows[u] = row_at(arguments, bag, first + u);
        if constexpr (MODE == BagMode::kWeightedSum) {
          weights[u] = __ldg(arguments.weights + first + u);
        }
      }
    }
    Packet<Element, N> packets[kRows];
#pragma unroll
    for (int u = 0; u < kRows; ++u) {
      packets[u] = rows[u] >= 0 ? Packet<Element, N>::load(column + rows[u] * bag.stride)
                                : Packet<Element, N>::zeros();
    }
#pragma unroll
    for (int u = 0; u < kRows; ++u) {
      if (rows[u] >= kZeroRow) {
        ++state.counted;
        if constexpr (MODE == BagMode::kWeightedSum) {
          state.weight = __fadd_rn(state.weight, weights[u]);
        }
#pragma unroll
        for (int i = 0; i < N; ++i) {
          state.take(i, packets[u].widened(i), weights[u], sign);
        }
      } else if (rows[u] == kBadRow && state.first_bad < 0) {
        state.first_bad = first + u;
      }
    }
  }
  return state;
}

template <int N, int TABLES>
__device__ void store_values(const EmbeddingBagArguments<TABLES>& arguments, int64_t s, int64_t packet,
                             const float (&values)[N]) {
  char* row = arguments.out + s * arguments.out_stride;
  if (arguments.out_dtype == QUERN_F32) {
    Packet<F32, N>::rounded(values).store(row + packet * Packet<F32, N>::kBytes);
  } else if (arguments.out_dtype == QUERN_F16) {
    Packet<F16, N>::rounded(values).store(row + packet * Packet<F16, N>::kBytes);
  } else {
    Packet<BF16, N>::rounded(values).store(row + packet * Packet<BF16, N>::kBytes);
  }
}

template <typename Element, int N>
__device__ void widen(const Packet<Element, N>& packet, float (&values)[N]) {
#pragma unroll
  for (int i = 0; i < N; ++i) {
    values[i] = packet.widened(i);
  }
}

// What a bag without a value of its own becomes: zeros, its fallback row, or what it was.
template <typename Element, int N, int TABLES>
__device__ void store_valueless(const EmbeddingBagArguments<TABLES>& arguments, BagOutcome outcome, int64_t s,
                                int64_t packet) {
  const bool empty = outcome == BagOutcome::kCombined;
  if (outcome == BagOutcome::kUntouched || (empty && arguments.empty == QUERN_EMPTY_KEEP)) {
    return;
  }
  float values[N] = {};
  if (empty && arguments.empty == QUERN_EMPTY_FALLBACK) {
    const char* row = arguments.fallback + s * arguments.fallback_stride;
    widen(Packet<Element, N>::load(row + packet * Packet<Element, N>::kBytes), values);
  }
  store_values(arguments, s, packet, values);
}

// Records the bag's first bad id; the bag becomes zeros then.
template <int TABLES>
__device__ void report_bad_id(const EmbeddingBagArguments<TABLES>& arguments, const Bag& bag,
                              int64_t position) {
  record_bad_data(arguments.errors, arguments.launch, QUERN_DATA_INDEX, position, id_at(arguments, position),
                  bag.rows);
}

// Divides where a mean is asked for, and stores.
template <typename Element, BagMode MODE, int N, int TABLES>
__device__ void finish_bag(const EmbeddingBagArguments<TABLES>& arguments, const Bag& bag, int64_t s,
                           int64_t packet, BagState<MODE, N>& state, bool report) {
  if (state.first_bad >= 0 && report) {
    report_bad_id(arguments, bag, state.first_bad);
  }
  if (state.first_bad >= 0 || state.counted == 0) {
    store_valueless<Element, N>(arguments, state.first_bad >= 0 ? BagOutcome::kZeros : bag.outcome, s,
                                packet);
    return;
  }
  if constexpr (MODE == BagMode::kExtreme) {
    const unsigned int sign = arguments.combine == QUERN_COMBINE_MIN ? 0x80000000u : 0u;
#pragma unroll
    for (int i = 0; i < N; ++i) {
      const float value = __uint_as_float(__float_as_uint(state.values[i]) ^ sign);
      state.values[i] = value == 0.0f ? 0.0f : value;
    }
  } else if (arguments.combine != QUERN_COMBINE_SUM) {
    const float divisor =
        arguments.combine == QUERN_COMBINE_MEAN ? __ll2float_rn(state.counted) : state.weight;
#pragma unroll
    for (int i = 0; i < N; ++i) {
      state.values[i] = __fdiv_rn(state.values[i], divisor);
    }
  }
  store_values(arguments, s, packet, state.values);
}

// A group of 2^group_shift lanes works on a bag, one packet of columns a lane; wider rows are cut into slices
// of 32 packets, which are neighbouring blocks (grid x).
template <typename Element, int N, BagMode MODE, int TABLES>
__global__ void __launch_bounds__(kBagThreads, 2)
    embedding_bag_kernel(const __grid_constant__ EmbeddingBagArguments<TABLES> arguments) {
  const int64_t lane = threadIdx.x & ((1u << arguments.group_shift) - 1);
  const int64_t group = threadIdx.x >> arguments.group_shift;
  const int64_t packet = (static_cast<int64_t>(blockIdx.x) << arguments.group_shift) + lane;
  if (packet >= arguments.packets) {
    return;
  }
  const bool report = packet == 0;
  const int64_t step = gridDim.y * arguments.block_bags;
  for (int64_t s = blockIdx.y * arguments.block_bags + group; s < arguments.bags; s += step) {
    const Bag bag = open_bag(arguments, s, report);
    const char* column = bag.table + packet * Packet<Element, N>::kBytes;
    BagState<MODE, N> state;
    for (int64_t begin = bag.begin; begin < bag.end; begin += kBagChunk) {
      const BagState<MODE, N> chunk =
          combine_chunk<Element, N, MODE>(arguments, bag, column, begin, min(begin + kBagChunk, bag.end));
#pragma unroll
      for (int i = 0; i < N; ++i) {
        state.merge(i, chunk.values[i]);
      }
      state.merge_counts(chunk.weight, chunk.counted, chunk.first_bad);
    }
    finish_bag<Element>(arguments, bag, s, packet, state, report);
  }
}

// A whole block works on a bag: its groups take one chunk each, and after every round the chunks' results are
// added in ascending order, a column a thread. For bags that are too few to fill the device and too long for
// one group.
template <typename Element, int N, BagMode MODE, int TABLES>
__global__ void __launch_bounds__(kLongBagThreads, 1)
    embedding_long_bag_kernel(const __grid_constant__ EmbeddingBagArguments<TABLES> arguments) {
  QUERN_SHARED(float[kLongBagThreads * N], chunk_values);  // [group][column of the slice]
  QUERN_SHARED(float[kLongBagThreads], chunk_weight);
  QUERN_SHARED(int[kLongBagThreads], chunk_counted);
  QUERN_SHARED(int64_t[kLongBagThreads], chunk_bad);
  const int thread = static_cast<int>(threadIdx.x);
  const int lane = thread & ((1 << arguments.group_shift) - 1);
  const int group = thread >> arguments.group_shift;
  const int groups = kLongBagThreads >> arguments.group_shift;
  const int columns = N << arguments.group_shift;
  const int64_t first_packet = static_cast<int64_t>(blockIdx.x) << arguments.group_shift;
  const bool loads = first_packet + lane < arguments.packets;
  const int64_t column = first_packet * N + thread;  // the one this thread adds up and stores
  const bool adds = thread < columns && column < arguments.packets * N;
  for (int64_t s = blockIdx.y; s < arguments.bags; s += gridDim.y) {
    const Bag bag = open_bag(arguments, s, column == 0);
    const char* address = bag.table + (first_packet + lane) * Packet<Element, N>::kBytes;
    const int64_t chunks = (bag.end - bag.begin + kBagChunk - 1) / kBagChunk;
    BagState<MODE, 1> state;
    for (int64_t round = 0; round < chunks; round += groups) {
      const int64_t begin = bag.begin + (round + group) * kBagChunk;
      if (loads && begin < bag.end) {
        const BagState<MODE, N> chunk =
            combine_chunk<Element, N, MODE>(arguments, bag, address, begin, min(begin + kBagChunk, bag.end));
#pragma unroll
        for (int i = 0; i < N; ++i) {
          chunk_values[group * columns + lane * N + i] = chunk.values[i];
        }
        if (lane == 0) {
          chunk_weight[group] = chunk.weight;
          chunk_counted[group] = static_cast<int>(chunk.counted);
          chunk_bad[group] = chunk.first_bad;
        }
      }
      __syncthreads();
      if (adds) {
        const int combined = static_cast<int>(min(static_cast<int64_t>(groups), chunks - round));
        for (int g = 0; g < combined; ++g) {
          state.merge(0, chunk_values[g * columns + thread]);
          state.merge_counts(chunk_weight[g], chunk_counted[g], chunk_bad[g]);
        }
      }
      __syncthreads();
    }
    if (adds) {
      finish_bag<Element>(arguments, bag, s, column, state, column == 0);
    }
  }
}

// FIRST and LAST: the lanes of a group look at one position each until a counted one is found, then copy its
// row. Under FAIL every position is looked at.
template <typename Element, int N, int TABLES>
__global__ void __launch_bounds__(kBagThreads, 4)
    embedding_bag_pick_kernel(const __grid_constant__ EmbeddingBagArguments<TABLES> arguments) {
  const int size = 1 << arguments.group_shift;
  const int lane = threadIdx.x & (size - 1);
  const int shift = static_cast<int>(threadIdx.x & 31) - lane;  // where the group begins in its warp
  const unsigned int group_mask = (0xffffffffu >> (32 - size)) << shift;
  const int64_t group = threadIdx.x >> arguments.group_shift;
  const int64_t packet = (static_cast<int64_t>(blockIdx.x) << arguments.group_shift) + lane;
  const bool first = arguments.combine == QUERN_COMBINE_FIRST;
  const int64_t step = gridDim.y * arguments.block_bags;
  for (int64_t s = blockIdx.y * arguments.block_bags + group; s < arguments.bags; s += step) {
    const Bag bag = open_bag(arguments, s, packet == 0);
    int64_t picked = -1;
    int64_t first_bad = -1;
    for (int64_t step = 0; step < bag.end - bag.begin; step += size) {
      // FIRST walks up from the bag's beginning, LAST down from its end; lane 0 is always the nearest.
      const int64_t nearest = first ? bag.begin + step : bag.end - 1 - step;
      const int64_t position = first ? nearest + lane : nearest - lane;
      const int64_t row =
          position >= bag.begin && position < bag.end ? row_at(arguments, bag, position) : kSkipRow;
      const unsigned int counted = __ballot_sync(group_mask, row >= kZeroRow) >> shift;
      const unsigned int bad = __ballot_sync(group_mask, row == kBadRow) >> shift;
      if (picked < 0 && counted != 0) {
        const int distance = __ffs(static_cast<int>(counted)) - 1;
        picked = first ? nearest + distance : nearest - distance;
      }
      if (bad != 0 && first && first_bad < 0) {
        first_bad = nearest + __ffs(static_cast<int>(bad)) - 1;
      } else if (bad != 0 && !first) {
        first_bad = nearest - (31 - __clz(static_cast<int>(bad)));
      }
      if (picked >= 0 && arguments.policy != QUERN_INDEX_FAIL) {
        break;
      }
    }
    if (first_bad >= 0 && packet == 0) {
      report_bad_id(arguments, bag, first_bad);
    }
    if (packet >= arguments.packets) {
      continue;
    }
    const int64_t row = picked < 0 || first_bad >= 0 ? kZeroRow : row_at(arguments, bag, picked);
    if (row >= 0) {
      float values[N];
      const char* source = bag.table + row * bag.stride;
      widen(Packet<Element, N>::load(source + packet * Packet<Element, N>::kBytes), values);
      store_values(arguments, s, packet, values);
    } else {
      store_valueless<Element, N>(arguments, picked < 0 && first_bad < 0 ? bag.outcome : BagOutcome::kZeros,
                                  s, packet);
    }
  }
}

}  // namespace quern

#endif  // QUERN_GATHER_EMBEDDING_BAG_KERNEL_CUH_
