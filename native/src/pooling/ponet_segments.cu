// ponet_segments: check and launch. The kernel is in ponet_segments_kernel.cuh.
#include <algorithm>

#include "core/operand_check.h"
#include "pooling/ponet_segments_kernel.cuh"

namespace quern {
namespace {

OperandCheck check(const quern_ponet_segments_desc* desc) {
  OperandCheck check;
  check.require(desc != nullptr && desc->size == sizeof(*desc), QUERN_INVALID_DESCRIPTOR);
  if (check.failed()) {
    return check;
  }
  check.index_dtype(desc->offset_dtype)
      .require(desc->fixed >= 0, QUERN_INVALID_ARGUMENT)
      .not_negative(desc->count)
      .not_negative(desc->sequences);
  return check;
}

}  // namespace
}  // namespace quern

using namespace quern;

quern_status quern_ponet_segments_prepare(const quern_ponet_segments_desc* desc, int32_t device) {
  const OperandCheck checked = check(desc);
  if (checked.failed()) {
    return checked.status();
  }
  const DeviceScope scope(device);
  return scope.status() != QUERN_OK ? scope.status() : prepare(ponet_segments_kernel);
}

quern_status quern_ponet_segments(const quern_ponet_segments_desc* desc, int32_t device,
                                  const int32_t* tokens, const void* offsets, int32_t* segment_ids,
                                  uint8_t* special, quern_error_record* errors, void*, size_t, void* stream) {
  OperandCheck checked = check(desc);
  if (checked.failed()) {
    return checked.status();
  }
  const bool empty = desc->count == 0 || desc->sequences == 0;
  if (!empty) {
    checked.operand(offsets, dtype_bytes(desc->offset_dtype))
        .operand(segment_ids, sizeof(int32_t))
        .error_record(errors, QUERN_INDEX_FAIL);
    if (desc->fixed == 0) {
      checked.operand(tokens, sizeof(int32_t));
    }
  }
  if (checked.failed() || empty) {
    return checked.status();
  }
  const DeviceScope scope(device);
  if (scope.status() != QUERN_OK) {
    return scope.status();
  }
  PonetSegmentsArguments arguments;
  arguments.sequences = {offsets, desc->sequences, desc->count, desc->offset_dtype == QUERN_I64, 0};
  arguments.tokens = tokens;
  arguments.segment_ids = segment_ids;
  arguments.special = special;
  arguments.errors = errors;
  arguments.launch = desc->launch;
  arguments.fixed = desc->fixed;
  arguments.cls = desc->cls;
  arguments.sep = desc->sep;
  arguments.reserved = 0;
  const unsigned int blocks = static_cast<unsigned int>(std::min<int64_t>(desc->sequences, 65535));
  return launch(ponet_segments_kernel, dim3(blocks), dim3(kCutThreads), 0, stream, arguments);
}
