// embedding_gather: rows by id, copied or converted. Contract: quern/gather.h.
#ifndef QUERN_GATHER_EMBEDDING_GATHER_KERNEL_CUH_
#define QUERN_GATHER_EMBEDDING_GATHER_KERNEL_CUH_

#include "core/error_record.cuh"
#include "core/index_policy.cuh"
#include "core/vector.cuh"
#include "quern/gather.h"

namespace quern {

constexpr int kGatherThreads = 256;
constexpr int kGatherRows = 4;  // rows that one thread has in flight

// Strides in bytes. Offsets are 64-bit throughout: tables and outputs may exceed 2^31 elements.
template <int TABLES>
struct EmbeddingGatherArguments {
  const void* ids;
  const int32_t* table_ids;  // unused with one table
  char* out;
  quern_error_record* errors;
  int64_t count;
  int64_t block_rows;  // that a block takes in one step
  int64_t packets;     // per row
  int64_t out_stride;
  int64_t launch;
  int32_t table_count;
  int32_t policy;
  int32_t wide_ids;     // 1: I64
  int32_t group_shift;  // 2^group_shift lanes share a row
  struct {
    const char* data;
    int64_t rows;
    int64_t stride;
  } tables[TABLES];
};

// The table row that row `row` of the result is copied from, or one of resolve_index's codes; *source is its
// address, null for zeros. REPORT: a bad one is recorded.
template <bool REPORT, int TABLES>
__device__ int64_t find_row(const EmbeddingGatherArguments<TABLES>& arguments, int64_t row,
                            const char** source) {
  *source = nullptr;
  const int64_t id = load_index(arguments.ids, arguments.wide_ids, row);
  if (id == -1) {
    return kZeroRow;
  }
  int64_t table = 0;
  if constexpr (TABLES > 1) {
    const int32_t table_id = __ldg(arguments.table_ids + row);
    table = resolve_index(table_id, arguments.table_count, arguments.policy);
    if (table < 0) {
      if (REPORT && table == kBadRow) {
        record_bad_data(arguments.errors, arguments.launch, QUERN_DATA_TABLE_ID, row, table_id,
                        arguments.table_count);
      }
      return table;
    }
  }
  const int64_t rows = arguments.tables[table].rows;
  const int64_t found = resolve_index(id, rows, arguments.policy);
  if (found >= 0) {
    *source = arguments.tables[table].data + found * arguments.tables[table].stride;
  } else if (REPORT && found == kBadRow) {
    record_bad_data(arguments.errors, arguments.launch, QUERN_DATA_INDEX, row, id, rows);
  }
  return found;
}

// A group of 2^group_shift lanes shares a row, one packet a lane; wider rows are cut into slices of 32
// packets, which are neighbouring blocks (grid x), so that a row's pieces are read close together. A thread
// has kGatherRows rows in flight: all ids first, then all loads, then all stores.
template <typename In, typename Out, int N, int TABLES>
__global__ void __launch_bounds__(kGatherThreads, 4)
    embedding_gather_kernel(const __grid_constant__ EmbeddingGatherArguments<TABLES> arguments) {
  using InPacket = Packet<In, N>;
  using OutPacket = Packet<Out, N>;
  const int64_t lane = threadIdx.x & ((1u << arguments.group_shift) - 1);
  const int64_t group = threadIdx.x >> arguments.group_shift;
  const int64_t groups = kGatherThreads >> arguments.group_shift;
  const int64_t packet = (static_cast<int64_t>(blockIdx.x) << arguments.group_shift) + lane;
  if (packet >= arguments.packets) {
    return;
  }
  const int64_t step = gridDim.y * arguments.block_rows;
  for (int64_t first = blockIdx.y * arguments.block_rows + group; first < arguments.count; first += step) {
    const char* source[kGatherRows];
    bool written[kGatherRows];
    bool bad = false;
#pragma unroll
    for (int k = 0; k < kGatherRows; ++k) {
      const int64_t row = first + k * groups;
      source[k] = nullptr;
      written[k] = false;
      if (row < arguments.count) {
        const int64_t found = find_row<false>(arguments, row, &source[k]);
        written[k] = found != kSkipRow;
        bad |= found == kBadRow;
      }
    }
    InPacket packets[kGatherRows];
#pragma unroll
    for (int k = 0; k < kGatherRows; ++k) {
      packets[k] =
          source[k] != nullptr ? InPacket::load(source[k] + packet * InPacket::kBytes) : InPacket::zeros();
    }
#pragma unroll
    for (int k = 0; k < kGatherRows; ++k) {
      if (written[k]) {
        char* target =
            arguments.out + (first + k * groups) * arguments.out_stride + packet * OutPacket::kBytes;
        if constexpr (std::is_same_v<In, Out>) {
          packets[k].store(target);
        } else {
          float values[N];
#pragma unroll
          for (int i = 0; i < N; ++i) {
            values[i] = packets[k].widened(i);
          }
          OutPacket::rounded(values).store(target);
        }
      }
    }
    if (bad && packet == 0) {
#pragma unroll 1
      for (int64_t row = first; row < min(first + kGatherRows * groups, arguments.count); row += groups) {
        const char* unused;
        find_row<true>(arguments, row, &unused);
      }
    }
  }
}

}  // namespace quern

#endif  // QUERN_GATHER_EMBEDDING_GATHER_KERNEL_CUH_
