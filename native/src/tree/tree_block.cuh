// A block's view of one request's tree: its nodes among the batch's, and a table in shared memory from which
// every projection of the parents is read.
#ifndef QUERN_TREE_TREE_BLOCK_CUH_
#define QUERN_TREE_TREE_BLOCK_CUH_

#include "core/index_policy.cuh"
#include "core/launch.cuh"
#include "quern/tree.h"

namespace quern {

constexpr int kMostTreeThreads = 256;
constexpr int kWarpSize = 32;
constexpr int kWordBits = 32;  // nodes of a word of ancestors

// Nodes of a tree whose table fits into the shared memory that every device gives without being asked; larger
// trees are walked in global memory.
constexpr int kTableNodes = 2048;
constexpr int kTableArrays = 5;

// What a launch reserves: no request has more nodes than there are.
inline size_t tree_table_bytes(int64_t nodes) {
  const int64_t fit = nodes < kTableNodes ? nodes : kTableNodes;
  return static_cast<size_t>(fit) * kTableArrays * sizeof(int32_t);
}

// The nodes of a request: rows [first, first + count) of the batch.
struct RequestNodes {
  int64_t first = 0;
  int32_t count = 0;
  int32_t status = QUERN_TREE_OK;
};

// Whether the offsets around request b may be used. All threads of the block call it.
inline __device__ RequestNodes open_request(const int32_t* offsets, int64_t b, int64_t nodes) {
  const int32_t begin = __ldg(offsets + b);
  const int32_t end = __ldg(offsets + b + 1);
  bool above = false;
  for (int64_t a = threadIdx.x; a < b; a += blockDim.x) {
    above = above || __ldg(offsets + a) > begin;
  }
  RequestNodes request;
  if (__syncthreads_or(above) || begin < 0 || end < begin || end > nodes) {
    request.status = QUERN_TREE_OFFSETS;
  } else {
    request.first = begin;
    request.count = end - begin;
  }
  return request;
}

inline __device__ int64_t load_prefix(const void* prefix, int32_t dtype, int64_t b) {
  return prefix == nullptr ? 0 : load_index(prefix, dtype == QUERN_I64, b);
}

// The sum of one value per thread, in every thread.
inline __device__ int block_sum(int value) {
  QUERN_SHARED(int[kMostTreeThreads / kWarpSize], partial);
  const int warp = static_cast<int>(threadIdx.x) / kWarpSize;
  const int sum = __reduce_add_sync(0xffffffffu, value);
  __syncthreads();  // what the call before left may still be read
  if (threadIdx.x % kWarpSize == 0) {
    partial[warp] = sum;
  }
  __syncthreads();
  int total = 0;
  for (int w = 0; w < static_cast<int>(blockDim.x) / kWarpSize; ++w) {
    total += partial[w];
  }
  return total;
}

// How many threads below this one, and how many in all, have `holds`.
struct BlockRank {
  int below;
  int total;
};

inline __device__ BlockRank block_rank(bool holds) {
  QUERN_SHARED(int[kMostTreeThreads / kWarpSize], counts);
  const int warp = static_cast<int>(threadIdx.x) / kWarpSize;
  const int lane = static_cast<int>(threadIdx.x) % kWarpSize;
  const unsigned int ballot = __ballot_sync(0xffffffffu, holds);
  __syncthreads();  // what the call before left may still be read
  if (lane == 0) {
    counts[warp] = __popc(ballot);
  }
  __syncthreads();
  BlockRank rank = {__popc(ballot & ((1u << lane) - 1)), 0};
  for (int w = 0; w < static_cast<int>(blockDim.x) / kWarpSize; ++w) {
    rank.below += w < warp ? counts[w] : 0;
    rank.total += counts[w];
  }
  return rank;
}

// The tree of one request. A node's ancestors are a falling sequence of ids, cut into words of 32: `own` has
// those of the node's own word, itself included, and `up` is the first one below that word. So a row of n
// bits is read in n / 32 steps, however deep the tree.
struct TreeBlock {
  int32_t* parent;  // in shared memory, or in global memory where the tree is too large for the table
  int32_t count;
  // Null where the tree is too large.
  int32_t* up = nullptr;
  uint32_t* own = nullptr;
  int32_t* first = nullptr;  // lowest child; count: none
  int32_t* last = nullptr;   // highest child

  // `large` is where the parents of a tree that is too large are.
  static __device__ TreeBlock of(int32_t count, int32_t* large) {
    TreeBlock tree;
    tree.count = count;
    tree.parent = large;
    if (count <= kTableNodes) {
      int32_t* table = dynamic_shared<int32_t>();
      tree.parent = table;
      tree.up = table + count;
      tree.own = reinterpret_cast<uint32_t*>(table + 2 * count);
      tree.first = table + 3 * count;
      tree.last = table + 4 * count;
    }
    return tree;
  }

