// window_pool: check, choose, launch. The kernel is in window_pool_kernel.cuh.
#include <algorithm>

#include "core/operand_check.h"
#include "pooling/window_pool_kernel.cuh"

namespace quern {
namespace {

using WindowKernel = void (*)(WindowPoolArguments);

template <typename Element, int N>
WindowKernel window_kernel(bool mean, bool packed) {
  return mean     ? packed ? window_pool_kernel<Element, N, true> : window_pool_kernel<Element, 1, true>
             : packed ? window_pool_kernel<Element, N, false>
                  : window_pool_kernel<Element, 1, false>;
}

// Packets are 16 bytes of x, or single elements.
WindowKernel choose_kernel(const quern_window_pool_desc& desc, bool packed) {
  const bool mean = desc.mode == QUERN_WINDOW_MEAN;
  switch (desc.x_dtype) {
    case QUERN_F32:
      return window_kernel<F32, 4>(mean, packed);
    case QUERN_F16:
      return window_kernel<F16, 8>(mean, packed);
    default:
      return window_kernel<BF16, 8>(mean, packed);
  }
}

OperandCheck check(const quern_window_pool_desc* desc) {
  OperandCheck check;
  check.require(desc != nullptr && desc->size == sizeof(*desc), QUERN_INVALID_DESCRIPTOR);
  if (check.failed()) {
    return check;
  }
  check.row_dtype(desc->x_dtype)
      .row_dtype(desc->out_dtype)
      .require(desc->mode == QUERN_WINDOW_MAX || desc->mode == QUERN_WINDOW_MEAN, QUERN_INVALID_ARGUMENT)
      .require(desc->window >= 1 && desc->step >= 1, QUERN_INVALID_ARGUMENT)
      .require(desc->padding >= 0 && desc->padding <= desc->window / 2, QUERN_INVALID_ARGUMENT)
      .not_negative(desc->dim)
      .not_negative(desc->sequences)
      .not_negative(desc->length)
      .require(desc->x_stride >= desc->dim && desc->out_stride >= desc->dim, QUERN_INVALID_ARGUMENT);
  if (!check.failed()) {
    const int64_t reach = desc->length + 2 * static_cast<int64_t>(desc->padding) - desc->window;
    check.require(desc->windows == (desc->length == 0 || reach < 0 ? 0 : reach / desc->step + 1),
                  QUERN_INVALID_ARGUMENT);
  }
  return check;
}

}  // namespace
}  // namespace quern

using namespace quern;

quern_status quern_window_pool_prepare(const quern_window_pool_desc* desc, int32_t device) {
  const OperandCheck checked = check(desc);
  if (checked.failed()) {
    return checked.status();
  }
  const DeviceScope scope(device);
  quern_status status = scope.status();
  for (int packed = 0; status == QUERN_OK && packed < 2; ++packed) {
    status = prepare(choose_kernel(*desc, packed != 0));
  }
  return status;
}

quern_status quern_window_pool(const quern_window_pool_desc* desc, int32_t device, const void* x, void* out,
                               void*, size_t, void* stream) {
  OperandCheck checked = check(desc);
  if (checked.failed()) {
    return checked.status();
  }
  const bool empty = desc->sequences == 0 || desc->windows == 0 || desc->dim == 0;
  const int64_t in_element = dtype_bytes(desc->x_dtype);
  const int64_t out_element = dtype_bytes(desc->out_dtype);
  if (!empty) {
    checked.operand(x, in_element).operand(out, out_element);
  }
  if (checked.failed() || empty) {
    return checked.status();
  }
  const DeviceScope scope(device);
  if (scope.status() != QUERN_OK) {
    return scope.status();
  }
  const int64_t row_bytes = desc->dim * in_element;
  const int64_t packet_elements = 16 / in_element;
  const bool packed = rows_are_aligned(x, desc->x_stride * in_element, row_bytes, 16) &&
                      rows_are_aligned(out, desc->out_stride * out_element, desc->dim * out_element,
                                       std::min<int64_t>(16, packet_elements * out_element));
  WindowPoolArguments arguments;
  arguments.x = static_cast<const char*>(x);
  arguments.out = static_cast<char*>(out);
  arguments.rows = desc->sequences * desc->windows;
  arguments.packets = packed ? row_bytes / 16 : desc->dim;
  arguments.length = desc->length;
  arguments.windows = desc->windows;
  arguments.x_stride = desc->x_stride * in_element;
  arguments.out_stride = desc->out_stride * out_element;
  arguments.window = desc->window;
  arguments.step = desc->step;
  arguments.padding = desc->padding;
  arguments.out_dtype = desc->out_dtype;
  const int64_t blocks = (arguments.rows * arguments.packets - 1) / kWindowThreads + 1;
  return launch(choose_kernel(*desc, packed),
                dim3(static_cast<unsigned int>(std::min<int64_t>(blocks, INT32_MAX))), dim3(kWindowThreads),
                0, stream, arguments);
}
