// token_merge and token_unmerge: check, choose, launch. The kernels are in token_merge_kernel.cuh.
#include <algorithm>

#include "merging/descriptors.h"
#include "merging/token_merge_kernel.cuh"

namespace quern {
namespace {

using MergeKernel = void (*)(TokenMergeArguments);
using UnmergeKernel = void (*)(TokenUnmergeArguments);

MergeKernel merge_kernel(int32_t dtype, bool packed) {
  switch (dtype) {
    case QUERN_F32:
      return packed ? token_merge_kernel<F32, 4> : token_merge_kernel<F32, 1>;
    case QUERN_F16:
      return packed ? token_merge_kernel<F16, 8> : token_merge_kernel<F16, 1>;
    default:
      return packed ? token_merge_kernel<BF16, 8> : token_merge_kernel<BF16, 1>;
  }
}

// Packets of so many bytes.
UnmergeKernel unmerge_kernel(int64_t access) {
  return access == 16  ? token_unmerge_kernel<8>
         : access == 8 ? token_unmerge_kernel<4>
         : access == 4 ? token_unmerge_kernel<2>
                       : token_unmerge_kernel<1>;
}

dim3 blocks_of(int64_t rows) {
  return dim3(static_cast<unsigned int>(std::min<int64_t>((rows - 1) / kMergeWarps + 1, INT32_MAX)));
}

bool is_token_count(int64_t tokens) {
  return tokens >= 0 && tokens <= INT32_MAX;
}

}  // namespace

OperandCheck check(const quern_token_merge_desc* desc) {
  OperandCheck check;
  check.require(desc != nullptr && desc->size == sizeof(*desc), QUERN_INVALID_DESCRIPTOR);
  if (check.failed()) {
    return check;
  }
  check.row_dtype(desc->dtype)
      .require(desc->combine == QUERN_COMBINE_SUM || desc->combine == QUERN_COMBINE_MEAN ||
                   desc->combine == QUERN_COMBINE_WEIGHTED_MEAN || desc->combine == QUERN_COMBINE_MAX,
               QUERN_INVALID_ARGUMENT)
      .require(desc->least_size == desc->least_size, QUERN_INVALID_ARGUMENT)
      .not_negative(desc->batch)
      .require(is_token_count(desc->tokens) && is_token_count(desc->merged), QUERN_INVALID_ARGUMENT)
      .not_negative(desc->dim)
      .require(desc->x_stride >= desc->dim && desc->out_stride >= desc->dim, QUERN_INVALID_ARGUMENT);
  return check;
}

namespace {

OperandCheck check(const quern_token_unmerge_desc* desc) {
  OperandCheck check;
  check.require(desc != nullptr && desc->size == sizeof(*desc), QUERN_INVALID_DESCRIPTOR);
  if (check.failed()) {
    return check;
  }
  check.row_dtype(desc->dtype)
      .require(desc->dropped_to_first == 0 || desc->dropped_to_first == 1, QUERN_INVALID_ARGUMENT)
      .not_negative(desc->batch)
      .require(is_token_count(desc->tokens) && is_token_count(desc->merged), QUERN_INVALID_ARGUMENT)
      .not_negative(desc->dim)
      .require(desc->y_stride >= desc->dim && desc->out_stride >= desc->dim, QUERN_INVALID_ARGUMENT);
  return check;
}

}  // namespace
}  // namespace quern

using namespace quern;

quern_status quern_token_merge_prepare(const quern_token_merge_desc* desc, int32_t device) {
  const OperandCheck checked = check(desc);
  if (checked.failed()) {
    return checked.status();
  }
  const DeviceScope scope(device);
  if (scope.status() != QUERN_OK) {
    return scope.status();
  }
  const quern_status status = prepare(merge_kernel(desc->dtype, true));
  return status != QUERN_OK ? status : prepare(merge_kernel(desc->dtype, false));
}

