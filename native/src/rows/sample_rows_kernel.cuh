// sample_rows: a block per row. Contract: quern/rows.h.
#ifndef QUERN_ROWS_SAMPLE_ROWS_KERNEL_CUH_
#define QUERN_ROWS_SAMPLE_ROWS_KERNEL_CUH_

#include "core/philox.cuh"
#include "quern/rows.h"
#include "rows/rank.cuh"

namespace quern {

// Strides in elements.
struct SampleRowsArguments {
  const char* x;
  const float* uniforms;  // or null
  const int64_t* seeds;
  const int64_t* positions;
  float* scores;
  float* values;
  int32_t* indices;
  int64_t rows;
  int64_t dim;
  int64_t k;
  int64_t x_stride;
  int64_t uniforms_stride;
  int64_t scores_stride;
  int64_t values_stride;
  int64_t indices_stride;
  float scale;
  int32_t purpose;
  int32_t aligned;           // rows of x begin at multiples of 4 elements' bytes
  int32_t uniforms_aligned;  // likewise
};

// fma(x, scale, -log(-log(u))).
template <typename Element, bool SEEDED>
struct NoisyRow {
  StoredRow<Element> x;
  StoredRow<F32> uniforms;
  float scale;
  int64_t seed;
  int64_t position;
  int purpose;

  __device__ float noisy(float value, float u) const {
    return __fmaf_rn(value, scale, -canonical_log(-canonical_log(u)));
  }
  __device__ float operator()(int64_t i) const {
    return noisy(x(i), SEEDED ? philox_uniform(seed, position, purpose, i) : uniforms(i));
  }
  __device__ float4 four(int64_t i) const {
    const float4 v = x.four(i);
    const float4 u = SEEDED ? philox_uniforms(seed, position, purpose, static_cast<unsigned int>(i / 4))
                            : uniforms.four(i);
    return make_float4(noisy(v.x, u.x), noisy(v.y, u.y), noisy(v.z, u.z), noisy(v.w, u.w));
  }
  __device__ bool exists(int64_t) const { return true; }
};

template <typename Element, bool SEEDED, bool FEW>
__global__ void __launch_bounds__(kRankThreads, 1)
    sample_rows_kernel(const __grid_constant__ SampleRowsArguments arguments) {
  for (int64_t r = blockIdx.x; r < arguments.rows; r += gridDim.x) {
    NoisyRow<Element, SEEDED> row = {};
    row.x = {arguments.x + r * arguments.x_stride * Packet<Element, 1>::kBytes, arguments.aligned != 0};
    row.scale = arguments.scale;
    if constexpr (SEEDED) {
      row.seed = static_cast<int64_t>(__ldg(reinterpret_cast<const long long*>(arguments.seeds) + r));
      row.position = static_cast<int64_t>(__ldg(reinterpret_cast<const long long*>(arguments.positions) + r));
      row.purpose = arguments.purpose;
    } else {
      row.uniforms = {reinterpret_cast<const char*>(arguments.uniforms + r * arguments.uniforms_stride),
                      arguments.uniforms_aligned != 0};
    }
    rank_row<FEW>(row, arguments.dim, arguments.k, [&](int64_t rank, int64_t index) {
      arguments.indices[r * arguments.indices_stride + rank] = static_cast<int32_t>(index);
      if (arguments.scores != nullptr) {
        arguments.scores[r * arguments.scores_stride + rank] = row(index);
      }
      if (arguments.values != nullptr) {
        arguments.values[r * arguments.values_stride + rank] = row.x(index);
      }
    });
  }
}

}  // namespace quern

#endif  // QUERN_ROWS_SAMPLE_ROWS_KERNEL_CUH_
