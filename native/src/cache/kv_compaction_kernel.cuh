// kv_compaction: accepted rows moved down to the committed ones. Contract: quern/cache.h.
#ifndef QUERN_CACHE_KV_COMPACTION_KERNEL_CUH_
#define QUERN_CACHE_KV_COMPACTION_KERNEL_CUH_

#include "core/index_policy.cuh"
#include "quern/cache.h"

namespace quern {

constexpr int kCompactionThreads = 256;
constexpr int kCompactionRows = 4;  // rows that one thread has in flight

// Strides in bytes but for slot_stride.
struct KvCompactionArguments {
  const int32_t* path;
  const int32_t* counts;
  const int32_t* lengths;
  const void* slots;
  const int32_t* offsets;
  const int32_t* table_rows;
  int32_t* new_lengths;
  int32_t* status;
  void* freed;
  int32_t* freed_counts;
  uint8_t* evicted;
  int64_t requests;
  int64_t width;
  int64_t nodes;
  int64_t outer;
  int64_t heads;
  int64_t rows;
  int64_t row_stride;
  int64_t packets;  // per row
  int64_t columns;  // packets of a row in all caches and heads
  int64_t slot_rows;
  int64_t slot_columns;
  int64_t slot_stride;
  int64_t page;
  int32_t addressing;
  int32_t wide_slots;  // 1: I64
  char* caches[QUERN_MAX_CACHES];
};

// What a request's nodes are, once its offsets, length and row of slots are known to be good.
struct CompactedRequest {
  const KvCompactionArguments& arguments;
  int64_t request;
  int64_t length;
  int64_t count;  // accepted nodes without the root
  int64_t first;  // of the nodes, or where they begin in slots
  int64_t nodes;

  __device__ int64_t node(int64_t j) const { return __ldg(arguments.path + request * arguments.width + j); }

