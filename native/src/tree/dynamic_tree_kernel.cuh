// dynamic_tree: the tree of the best candidates of a pool. Contract: quern/tree.h.
#ifndef QUERN_TREE_DYNAMIC_TREE_KERNEL_CUH_
#define QUERN_TREE_DYNAMIC_TREE_KERNEL_CUH_

#include "tree/tree_outputs.cuh"

namespace quern {

struct DynamicTreeArguments {
  const float* scores;
  const void* selection;
  const void* parent_list;
  const void* prefix;
  void* selected;
  int64_t requests;
  int64_t pool;
  int64_t groups;
  int64_t top_k;
  int64_t score_stride;
  int32_t tree_nodes;
  int32_t prefix_dtype;
  int32_t wide;  // 1: indices are I64
  int32_t root;  // what parent_list says for the root; candidate f is root + 1 + f
  quern_tree_outputs out;
};

inline __device__ void store_index(void* indices, bool wide, int64_t i, int64_t value) {
  if (wide) {
    static_cast<int64_t*>(indices)[i] = value;
  } else {
    static_cast<int32_t*>(indices)[i] = static_cast<int32_t>(value);
  }
}

// A number that is higher for a higher score: NaN is 0, both zeros are one.
inline __device__ uint32_t score_key(float score) {
  if (score != score) {
    return 0;
  }
  const uint32_t bits = __float_as_uint(score == 0.0f ? 0.0f : score);
  return bits >> 31 ? ~bits : bits | 0x80000000u;
}

// Selects the `wanted` best of the pool, wanted > 0: the threshold key is found bit by bit, then the
// candidates above it and the first of those equal to it are listed in ascending order. False if NaN is among
// them.
template <typename Take>
__device__ bool select_best(const float* scores, int64_t pool, int wanted, Take take) {
  uint32_t threshold = 0;
  for (uint32_t bit = 0x80000000u; bit != 0; bit >>= 1) {
    int reach = 0;
    for (int64_t f = threadIdx.x; f < pool; f += blockDim.x) {
      reach += score_key(__ldg(scores + f)) >= (threshold | bit);
    }
    if (block_sum(reach) >= wanted) {
      threshold |= bit;
    }
  }
  int above = 0;
  for (int64_t f = threadIdx.x; f < pool; f += blockDim.x) {
    above += score_key(__ldg(scores + f)) > threshold;
  }
  int equals = wanted - block_sum(above);
  int before = 0;
  for (int64_t from = 0; from < pool; from += blockDim.x) {
    const int64_t f = from + threadIdx.x;
    const uint32_t key = f < pool ? score_key(__ldg(scores + f)) : 0;
    const BlockRank equal = block_rank(f < pool && key == threshold);
    const bool selected = f < pool && (key > threshold || (key == threshold && equal.below < equals));
    const BlockRank rank = block_rank(selected);
    if (selected) {
      take(before + rank.below, f);
    }
    before += rank.total;
    equals -= equal.total < equals ? equal.total : equals;
  }
  return threshold != 0;
}

// The position of candidate f in the ascending list of m, -1: it is not there.
template <typename List>
__device__ int find_candidate(const List& list, int m, int64_t f) {
  int low = 0;
  int high = m;
  while (low < high) {
    const int middle = low + (high - low) / 2;
    if (list(middle) < f) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low < m && list(low) == f ? low : -1;
}

// A block for each request. Until its links are needed, the table holds the candidates of nodes 1 and on;
// those of a tree too large for it are read where they were given or have been written.
__global__ void __launch_bounds__(kMostTreeThreads, 2)
    dynamic_tree_kernel(const __grid_constant__ DynamicTreeArguments arguments) {
  const int n = arguments.tree_nodes;
  const int m = n > 0 ? n - 1 : 0;
  for (int64_t b = blockIdx.x; b < arguments.requests; b += gridDim.x) {
    RequestNodes nodes;
    nodes.first = b * n;
    nodes.count = n;
    const TreeBlock tree = TreeBlock::of(n, arguments.out.parent + nodes.first);
    const int64_t listed = b * m;
    bool ascends = true;
    bool finite = true;
    if (arguments.scores != nullptr) {
      if (m > 0) {
        finite = select_best(arguments.scores + b * arguments.score_stride, arguments.pool, m,
                             [&](int i, int64_t f) {
                               if (tree.own != nullptr) {
                                 tree.last[i] = static_cast<int32_t>(f);
                               } else {
                                 store_index(arguments.selected, arguments.wide, listed + i, f);
                               }
                             });
      }
    } else {
      for (int i = static_cast<int>(threadIdx.x); i < m; i += static_cast<int>(blockDim.x)) {
        const int64_t f = load_index(arguments.selection, arguments.wide, listed + i);
        const int64_t before = i == 0 ? -1 : load_index(arguments.selection, arguments.wide, listed + i - 1);
        ascends = ascends && f > before && f < arguments.pool;
        if (tree.own != nullptr) {
          tree.last[i] = static_cast<int32_t>(f);
        }
      }
    }
    ascends = __syncthreads_and(ascends) != 0;
    const auto candidate = [&](int i) -> int64_t {
      if (tree.own != nullptr) {
        return tree.last[i];
      }
      if (arguments.scores == nullptr) {
        return load_index(arguments.selection, arguments.wide, listed + i);
      }
      return arguments.wide ? static_cast<const int64_t*>(arguments.selected)[listed + i]
                            : static_cast<const int32_t*>(arguments.selected)[listed + i];
    };
    bool orphan = false;
    for (int i = static_cast<int>(threadIdx.x); ascends && i < n; i += static_cast<int>(blockDim.x)) {
      int parent = i == 0 ? -1 : 0;
      if (i > 0) {
        const int64_t group = candidate(i - 1) / arguments.top_k;
        const bool listed_group = group < arguments.groups;
        int64_t f = -1;
        if (group > 0 && listed_group) {
          const int64_t entry =
              load_index(arguments.parent_list, arguments.wide, b * arguments.groups + group);
          f = static_cast<int64_t>(static_cast<uint64_t>(entry) - static_cast<uint64_t>(arguments.root + 1));
        }
        if (group > 0 && f != -1) {
          parent = find_candidate(candidate, i - 1, f) + 1;
        }
        orphan = orphan || (group > 0 && (!listed_group || (f != -1 && parent == 0)));
      }
      tree.parent[i] = parent;
    }
    orphan = __syncthreads_or(orphan) != 0;
    int32_t status = QUERN_TREE_OK;
    if (!ascends) {
      status = QUERN_TREE_SELECTION;
    } else if (orphan) {
      status = QUERN_TREE_PARENT;
    } else if (!finite) {
      status = QUERN_TREE_NAN;
    }
    if (arguments.selected != nullptr) {
      for (int i = static_cast<int>(threadIdx.x); i < m; i += static_cast<int>(blockDim.x)) {
        store_index(arguments.selected, arguments.wide, listed + i,
                    status == QUERN_TREE_OK ? candidate(i) : -1);
      }
    }
    __syncthreads();
    write_tree_outputs(arguments.out, tree, nodes, b,
                       load_prefix(arguments.prefix, arguments.prefix_dtype, b), status);
    __syncthreads();
  }
}

}  // namespace quern

#endif  // QUERN_TREE_DYNAMIC_TREE_KERNEL_CUH_