quern_status quern_token_merge(const quern_token_merge_desc* desc, int32_t device, const void* x,
                               const int32_t* slot, const float* size, const float* scale, void* out,
                               float* size_out, void* stream) {
  OperandCheck checked = check(desc);
  if (checked.failed()) {
    return checked.status();
  }
  const int64_t element = dtype_bytes(desc->dtype);
  const int64_t rows = desc->batch * desc->merged;
  if (desc->batch * desc->tokens > 0) {
    checked.operand(slot, sizeof(int32_t));
    if (desc->dim > 0) {
      checked.operand(x, element);
    }
  }
  if (rows > 0 && desc->dim > 0) {
    checked.operand(out, element);
  }
  checked.optional_operand(size, sizeof(float))
      .optional_operand(scale, sizeof(float))
      .optional_operand(size_out, sizeof(float));
  if (checked.failed() || rows == 0 || (desc->dim == 0 && size_out == nullptr)) {
    return checked.status();
  }
  const bool packed = rows_are_aligned(x, desc->x_stride * element, desc->dim * element, 16) &&
                      rows_are_aligned(out, desc->out_stride * element, desc->dim * element, 16);
  TokenMergeArguments arguments;
  arguments.x = static_cast<const char*>(x);
  arguments.slot = slot;
  arguments.size = size;
  arguments.scale = scale;
  arguments.out = static_cast<char*>(out);
  arguments.size_out = size_out;
  arguments.rows = rows;
  arguments.tokens = desc->tokens;
  arguments.merged = desc->merged;
  arguments.packets = packed ? desc->dim * element / 16 : desc->dim;
  arguments.stride = desc->x_stride * element;
  arguments.out_stride = desc->out_stride * element;
  arguments.combine = desc->combine;
  arguments.least_size = desc->least_size;
  const DeviceScope scope(device);
  if (scope.status() != QUERN_OK) {
    return scope.status();
  }
  return launch(merge_kernel(desc->dtype, packed), blocks_of(rows), dim3(kMergeThreads), 0, stream,
                arguments);
}

quern_status quern_token_unmerge_prepare(const quern_token_unmerge_desc* desc, int32_t device) {
  const OperandCheck checked = check(desc);
  if (checked.failed()) {
    return checked.status();
  }
  const DeviceScope scope(device);
  quern_status status = scope.status();
  for (int64_t access = 16; status == QUERN_OK && access >= 2; access /= 2) {
    status = prepare(unmerge_kernel(access));
  }
  return status;
}

quern_status quern_token_unmerge(const quern_token_unmerge_desc* desc, int32_t device, const void* y,
                                 const int32_t* slot, void* out, void* stream) {
  OperandCheck checked = check(desc);
  if (checked.failed()) {
    return checked.status();
  }
  const int64_t element = dtype_bytes(desc->dtype);
  const int64_t rows = desc->batch * desc->tokens;
  if (rows == 0 || desc->dim == 0) {
    return checked.status();
  }
  checked.operand(slot, sizeof(int32_t)).operand(out, element);
  if (desc->merged > 0) {
    checked.operand(y, element);
  }
  if (checked.failed()) {
    return checked.status();
  }
  int64_t access = 16;
  while (!rows_are_aligned(y, desc->y_stride * element, desc->dim * element, access) ||
         !rows_are_aligned(out, desc->out_stride * element, desc->dim * element, access)) {
    access /= 2;  // ends: operands are aligned to their elements, of 2 or 4 bytes
  }
  TokenUnmergeArguments arguments;
  arguments.y = static_cast<const char*>(y);
  arguments.slot = slot;
  arguments.out = static_cast<char*>(out);
  arguments.rows = rows;
  arguments.tokens = desc->tokens;
  arguments.merged = desc->merged;
  arguments.packets = desc->dim * element / access;
  arguments.stride = desc->y_stride * element;
  arguments.out_stride = desc->out_stride * element;
  arguments.dropped_to_first = desc->dropped_to_first;
  const DeviceScope scope(device);
  if (scope.status() != QUERN_OK) {
    return scope.status();
  }
  return launch(unmerge_kernel(access), blocks_of(rows), dim3(kMergeThreads), 0, stream, arguments);
}
