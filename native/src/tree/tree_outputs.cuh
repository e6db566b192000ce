// Writing quern_tree_outputs: what tree_topology, dynamic_tree and tree_from_mask have in common once the
// parents of a request are known.
#ifndef QUERN_TREE_TREE_OUTPUTS_CUH_
#define QUERN_TREE_TREE_OUTPUTS_CUH_

#include "tree/tree_block.cuh"

namespace quern {

namespace tree_outputs {

inline __device__ void store_position(const quern_tree_outputs& out, int64_t row, int64_t position) {
  if (out.position_dtype == QUERN_I64) {
    static_cast<int64_t*>(out.positions)[row] = position;
  } else {
    static_cast<int32_t*>(out.positions)[row] = static_cast<int32_t>(position);
  }
}

// Whether the outputs are large enough; counts the leaves on the way.
inline __device__ int32_t check_capacity(const quern_tree_outputs& out, const TreeBlock& tree,
                                         int64_t* leaves) {
  int32_t status = QUERN_TREE_OK;
  if (out.bits != nullptr && tree.count > out.bits_bytes * 8) {
    status = QUERN_TREE_CAPACITY;
  }
  *leaves = 0;
  if (out.paths == nullptr && out.leaf_count == nullptr) {
    return status;
  }
  bool too_deep = false;
  int found = 0;
  for (int i = static_cast<int>(threadIdx.x); i < tree.count; i += static_cast<int>(blockDim.x)) {
    if (tree.first_child(i) < 0) {
      ++found;
      too_deep = too_deep || (out.paths != nullptr && tree.depth(i) >= out.path_width);
    }
  }
  *leaves = block_sum(found);
  if (__syncthreads_or(too_deep) || (out.paths != nullptr && *leaves > out.max_leaves)) {
    status = QUERN_TREE_CAPACITY;
  }
  return status;
}

// The paths of all leaves, a thread each, and the rows without a leaf.
inline __device__ void write_paths(const quern_tree_outputs& out, const TreeBlock& tree, int64_t b,
                                   int64_t leaves) {
  int32_t* paths = out.paths + b * out.max_leaves * out.path_width;
  for (int64_t e = leaves * out.path_width + threadIdx.x; e < out.max_leaves * out.path_width;
       e += blockDim.x) {
    paths[e] = -1;
  }
  int64_t before = 0;
  for (int from = 0; from < tree.count && leaves > 0; from += static_cast<int>(blockDim.x)) {
    const int i = from + static_cast<int>(threadIdx.x);
    const bool leaf = i < tree.count && tree.first_child(i) < 0;
    const BlockRank rank = block_rank(leaf);
    if (leaf) {
      int32_t* path = paths + (before + rank.below) * out.path_width;
      const int depth = tree.depth(i);
      int at = depth;
      for (int a = i; a >= 0; a = tree.parent[a]) {
        path[at--] = a;
      }
      for (int64_t d = depth + 1; d < out.path_width; ++d) {
        path[d] = -1;
      }
    }
    before += rank.total;
  }
}

}  // namespace tree_outputs

// Writes the outputs of request b. `status` says what is known so far; where it is not OK the tree's parents
// mean nothing. Parents that are in shared memory go to out.parent; larger trees have theirs there already.
inline __device__ void write_tree_outputs(const quern_tree_outputs& out, const TreeBlock& tree,
                                          const RequestNodes& nodes, int64_t b, int64_t prefix,
                                          int32_t status) {
  int64_t leaves = 0;
  if (status == QUERN_TREE_OK) {
    status = tree.build();
  }
  if (status == QUERN_TREE_OK) {
    status = tree_outputs::check_capacity(out, tree, &leaves);
  }
  const bool good = status == QUERN_TREE_OK;
  for (int i = static_cast<int>(threadIdx.x); i < tree.count; i += static_cast<int>(blockDim.x)) {
    const int64_t row = nodes.first + i;
    const int32_t depth = good && (out.depth != nullptr || out.positions != nullptr) ? tree.depth(i) : 0;
    if (out.parent != nullptr && (!good || tree.parent != out.parent + nodes.first)) {
      out.parent[row] = good ? tree.parent[i] : -1;
    }
    if (out.depth != nullptr) {
      out.depth[row] = depth;
    }
    if (out.positions != nullptr) {
      tree_outputs::store_position(out, row, good ? prefix + depth : 0);
    }
    if (out.first_child != nullptr) {
      out.first_child[row] = good ? tree.first_child(i) : -1;
    }
    if (out.next_sibling != nullptr) {
      out.next_sibling[row] = good ? tree.next_sibling(i) : -1;
    }
  }
  if (out.bits != nullptr) {
    write_bits(tree, good, static_cast<char*>(out.bits) + nodes.first * out.bits_stride, out.bits_bytes,
               out.bits_stride);
  }
  if (out.paths != nullptr) {
    tree_outputs::write_paths(out, tree, b, good ? leaves : 0);
  }
  if (threadIdx.x == 0) {
    if (out.leaf_count != nullptr) {
      out.leaf_count[b] = good ? static_cast<int32_t>(leaves) : 0;
    }
    out.status[b] = status;
  }
}

}  // namespace quern

#endif  // QUERN_TREE_TREE_OUTPUTS_CUH_