  // Checks the parents, which must be in place, and completes the table. All threads of the block call it.
  __device__ int32_t build() const {
    bool bad_root = false;
    bool bad_parent = false;
    for (int i = static_cast<int>(threadIdx.x); i < count; i += static_cast<int>(blockDim.x)) {
      const int32_t p = parent[i];
      bad_root = bad_root || (i == 0 && p != -1);
      bad_parent = bad_parent || (i > 0 && (p < 0 || p >= i));
      if (first != nullptr) {
        first[i] = count;
        last[i] = -1;
      }
    }
    bad_root = __syncthreads_or(bad_root) != 0;
    bad_parent = __syncthreads_or(bad_parent) != 0;
    if (bad_root || bad_parent) {
      return bad_root ? QUERN_TREE_ROOT : QUERN_TREE_PARENT;
    }
    if (first != nullptr) {
      for (int i = static_cast<int>(threadIdx.x); i < count; i += static_cast<int>(blockDim.x)) {
        uint32_t bits = 0;
        int a = i;
        do {
          bits |= 1u << (a % kWordBits);
          a = parent[a];
        } while (a >= 0 && a / kWordBits == i / kWordBits);
        own[i] = bits;
        up[i] = a;
        if (i > 0) {
          atomicMin(first + parent[i], i);
          atomicMax(last + parent[i], i);
        }
      }
    }
    __syncthreads();
    return QUERN_TREE_OK;
  }

  // The ancestors of node i, itself included, among nodes [32 w, 32 w + 32).
  __device__ uint32_t word(int i, int w) const {
    int a = i;
    if (own != nullptr) {
      while (a >= 0 && a / kWordBits > w) {
        a = up[a];
      }
      return a >= 0 && a / kWordBits == w ? own[a] : 0;
    }
    uint32_t bits = 0;
    for (; a >= 0 && a / kWordBits >= w; a = parent[a]) {
      bits |= a / kWordBits == w ? 1u << (a % kWordBits) : 0;
    }
    return bits;
  }

  __device__ int32_t depth(int i) const {
    int32_t depth = -1;
    if (own != nullptr) {
      for (int a = i; a >= 0; a = up[a]) {
        depth += __popc(own[a]);
      }
    } else {
      for (int a = i; a >= 0; a = parent[a]) {
        ++depth;
      }
    }
    return depth;
  }

  __device__ int32_t first_child(int i) const {
    if (first != nullptr) {
      return first[i] < count ? first[i] : -1;
    }
    return next_with_parent(i + 1, i, count - 1);
  }

  __device__ int32_t next_sibling(int i) const {
    const int32_t p = parent[i];
    return p < 0 ? -1 : next_with_parent(i + 1, p, last != nullptr ? last[p] : count - 1);
  }

 private:
  __device__ int32_t next_with_parent(int from, int32_t p, int32_t end) const {
    for (int j = from; j <= end; ++j) {
      if (parent[j] == p) {
        return j;
      }
    }
    return -1;
  }
};

// Bytes [at, at + 4) of node i's row of bits, those beyond the tree 0.
inline __device__ uint32_t bits_of_row(const TreeBlock& tree, bool good, int i, int64_t at) {
  return good && at * 8 <= i ? tree.word(i, static_cast<int>(at / 4)) : 0;
}

// Writes the rows of bits of all nodes, those of a bad request as 0. Rows are shared among groups of lanes,
// four bytes a lane where rows are aligned so far, else one.
inline __device__ void write_bits(const TreeBlock& tree, bool good, char* bits, int64_t row_bytes,
                                  int64_t stride) {
  const bool words = (row_bytes | stride | static_cast<int64_t>(reinterpret_cast<uintptr_t>(bits))) % 4 == 0;
  const int64_t unit = words ? 4 : 1;
  int lanes = 1;
  while (lanes < kWarpSize && lanes * unit < row_bytes) {
    lanes *= 2;
  }
  const int lane = static_cast<int>(threadIdx.x) % lanes;
  const int group = static_cast<int>(threadIdx.x) / lanes;
  const int groups = static_cast<int>(blockDim.x) / lanes;
  for (int i = group; i < tree.count; i += groups) {
    char* row = bits + static_cast<int64_t>(i) * stride;
    for (int64_t at = lane * unit; at < row_bytes; at += lanes * unit) {
      const uint32_t word = bits_of_row(tree, good, i, at / 4 * 4);
      if (words) {
        *reinterpret_cast<uint32_t*>(row + at) = word;
      } else {
        row[at] = static_cast<char>(word >> (at % 4 * 8));
      }
    }
  }
}

}  // namespace quern

#endif  // QUERN_TREE_TREE_BLOCK_CUH_
