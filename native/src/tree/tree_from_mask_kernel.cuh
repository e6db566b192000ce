// tree_from_mask: the tree whose visibility a mask is. Contract: quern/tree.h.
#ifndef QUERN_TREE_TREE_FROM_MASK_KERNEL_CUH_
#define QUERN_TREE_TREE_FROM_MASK_KERNEL_CUH_

#include "tree/tree_outputs.cuh"

namespace quern {

struct TreeFromMaskArguments {
  const uint8_t* mask;
  const void* prefix;
  int64_t requests;
  int32_t tree_nodes;
  int32_t prefix_dtype;
  quern_tree_outputs out;
};

// A block for each request: first a warp finds a node's parent, then it compares the node's row with its
// parent's.
__global__ void __launch_bounds__(kMostTreeThreads, 2)
    tree_from_mask_kernel(const __grid_constant__ TreeFromMaskArguments arguments) {
  const int64_t n = arguments.tree_nodes;
  const int lane = static_cast<int>(threadIdx.x) % kWarpSize;
  const int64_t warp = threadIdx.x / kWarpSize;
  const int64_t warps = blockDim.x / kWarpSize;
  for (int64_t b = blockIdx.x; b < arguments.requests; b += gridDim.x) {
    RequestNodes nodes;
    nodes.first = b * n;
    nodes.count = arguments.tree_nodes;
    const TreeBlock tree = TreeBlock::of(nodes.count, arguments.out.parent + nodes.first);
    const uint8_t* mask = arguments.mask + b * n * n;
    bool differs = false;
    for (int64_t i = warp; i < n; i += warps) {
      const uint8_t* row = mask + i * n;
      int64_t parent = -1;
      for (int64_t from = (i - 1) / kWarpSize * kWarpSize; i > 0 && from >= 0 && parent < 0;
           from -= kWarpSize) {
        const int64_t j = from + lane;
        const unsigned int seen = __ballot_sync(0xffffffffu, j < i && __ldg(row + j) != 0);
        parent = seen == 0 ? -1 : from + 31 - __clz(static_cast<int>(seen));
      }
      differs = differs || __ldg(row + i) == 0 || (i > 0 && parent < 0);
      for (int64_t j = lane; j < parent; j += kWarpSize) {
        differs = differs || (__ldg(row + j) != 0) != (__ldg(mask + parent * n + j) != 0);
      }
      if (lane == 0) {
        tree.parent[i] = static_cast<int32_t>(parent);
      }
    }
    differs = __syncthreads_or(differs) != 0;
    write_tree_outputs(arguments.out, tree, nodes, b,
                       load_prefix(arguments.prefix, arguments.prefix_dtype, b),
                       differs ? QUERN_TREE_MASK : QUERN_TREE_OK);
    __syncthreads();
  }
}

}  // namespace quern

#endif  // QUERN_TREE_TREE_FROM_MASK_KERNEL_CUH_
