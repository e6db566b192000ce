// delete_gate: check, choose, launch. The kernel is in delete_gate_kernel.cuh.
#include <algorithm>

#include "core/operand_check.h"
#include "merging/delete_gate_kernel.cuh"

namespace quern {
namespace {

using DeleteGateKernel = void (*)(DeleteGateArguments);

DeleteGateKernel kernel_of(int32_t dtype) {
  switch (dtype) {
    case QUERN_F32:
      return delete_gate_kernel<F32>;
    case QUERN_F16:
      return delete_gate_kernel<F16>;
    default:
      return delete_gate_kernel<BF16>;
  }
}

OperandCheck check(const quern_delete_gate_desc* desc) {
  OperandCheck check;
  check.require(desc != nullptr && desc->size == sizeof(*desc), QUERN_INVALID_DESCRIPTOR);
  if (check.failed()) {
    return check;
  }
  check.row_dtype(desc->dtype)
      .not_negative(desc->rows)
      .require(desc->dim >= 1 && desc->x_stride >= desc->dim, QUERN_INVALID_ARGUMENT)
      .require(desc->normalized == 0 || desc->normalized == 1, QUERN_INVALID_ARGUMENT)
      .require(desc->epsilon >= 0.0f && desc->bias == desc->bias && desc->scale == desc->scale &&
                   desc->threshold == desc->threshold,
               QUERN_INVALID_ARGUMENT);
  return check;
}

}  // namespace
}  // namespace quern

using namespace quern;

quern_status quern_delete_gate_prepare(const quern_delete_gate_desc* desc, int32_t device) {
  const OperandCheck checked = check(desc);
  if (checked.failed()) {
    return checked.status();
  }
  const DeviceScope scope(device);
  return scope.status() != QUERN_OK ? scope.status() : prepare(kernel_of(desc->dtype));
}

quern_status quern_delete_gate(const quern_delete_gate_desc* desc, int32_t device, const void* x,
                               const float* weight, const int32_t* group, float* gate, int32_t* key,
                               void* stream) {
  OperandCheck checked = check(desc);
  if (checked.failed() || desc->rows == 0) {
    return checked.status();
  }
  const int64_t element = dtype_bytes(desc->dtype);
  checked.operand(x, element)
      .operand(weight, sizeof(float))
      .optional_operand(group, sizeof(int32_t))
      .optional_operand(gate, sizeof(float))
      .operand(key, sizeof(int32_t));
  if (checked.failed()) {
    return checked.status();
  }
  DeleteGateArguments arguments;
  arguments.x = static_cast<const char*>(x);
  arguments.weight = weight;
  arguments.group = group;
  arguments.gate = gate;
  arguments.key = key;
  arguments.rows = desc->rows;
  arguments.dim = desc->dim;
  arguments.stride = desc->x_stride * element;
  arguments.epsilon = desc->epsilon;
  arguments.bias = desc->bias;
  arguments.scale = desc->scale;
  arguments.threshold = desc->threshold;
  arguments.normalized = desc->normalized;
  arguments.aligned_x = rows_are_aligned(x, arguments.stride, 4 * element, 4 * element);
  arguments.aligned_weight = is_aligned(weight, 4 * sizeof(float));
  const DeviceScope scope(device);
  if (scope.status() != QUERN_OK) {
    return scope.status();
  }
  const int64_t blocks = std::min<int64_t>((desc->rows - 1) / kGateRows + 1, INT32_MAX);
  return launch(kernel_of(desc->dtype), dim3(static_cast<unsigned int>(blocks)), dim3(kGateThreads), 0,
                stream, arguments);
}
