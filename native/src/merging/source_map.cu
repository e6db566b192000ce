// source_map: check, choose, launch. The kernel is in source_map_kernel.cuh.
#include <algorithm>

#include "core/operand_check.h"
#include "merging/source_map_kernel.cuh"

namespace quern {
namespace {

using SourceMapKernel = void (*)(SourceMapArguments);

SourceMapKernel kernel_of(int32_t dtype) {
  switch (dtype) {
    case QUERN_F32:
      return source_map_kernel<F32>;
    case QUERN_F16:
      return source_map_kernel<F16>;
    default:
      return source_map_kernel<BF16>;
  }
}

bool is_token_count(int64_t tokens) {
  return tokens >= 0 && tokens <= INT32_MAX;
}

OperandCheck check(const quern_source_map_desc* desc) {
  OperandCheck check;
  check.require(desc != nullptr && desc->size == sizeof(*desc), QUERN_INVALID_DESCRIPTOR);
  if (check.failed()) {
    return check;
  }
  check.row_dtype(desc->matrix_dtype)
      .not_negative(desc->batch)
      .require(is_token_count(desc->sources) && is_token_count(desc->tokens) && is_token_count(desc->merged),
               QUERN_INVALID_ARGUMENT);
  return check;
}

}  // namespace
}  // namespace quern

using namespace quern;

quern_status quern_source_map_prepare(const quern_source_map_desc* desc, int32_t device) {
  const OperandCheck checked = check(desc);
  if (checked.failed()) {
    return checked.status();
  }
  const DeviceScope scope(device);
  return scope.status() != QUERN_OK ? scope.status() : prepare(kernel_of(desc->matrix_dtype));
}

quern_status quern_source_map(const quern_source_map_desc* desc, int32_t device, const int32_t* slot,
                              const int32_t* source, int32_t* groups, void* matrix, void* stream) {
  OperandCheck checked = check(desc);
  if (checked.failed()) {
    return checked.status();
  }
  checked.require(source != nullptr || desc->sources == desc->tokens, QUERN_INVALID_ARGUMENT);
  if (checked.failed() || desc->batch == 0 || desc->sources == 0) {
    return checked.status();
  }
  checked.operand(groups, sizeof(int32_t)).optional_operand(source, sizeof(int32_t));
  if (desc->tokens > 0) {
    checked.operand(slot, sizeof(int32_t));
  }
  checked.optional_operand(matrix, dtype_bytes(desc->matrix_dtype));
  if (checked.failed()) {
    return checked.status();
  }
  SourceMapArguments arguments;
  arguments.slot = slot;
  arguments.source = source;
  arguments.groups = groups;
  arguments.matrix = matrix;
  arguments.elements = desc->batch * desc->sources;
  arguments.sources = desc->sources;
  arguments.tokens = desc->tokens;
  arguments.merged = desc->merged;
  const DeviceScope scope(device);
  if (scope.status() != QUERN_OK) {
    return scope.status();
  }
  const int64_t slices =
      matrix == nullptr ? 1 : std::clamp<int64_t>((desc->merged - 1) / kSourceMapRows + 1, 1, 65535);
  const int64_t blocks = std::min<int64_t>((arguments.elements - 1) / kSourceMapThreads + 1, INT32_MAX);
  return launch(kernel_of(desc->matrix_dtype),
                dim3(static_cast<unsigned int>(blocks), static_cast<unsigned int>(slices)),
                dim3(kSourceMapThreads), 0, stream, arguments);
}
