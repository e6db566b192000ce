// pack_bits: check, launch. The kernel is in pack_bits_kernel.cuh.
#include "core/operand_check.h"
#include "tree/pack_bits_kernel.cuh"
#include "tree/tree_launch.h"

namespace quern {
namespace {

// Elements that are worth a block of their own, and the most blocks of one segment.
constexpr int64_t kSliceElements = 16 * 1024;
constexpr int64_t kMostSlices = 64;

OperandCheck check(const quern_pack_bits_desc* desc) {
  OperandCheck check;
  check.require(desc != nullptr && desc->size == sizeof(*desc), QUERN_INVALID_DESCRIPTOR);
  if (!check.failed()) {
    check.index_dtype(desc->offset_dtype)
        .require(desc->order == QUERN_BITS_LITTLE || desc->order == QUERN_BITS_BIG, QUERN_INVALID_ARGUMENT)
        .not_negative(desc->count)
        .not_negative(desc->segments)
        .not_negative(desc->bytes);
  }
  return check;
}

}  // namespace
}  // namespace quern

using namespace quern;

quern_status quern_pack_bits_prepare(const quern_pack_bits_desc* desc, int32_t device) {
  const OperandCheck checked = check(desc);
  if (checked.failed()) {
    return checked.status();
  }
  const DeviceScope scope(device);
  return scope.status() != QUERN_OK ? scope.status() : prepare(pack_bits_kernel);
}

quern_status quern_pack_bits(const quern_pack_bits_desc* desc, int32_t device, const void* x,
                             const void* offsets, void* out, int64_t* out_offsets, int32_t* status, void*,
                             size_t, void* stream) {
  OperandCheck checked = check(desc);
  if (checked.failed()) {
    return checked.status();
  }
  checked.optional_operand(out_offsets, sizeof(int64_t));
  if (desc->segments > 0) {
    checked.operand(offsets, dtype_bytes(desc->offset_dtype)).operand(status, sizeof(int32_t));
    if (desc->count > 0) {
      checked.operand(x, 1);
      if (desc->bytes > 0) {
        checked.operand(out, 1);
      }
    }
  }
  if (checked.failed() || (desc->segments == 0 && out_offsets == nullptr)) {
    return checked.status();
  }
  const DeviceScope scope(device);
  if (scope.status() != QUERN_OK) {
    return scope.status();
  }
  PackBitsArguments arguments;
  arguments.x = static_cast<const uint8_t*>(x);
  arguments.offsets = offsets;
  arguments.out = static_cast<uint8_t*>(out);
  arguments.out_offsets = out_offsets;
  arguments.status = status;
  arguments.count = desc->count;
  arguments.segments = desc->segments;
  arguments.bytes = desc->bytes;
  arguments.block_elements = kMostTreeThreads;
  arguments.wide = desc->offset_dtype == QUERN_I64;
  arguments.big = desc->order == QUERN_BITS_BIG;
  const int64_t segments = std::max<int64_t>(desc->segments, 1);
  const int64_t slices = std::clamp<int64_t>(desc->count / segments / kSliceElements, 1, kMostSlices);
  return launch(pack_bits_kernel, request_grid(segments, slices), dim3(kMostTreeThreads), 0, stream,
                arguments);
}
