// scatter_rows: rows to places named by ids. Contract: quern/gather.h.
//
// Three launches: the table of destinations is cleared, every row enters its destination, rows are moved. The
// table is open-addressed and grows with the rows, not with the destinations. Where an entry lies depends on
// the order of threads; what it holds in the end (the first and last row of a destination) does not.
#ifndef QUERN_GATHER_SCATTER_ROWS_KERNEL_CUH_
#define QUERN_GATHER_SCATTER_ROWS_KERNEL_CUH_

#include "core/error_record.cuh"
#include "core/index_policy.cuh"
#include "core/vector.cuh"
#include "quern/gather.h"

namespace quern {

constexpr int kScatterThreads = 256;
constexpr int kReduceThreads = 128;
constexpr int kReduceWarps = kReduceThreads / 32;
constexpr int64_t kChunk = 64;  // of a destination's rows, which are added in order before chunks are

// A destination in the table.
struct Destination {
  int32_t claimed_by;  // a row of this destination; -1: the entry is free
  int32_t first;       // row
  int32_t last;
};

// Strides in bytes.
struct ScatterRowsArguments {
  const char* x;
  const void* ids;
  char* out;
  quern_error_record* errors;
  Destination* table;
  int32_t* entries;  // by row: where its destination is in the table; -1: the row is dropped
  int64_t capacity;  // of the table, a power of two
  int64_t count;
  int64_t rows;
  int64_t packets;  // per row
  int64_t x_stride;
  int64_t out_stride;
  int64_t launch;
  int32_t policy;
  int32_t wide_ids;     // 1: I64
  int32_t maximum;      // 1: MAX, 0: ADD
  int32_t group_shift;  // SET: 2^group_shift lanes share a row
};

// The destination of a row, or a negative number if it is dropped.
inline __device__ int64_t destination_of(const ScatterRowsArguments& arguments, int64_t row) {
  const int64_t id = load_index(arguments.ids, arguments.wide_ids, row);
  return id == -1 ? kSkipRow : resolve_index(id, arguments.rows, arguments.policy);
}

static __global__ void __launch_bounds__(kScatterThreads)
    scatter_clear_kernel(const __grid_constant__ ScatterRowsArguments arguments) {
  const int64_t step = static_cast<int64_t>(gridDim.x) * kScatterThreads;
  for (int64_t e = static_cast<int64_t>(blockIdx.x) * kScatterThreads + threadIdx.x; e < arguments.capacity;
       e += step) {
    arguments.table[e] = {-1, INT32_MAX, -1};
  }
}

static __global__ void __launch_bounds__(kScatterThreads)
    scatter_enter_kernel(const __grid_constant__ ScatterRowsArguments arguments) {
  const int64_t step = static_cast<int64_t>(gridDim.x) * kScatterThreads;
  for (int64_t row = static_cast<int64_t>(blockIdx.x) * kScatterThreads + threadIdx.x; row < arguments.count;
       row += step) {
    const int64_t destination = destination_of(arguments, row);
    if (destination < 0) {
      arguments.entries[row] = -1;
      if (destination == kBadRow) {
        record_bad_data(arguments.errors, arguments.launch, QUERN_DATA_INDEX, row,
                        load_index(arguments.ids, arguments.wide_ids, row), arguments.rows);
      }
      continue;
    }
    const int32_t number = static_cast<int32_t>(row);
    // Fibonacci hashing: the product's upper half is well mixed.
    uint64_t e = (static_cast<uint64_t>(destination) * 0x9e3779b97f4a7c15u) >> 32;
    for (;; ++e) {  // ends: at least half of the entries stay free
      e &= static_cast<uint64_t>(arguments.capacity - 1);
      Destination* const entry = arguments.table + e;
      const int32_t owner = atomicCAS(&entry->claimed_by, -1, number);
      if (owner == -1 || destination_of(arguments, owner) == destination) {
        atomicMin(&entry->first, number);
        atomicMax(&entry->last, number);
        arguments.entries[row] = static_cast<int32_t>(e);
        break;
      }
    }
  }
}

// A group of 2^group_shift lanes shares a row, one packet a lane at a time; only a destination's last row is
// copied.
template <typename In, typename Out, int N>
__global__ void __launch_bounds__(kScatterThreads, 4)
    scatter_set_kernel(const __grid_constant__ ScatterRowsArguments arguments) {
  using InPacket = Packet<In, N>;
  using OutPacket = Packet<Out, N>;
  const int64_t lanes = int64_t{1} << arguments.group_shift;
  const int64_t lane = threadIdx.x & (lanes - 1);
  const int64_t groups = kScatterThreads >> arguments.group_shift;
  for (int64_t row = blockIdx.x * groups + (threadIdx.x >> arguments.group_shift); row < arguments.count;
       row += gridDim.x * groups) {
    const int32_t entry = __ldg(arguments.entries + row);
    if (entry < 0 || __ldg(&arguments.table[entry].last) != row) {
      continue;
    }
    const char* const source = arguments.x + row * arguments.x_stride;
    char* const target = arguments.out + destination_of(arguments, row) * arguments.out_stride;
    for (int64_t packet = lane; packet < arguments.packets; packet += lanes) {
      const InPacket loaded = InPacket::load(source + packet * InPacket::kBytes);
      if constexpr (std::is_same_v<In, Out>) {
        loaded.store(target + packet * OutPacket::kBytes);
      } else {
        float values[N];
#pragma unroll
        for (int i = 0; i < N; ++i) {
          values[i] = loaded.widened(i);
        }
        OutPacket::rounded(values).store(target + packet * OutPacket::kBytes);
      }
    }
  }
}

// NaN if either is.
inline __device__ float larger(float a, float b) {
  return a != a || a > b ? a : b;
}

// A block takes the destination whose first row it meets, looks through the rows up to the last one for the
// others, in ascending order, and adds a packet a thread. Blocks along x share a row's packets.
template <typename In, typename Out, int N>
__global__ void __launch_bounds__(kReduceThreads)
    scatter_reduce_kernel(const __grid_constant__ ScatterRowsArguments arguments) {
  using InPacket = Packet<In, N>;
  using OutPacket = Packet<Out, N>;
  QUERN_SHARED(int32_t[kReduceThreads], found);
  QUERN_SHARED(int32_t[kReduceWarps], in_warp);
  const int64_t packet = static_cast<int64_t>(blockIdx.x) * kReduceThreads + threadIdx.x;
  const bool works = packet < arguments.packets;
  const int warp = static_cast<int>(threadIdx.x) / 32;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  for (int64_t leader = blockIdx.y; leader < arguments.count; leader += gridDim.y) {
    const int32_t entry = __ldg(arguments.entries + leader);
    if (entry < 0 || __ldg(&arguments.table[entry].first) != leader) {
      continue;
    }
    const int64_t last = __ldg(&arguments.table[entry].last);
    char* const target =
        arguments.out + destination_of(arguments, leader) * arguments.out_stride + packet * OutPacket::kBytes;
    float old[N] = {};
    float total[N] = {};
    float partial[N] = {};
    if (works) {
      const OutPacket before = OutPacket::load(target);
#pragma unroll
      for (int i = 0; i < N; ++i) {
        old[i] = before.widened(i);
        total[i] = arguments.maximum ? old[i] : 0;
      }
    }
    int64_t added = 0;
    for (int64_t window = leader; window <= last; window += kReduceThreads) {
      const int64_t row = window + threadIdx.x;
      const bool hit = row <= last && __ldg(arguments.entries + row) == entry;
      const unsigned int hits = __ballot_sync(0xffffffffu, hit);
      if (lane == 0) {
        in_warp[warp] = __popc(hits);
      }
      __syncthreads();
      int before = 0;
      int all = 0;
#pragma unroll
      for (int w = 0; w < kReduceWarps; ++w) {
        before += w < warp ? in_warp[w] : 0;
        all += in_warp[w];
      }
      if (hit) {
        found[before + __popc(hits & ((1u << lane) - 1))] = static_cast<int32_t>(row);
      }
      __syncthreads();
      for (int f = 0; works && f < all; ++f) {
        const InPacket loaded =
            InPacket::load(arguments.x + found[f] * arguments.x_stride + packet * InPacket::kBytes);
#pragma unroll
        for (int i = 0; i < N; ++i) {
          if (arguments.maximum) {
            total[i] = larger(total[i], loaded.widened(i));
          } else {
            partial[i] = __fadd_rn(partial[i], loaded.widened(i));
          }
        }
        if (++added % kChunk == 0) {
#pragma unroll
          for (int i = 0; i < N; ++i) {
            total[i] = __fadd_rn(total[i], partial[i]);
            partial[i] = 0;
          }
        }
      }
      __syncthreads();  // found has been read
    }
    if (works) {
#pragma unroll
      for (int i = 0; i < N; ++i) {
        total[i] = __fadd_rn(total[i], added % kChunk == 0 ? 0.0f : partial[i]);
        if (!arguments.maximum) {
          total[i] = __fadd_rn(old[i], total[i]);
        }
      }
      OutPacket::rounded(total).store(target);
    }
  }
}

}  // namespace quern

#endif  // QUERN_GATHER_SCATTER_ROWS_KERNEL_CUH_
