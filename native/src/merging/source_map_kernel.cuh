// source_map on raw pointers.
#ifndef QUERN_MERGING_SOURCE_MAP_KERNEL_CUH_
#define QUERN_MERGING_SOURCE_MAP_KERNEL_CUH_

#include "core/dtype.cuh"
#include "quern/merging.h"

namespace quern {

constexpr int kSourceMapThreads = 256;
constexpr int64_t kSourceMapRows = 32;  // of the matrix, to a thread at a time

struct SourceMapArguments {
  const int32_t* slot;
  const int32_t* source;
  int32_t* groups;
  void* matrix;
  int64_t elements;  // batch * sources
  int64_t sources;
  int64_t tokens;
  int64_t merged;
};

// A thread has a source token: a column of the matrix, so that neighbours write neighbours. Blocks along y
// share the rows.
template <typename Element>
__global__ void __launch_bounds__(kSourceMapThreads)
    source_map_kernel(const __grid_constant__ SourceMapArguments arguments) {
  using Bits = typename Element::Bits;
  const int64_t step = static_cast<int64_t>(gridDim.x) * kSourceMapThreads;
  const int64_t slice = static_cast<int64_t>(gridDim.y) * kSourceMapRows;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * kSourceMapThreads + threadIdx.x; i < arguments.elements;
       i += step) {
    const int64_t b = i / arguments.sources;
    const int64_t n = i - b * arguments.sources;
    const int64_t token = arguments.source == nullptr ? n : __ldg(arguments.source + i);
    const bool known = token >= 0 && token < arguments.tokens;
    const int32_t slot = known ? __ldg(arguments.slot + b * arguments.tokens + token) : -1;
    const int32_t group = slot < arguments.merged && slot >= 0 ? slot : -1;
    if (blockIdx.y == 0) {
      arguments.groups[i] = group;
    }
    if (arguments.matrix == nullptr) {
      continue;
    }
    Bits* const column = static_cast<Bits*>(arguments.matrix) + b * arguments.merged * arguments.sources + n;
    for (int64_t first = blockIdx.y * kSourceMapRows; first < arguments.merged; first += slice) {
      const int64_t end = min(first + kSourceMapRows, arguments.merged);
      for (int64_t m = first; m < end; ++m) {
        column[m * arguments.sources] = Element::round(m == group ? 1.0f : 0.0f);
      }
    }
  }
}

}  // namespace quern

#endif  // QUERN_MERGING_SOURCE_MAP_KERNEL_CUH_
