// delete_gate on raw pointers.
#ifndef QUERN_MERGING_DELETE_GATE_KERNEL_CUH_
#define QUERN_MERGING_DELETE_GATE_KERNEL_CUH_

#include "core/row_reduction.cuh"
#include "quern/merging.h"

namespace quern {

constexpr int kGateThreads = 256;
constexpr int kGateRows = kGateThreads / kRowLanes;  // of a block at a time

struct DeleteGateArguments {
  const char* x;
  const float* weight;
  const int32_t* group;
  float* gate;
  int32_t* key;
  int64_t rows;
  int64_t dim;
  int64_t stride;  // bytes
  float epsilon;
  float bias;
  float scale;
  float threshold;
  int32_t normalized;
  int32_t aligned_x;
  int32_t aligned_weight;
};

// Half a warp has a row.
template <typename Element>
__global__ void __launch_bounds__(kGateThreads)
    delete_gate_kernel(const __grid_constant__ DeleteGateArguments arguments) {
  using Row = StoredRow<Element>;
  using Weights = StoredRow<F32>;
  const Weights weights = {reinterpret_cast<const char*>(arguments.weight), arguments.aligned_weight != 0};
  const int64_t step = static_cast<int64_t>(gridDim.x) * kGateRows;
  for (int64_t r = static_cast<int64_t>(blockIdx.x) * kGateRows + threadIdx.x / kRowLanes; r < arguments.rows;
       r += step) {
    const Row row = {arguments.x + r * arguments.stride, arguments.aligned_x != 0};
    float z = half_warp_reduce(DotOf<Row, Weights>{row, weights}, arguments.dim);
    if (arguments.normalized) {
      const float squares = half_warp_reduce(SquaredNormOf<Row>{row}, arguments.dim);
      const float mean = __fdiv_rn(squares, __ll2float_rn(arguments.dim));
      z = __fdiv_rn(z, __fsqrt_rn(__fadd_rn(mean, arguments.epsilon)));
    }
    z = __fadd_rn(z, arguments.bias);
    const float gate = __fdiv_rn(arguments.scale, __fadd_rn(1.0f, canonical_exp(-z)));
    if (threadIdx.x % kRowLanes == 0) {
      if (arguments.gate != nullptr) {
        arguments.gate[r] = gate;
      }
      const int32_t group = arguments.group == nullptr ? 0 : __ldg(arguments.group + r);
      arguments.key[r] = gate <= arguments.threshold ? -1 : group;
    }
  }
}

}  // namespace quern

#endif  // QUERN_MERGING_DELETE_GATE_KERNEL_CUH_
