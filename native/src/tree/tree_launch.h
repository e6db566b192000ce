// Shapes of the launches of family 2. Host code.
#ifndef QUERN_TREE_TREE_LAUNCH_H_
#define QUERN_TREE_TREE_LAUNCH_H_

#include <algorithm>

#include "tree/tree_block.cuh"

namespace quern {

// Blocks for each request, `slices` of them; kernels stride over requests beyond.
inline dim3 request_grid(int64_t requests, int64_t slices) {
  return dim3(static_cast<unsigned int>(std::min<int64_t>(requests, 1 << 20)),
              static_cast<unsigned int>(slices));
}

// Threads of a block, for requests that have so many nodes on average.
inline unsigned int tree_threads(int64_t nodes) {
  return nodes > 128 ? kMostTreeThreads : 128;
}

}  // namespace quern

#endif  // QUERN_TREE_TREE_LAUNCH_H_
