// top_k: check, choose, launch. The kernels are in top_k_kernel.cuh.
#include <algorithm>

#include "core/operand_check.h"
#include "rows/top_k_kernel.cuh"

namespace quern {
namespace {

using TopKKernel = void (*)(TopKArguments);

TopKKernel choose_kernel(int32_t dtype, bool few) {
  switch (dtype) {
    case QUERN_F32:
      return few ? top_k_kernel<F32, true> : top_k_kernel<F32, false>;
    case QUERN_F16:
      return few ? top_k_kernel<F16, true> : top_k_kernel<F16, false>;
    default:
      return few ? top_k_kernel<BF16, true> : top_k_kernel<BF16, false>;
  }
}

OperandCheck check(const quern_top_k_desc* desc) {
  OperandCheck check;
  check.require(desc != nullptr && desc->size == sizeof(*desc), QUERN_INVALID_DESCRIPTOR);
  if (check.failed()) {
    return check;
  }
  check.row_dtype(desc->x_dtype)
      .not_negative(desc->rows)
      .require(desc->dim >= 0 && desc->dim <= INT32_MAX, QUERN_INVALID_ARGUMENT)
      .require(desc->k >= 0 && desc->k <= desc->dim, QUERN_INVALID_ARGUMENT)
      .require(desc->x_stride >= desc->dim, QUERN_INVALID_ARGUMENT)
      .require(desc->indices_stride >= desc->k, QUERN_INVALID_ARGUMENT);
  return check;
}

}  // namespace
}  // namespace quern

using namespace quern;

quern_status quern_top_k_prepare(const quern_top_k_desc* desc, int32_t device) {
  const OperandCheck checked = check(desc);
  if (checked.failed()) {
    return checked.status();
  }
  const DeviceScope scope(device);
  if (scope.status() != QUERN_OK) {
    return scope.status();
  }
  const quern_status status = prepare(choose_kernel(desc->x_dtype, true));
  return status != QUERN_OK ? status : prepare(choose_kernel(desc->x_dtype, false));
}

quern_status quern_top_k(const quern_top_k_desc* desc, int32_t device, const void* x, float* values,
                         int32_t* indices, void*, size_t, void* stream) {
  OperandCheck checked = check(desc);
  if (checked.failed()) {
    return checked.status();
  }
  const int64_t element = dtype_bytes(desc->x_dtype);
  const bool empty = desc->rows == 0 || desc->k == 0;
  if (!empty) {
    checked.operand(x, element)
        .optional_operand(values, sizeof(float))
        .require(values == nullptr || desc->values_stride >= desc->k, QUERN_INVALID_ARGUMENT)
        .operand(indices, sizeof(int32_t));
  }
  if (checked.failed() || empty) {
    return checked.status();
  }
  const DeviceScope scope(device);
  if (scope.status() != QUERN_OK) {
    return scope.status();
  }
  TopKArguments arguments;
  arguments.x = static_cast<const char*>(x);
  arguments.values = values;
  arguments.indices = indices;
  arguments.rows = desc->rows;
  arguments.dim = desc->dim;
  arguments.k = desc->k;
  arguments.x_stride = desc->x_stride;
  arguments.values_stride = desc->values_stride;
  arguments.indices_stride = desc->indices_stride;
  arguments.aligned = is_aligned(x, 4 * element) && desc->x_stride % 4 == 0;
  return launch(choose_kernel(desc->x_dtype, desc->k <= kListLength),
                dim3(static_cast<unsigned int>(std::min<int64_t>(desc->rows, INT32_MAX))), dim3(kRankThreads),
                0, stream, arguments);
}