  // The row of the cache that a node has.
  __device__ int64_t row(int64_t node) const {
    return arguments.addressing == QUERN_CACHE_CONTIGUOUS
               ? length + node
               : load_index(arguments.slots, arguments.wide_slots, first + node);
  }
};

// Where a request's nodes are, and whether they may be looked at: called by all threads of a block, which
// agree on the answer through *found, in shared memory; the lowest finding wins.
inline __device__ void examine(CompactedRequest* of, int32_t* found) {
  const KvCompactionArguments& arguments = of->arguments;
  const int64_t b = of->request;
  const bool paged = arguments.addressing != QUERN_CACHE_CONTIGUOUS;
  __syncthreads();  // the request before this one has been dealt with
  if (threadIdx.x == 0) {
    *found = INT32_MAX;
  }
  __syncthreads();
  of->length = __ldg(arguments.lengths + b);
  of->count = __ldg(arguments.counts + b);
  of->first = 0;
  of->nodes = INT32_MAX;
  if (of->length < 0 || (!paged && of->length > arguments.rows)) {
    atomicMin(found, QUERN_TREE_OFFSETS);
  }
  if (paged) {
    const int64_t start = __ldg(arguments.offsets + b);
    const int64_t end = __ldg(arguments.offsets + b + 1);
    if (start < 0 || end < start || end > arguments.nodes) {
      atomicMin(found, QUERN_TREE_OFFSETS);
    }
    for (int64_t e = threadIdx.x; e < b; e += kCompactionThreads) {
      if (__ldg(arguments.offsets + e) > start) {
        atomicMin(found, QUERN_TREE_OFFSETS);
      }
    }
    of->first = start;
    of->nodes = end - start;
    if (arguments.addressing == QUERN_CACHE_TABLE) {
      const int64_t row = arguments.table_rows == nullptr ? b : __ldg(arguments.table_rows + b);
      if (row < 0 || row >= arguments.slot_rows) {
        atomicMin(found, QUERN_TREE_OFFSETS);
      }
      if (of->length + of->nodes > arguments.slot_columns) {
        atomicMin(found, QUERN_TREE_CAPACITY);
      }
      of->first = row * arguments.slot_stride + of->length;
    }
  }
  if (arguments.width == 0 || of->node(0) == -1) {
    atomicMin(found, QUERN_TREE_EMPTY);
  }
  if (of->count < 0 || of->count >= arguments.width) {
    atomicMin(found, QUERN_TREE_LINK);
    of->count = min(max(of->count, int64_t{0}), arguments.width - 1);
  }
  if (of->length + of->count + 1 > INT32_MAX) {
    atomicMin(found, QUERN_TREE_CAPACITY);
  }
  for (int64_t j = threadIdx.x; j <= of->count; j += kCompactionThreads) {
    const int64_t node = of->node(j);
    if (node < 0 || node >= of->nodes) {
      atomicMin(found, QUERN_TREE_LINK);
    } else if (!paged && of->length + node >= arguments.rows) {
      atomicMin(found, QUERN_TREE_CAPACITY);
    }
    if (j > 0 && node <= of->node(j - 1)) {
      atomicMin(found, QUERN_TREE_PARENT);
    }
  }
  __syncthreads();
  if (paged && *found == INT32_MAX) {
    __syncthreads();  // everybody has read it
    for (int64_t j = threadIdx.x; j <= of->count; j += kCompactionThreads) {
      const int64_t source = of->row(of->node(j));
      const int64_t target = of->row(j);
      if (source < 0 || source >= arguments.rows || target < 0 || target >= arguments.rows) {
        atomicMin(found, QUERN_TREE_CAPACITY);
      }
    }
  }
  __syncthreads();
}

inline __device__ void store_slot(const KvCompactionArguments& arguments, int64_t i, int64_t slot) {
  if (arguments.wide_slots) {
    static_cast<int64_t*>(arguments.freed)[i] = slot;
  } else {
    static_cast<int32_t*>(arguments.freed)[i] = static_cast<int32_t>(slot);
  }
}

// Whether a node is on the accepted path, which ascends.
inline __device__ bool is_accepted(const CompactedRequest& of, int64_t node) {
  int64_t low = 0;
  int64_t high = min(of.count, node) + 1;
  while (low < high) {
    const int64_t middle = (low + high) / 2;
    if (of.node(middle) < node) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low <= of.count && of.node(low) == node;
}

// Everything but the caches; by one block of the request's.
inline __device__ void write_outcome(const CompactedRequest& of, int32_t found) {
  const KvCompactionArguments& arguments = of.arguments;
  const bool good = found == INT32_MAX;
  const int64_t end = of.length + of.count + 1;
  if (threadIdx.x == 0) {
    arguments.status[of.request] = good ? QUERN_TREE_OK : found;
    arguments.new_lengths[of.request] = static_cast<int32_t>(good ? end : of.length);
  }
  int64_t free = 0;
  if (good && arguments.freed != nullptr) {
    const int64_t pages = (end + arguments.page - 1) / arguments.page;
    free = of.length + of.nodes - min(pages * arguments.page, of.length + of.nodes);
  }
  if (arguments.freed != nullptr && threadIdx.x == 0) {
    arguments.freed_counts[of.request] = static_cast<int32_t>(free);
  }
  if (found == QUERN_TREE_OFFSETS || arguments.offsets == nullptr) {
    return;
  }
  const int64_t node_0 = __ldg(arguments.offsets + of.request);
  const int64_t kept_from = (end - 1) / arguments.page * arguments.page - of.length;
  for (int64_t i = threadIdx.x; i < of.nodes; i += kCompactionThreads) {
    if (arguments.freed != nullptr) {
      store_slot(arguments, node_0 + i, i < free ? of.row(of.nodes - free + i) : -1);
    }
    if (arguments.evicted != nullptr) {
      const bool kept = i >= kept_from && i < kept_from + arguments.page;
      arguments.evicted[node_0 + i] = good && !kept && !is_accepted(of, i);
    }
  }
}

// A thread moves its own packet of every row, so that no thread reads what another one writes; of its rows it
// reads before it writes, and a row is never written before it is read, because paths ascend. Blocks along x
// share a request's columns; those along y share the requests.
template <typename Packet>
__global__ void __launch_bounds__(kCompactionThreads, 4)
    kv_compaction_kernel(const __grid_constant__ KvCompactionArguments arguments) {
  QUERN_SHARED(int32_t[1], found);
  const int64_t column = static_cast<int64_t>(blockIdx.x) * kCompactionThreads + threadIdx.x;
  for (int64_t b = blockIdx.y; b < arguments.requests; b += gridDim.y) {
    CompactedRequest of{arguments, b, 0, 0, 0, 0};
    examine(&of, found);
    if (blockIdx.x == 0) {
      write_outcome(of, found[0]);
    }
    if (found[0] != INT32_MAX || column >= arguments.columns) {
      continue;
    }
    // Remainders by 64-bit products: those of the compiler go by 32 bits where they can, which the check of
    // addresses cannot tell from an overflow.
    const int64_t row_of_heads = column / arguments.packets;
    const int64_t packet = column - row_of_heads * arguments.packets;
    const int64_t plane = row_of_heads / arguments.heads;  // of all caches
    const int64_t head = row_of_heads - plane * arguments.heads;
    const int64_t cache = plane / arguments.outer;
    const int64_t outer = plane - cache * arguments.outer;
    const int64_t part = arguments.addressing == QUERN_CACHE_CONTIGUOUS
                             ? (outer * arguments.requests + b) * arguments.heads + head
                             : outer;
    char* const base = arguments.caches[cache] + part * arguments.rows * arguments.row_stride +
                       packet * static_cast<int64_t>(sizeof(Packet));
    for (int64_t j = 0; j <= of.count; j += kCompactionRows) {
      Packet packets[kCompactionRows];
#pragma unroll
      for (int k = 0; k < kCompactionRows; ++k) {
        if (j + k <= of.count) {
          packets[k] =
              __ldcg(reinterpret_cast<const Packet*>(base + of.row(of.node(j + k)) * arguments.row_stride));
        }
      }
#pragma unroll
      for (int k = 0; k < kCompactionRows; ++k) {
        if (j + k <= of.count) {
          *reinterpret_cast<Packet*>(base + of.row(j + k) * arguments.row_stride) = packets[k];
        }
      }
    }
  }
}

}  // namespace quern

#endif  // QUERN_CACHE_KV_COMPACTION_KERNEL_CUH_
