// top_k: a block per row. Contract: quern/rows.h.
#ifndef QUERN_ROWS_TOP_K_KERNEL_CUH_
#define QUERN_ROWS_TOP_K_KERNEL_CUH_

#include "quern/rows.h"
#include "rows/rank.cuh"

namespace quern {

// Strides in elements.
struct TopKArguments {
  const char* x;
  float* values;
  int32_t* indices;
  int64_t rows;
  int64_t dim;
  int64_t k;
  int64_t x_stride;
  int64_t values_stride;
  int64_t indices_stride;
  int32_t aligned;  // rows begin at multiples of 4 elements' bytes
};

template <typename Element>
struct ScoreRow : StoredRow<Element> {
  __device__ bool exists(int64_t) const { return true; }
};

template <typename Element, bool FEW>
__global__ void __launch_bounds__(kRankThreads, 2)
    top_k_kernel(const __grid_constant__ TopKArguments arguments) {
  for (int64_t r = blockIdx.x; r < arguments.rows; r += gridDim.x) {
    const ScoreRow<Element> row = {
        {arguments.x + r * arguments.x_stride * Packet<Element, 1>::kBytes, arguments.aligned != 0}};
    rank_row<FEW>(row, arguments.dim, arguments.k, [&](int64_t rank, int64_t index) {
      arguments.indices[r * arguments.indices_stride + rank] = static_cast<int32_t>(index);
      if (arguments.values != nullptr) {
        arguments.values[r * arguments.values_stride + rank] = row(index);
      }
    });
  }
}

}  // namespace quern

#endif  // QUERN_ROWS_TOP_K_KERNEL_CUH_
