// sample_rows: check, choose, launch. The kernels are in sample_rows_kernel.cuh.
#include <algorithm>

#include "core/operand_check.h"
#include "rows/sample_rows_kernel.cuh"

namespace quern {
namespace {

using SampleKernel = void (*)(SampleRowsArguments);

template <typename Element>
SampleKernel choose_kernel(bool seeded, bool few) {
  if (seeded) {
    return few ? sample_rows_kernel<Element, true, true> : sample_rows_kernel<Element, true, false>;
  }
  return few ? sample_rows_kernel<Element, false, true> : sample_rows_kernel<Element, false, false>;
}

SampleKernel choose_kernel(int32_t dtype, bool seeded, bool few) {
  switch (dtype) {
    case QUERN_F32:
      return choose_kernel<F32>(seeded, few);
    case QUERN_F16:
      return choose_kernel<F16>(seeded, few);
    default:
      return choose_kernel<BF16>(seeded, few);
  }
}

OperandCheck check(const quern_sample_rows_desc* desc) {
  OperandCheck check;
  check.require(desc != nullptr && desc->size == sizeof(*desc), QUERN_INVALID_DESCRIPTOR);
  if (check.failed()) {
    return check;
  }
  check.row_dtype(desc->x_dtype)
      .not_negative(desc->rows)
      .require(desc->dim >= 0 && desc->dim <= INT32_MAX, QUERN_INVALID_ARGUMENT)
      .require(desc->k >= 0 && desc->k <= desc->dim, QUERN_INVALID_ARGUMENT)
      .require(desc->scale > 0.0f && desc->scale <= 3.40282347e38f, QUERN_INVALID_ARGUMENT)
      .require(desc->x_stride >= desc->dim, QUERN_INVALID_ARGUMENT)
      .require(desc->indices_stride >= desc->k, QUERN_INVALID_ARGUMENT);
  return check;
}

}  // namespace
}  // namespace quern

using namespace quern;

quern_status quern_sample_rows_prepare(const quern_sample_rows_desc* desc, int32_t device) {
  const OperandCheck checked = check(desc);
  if (checked.failed()) {
    return checked.status();
  }
  const DeviceScope scope(device);
  quern_status status = scope.status();
  for (int variant = 0; status == QUERN_OK && variant < 4; ++variant) {
    status = prepare(choose_kernel(desc->x_dtype, variant & 1, variant & 2));
  }
  return status;
}

quern_status quern_sample_rows(const quern_sample_rows_desc* desc, int32_t device, const void* x,
                               const float* uniforms, const int64_t* seeds, const int64_t* positions,
                               float* scores, float* values, int32_t* indices, void*, size_t, void* stream) {
  OperandCheck checked = check(desc);
  if (checked.failed()) {
    return checked.status();
  }
  const int64_t element = dtype_bytes(desc->x_dtype);
  const bool empty = desc->rows == 0 || desc->k == 0;
  if (!empty) {
    checked.operand(x, element)
        .optional_operand(uniforms, sizeof(float))
        .optional_operand(scores, sizeof(float))
        .optional_operand(values, sizeof(float))
        .operand(indices, sizeof(int32_t))
        .require(scores == nullptr || desc->scores_stride >= desc->k, QUERN_INVALID_ARGUMENT)
        .require(values == nullptr || desc->values_stride >= desc->k, QUERN_INVALID_ARGUMENT);
    if (uniforms != nullptr) {
      checked.require(desc->uniforms_stride >= desc->dim, QUERN_INVALID_ARGUMENT);
    } else {
      checked.operand(seeds, sizeof(int64_t)).operand(positions, sizeof(int64_t));
    }
  }
  if (checked.failed() || empty) {
    return checked.status();
  }
  const DeviceScope scope(device);
  if (scope.status() != QUERN_OK) {
    return scope.status();
  }
  SampleRowsArguments arguments;
  arguments.x = static_cast<const char*>(x);
  arguments.uniforms = uniforms;
  arguments.seeds = seeds;
  arguments.positions = positions;
  arguments.scores = scores;
  arguments.values = values;
  arguments.indices = indices;
  arguments.rows = desc->rows;
  arguments.dim = desc->dim;
  arguments.k = desc->k;
  arguments.x_stride = desc->x_stride;
  arguments.uniforms_stride = desc->uniforms_stride;
  arguments.scores_stride = desc->scores_stride;
  arguments.values_stride = desc->values_stride;
  arguments.indices_stride = desc->indices_stride;
  arguments.scale = desc->scale;
  arguments.purpose = desc->purpose;
  arguments.aligned = is_aligned(x, 4 * element) && desc->x_stride % 4 == 0;
  arguments.uniforms_aligned = is_aligned(uniforms, 4 * sizeof(float)) && desc->uniforms_stride % 4 == 0;
  return launch(choose_kernel(desc->x_dtype, uniforms == nullptr, desc->k <= kListLength),
                dim3(static_cast<unsigned int>(std::min<int64_t>(desc->rows, INT32_MAX))), dim3(kRankThreads),
                0, stream, arguments);
}
