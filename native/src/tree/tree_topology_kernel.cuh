// tree_topology: what follows from parent. Contract: quern/tree.h.
#ifndef QUERN_TREE_TREE_TOPOLOGY_KERNEL_CUH_
#define QUERN_TREE_TREE_TOPOLOGY_KERNEL_CUH_

#include "tree/tree_outputs.cuh"

namespace quern {

struct TreeTopologyArguments {
  const int32_t* parent;
  const int32_t* offsets;
  const void* prefix;
  int64_t requests;
  int64_t nodes;
  int32_t prefix_dtype;
  quern_tree_outputs out;
};

// A block for each request.
__global__ void __launch_bounds__(kMostTreeThreads, 2)
    tree_topology_kernel(const __grid_constant__ TreeTopologyArguments arguments) {
  for (int64_t b = blockIdx.x; b < arguments.requests; b += gridDim.x) {
    const RequestNodes nodes = open_request(arguments.offsets, b, arguments.nodes);
    const TreeBlock tree = TreeBlock::of(nodes.count, const_cast<int32_t*>(arguments.parent) + nodes.first);
    if (tree.own != nullptr) {
      for (int i = static_cast<int>(threadIdx.x); i < nodes.count; i += static_cast<int>(blockDim.x)) {
        tree.parent[i] = __ldg(arguments.parent + nodes.first + i);
      }
    }
    __syncthreads();
    write_tree_outputs(arguments.out, tree, nodes, b,
                       load_prefix(arguments.prefix, arguments.prefix_dtype, b), nodes.status);
    __syncthreads();
  }
}

}  // namespace quern

#endif  // QUERN_TREE_TREE_TOPOLOGY_KERNEL_CUH_
