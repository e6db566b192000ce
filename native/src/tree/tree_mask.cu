// tree_mask: check, choose, launch. The kernels are in tree_mask_kernel.cuh.
#include "tree/tree_check.h"
#include "tree/tree_launch.h"
#include "tree/tree_mask_kernel.cuh"

namespace quern {
namespace {

// Output bytes of a request that are worth a block of their own, and the most blocks of one request.
constexpr int64_t kSliceBytes = 16 * 1024;
constexpr int64_t kMostSlices = 64;

using MaskKernel = void (*)(TreeMaskArguments);

bool is_flat(int32_t format) {
  return format == QUERN_MASK_FLAT || format == QUERN_MASK_PACKED;
}

bool is_additive(int32_t format) {
  return format == QUERN_MASK_ADDITIVE_INF || format == QUERN_MASK_ADDITIVE_MIN;
}

bool has_dtype(int32_t format, int32_t dtype) {
  const bool is_float = dtype == QUERN_F32 || dtype == QUERN_F16 || dtype == QUERN_BF16;
  const bool is_byte = dtype == QUERN_U8 || dtype == QUERN_BOOL;
  switch (format) {
    case QUERN_MASK_ONE_ZERO:
      return is_float || is_byte || dtype == QUERN_I32 || dtype == QUERN_I64;
    case QUERN_MASK_BITS:
      return dtype == QUERN_U8 || dtype == QUERN_U16 || dtype == QUERN_U32 || dtype == QUERN_U64 ||
             dtype == QUERN_I32 || dtype == QUERN_I64;
    case QUERN_MASK_FLAT:
      return is_byte;
    case QUERN_MASK_PACKED:
      return dtype == QUERN_U8;
    default:
      return is_float;
  }
}

// Bits of 1, or of what is added to a score that must not count.
uint64_t visible_bits(int32_t format, int32_t dtype) {
  if (is_additive(format)) {
    return 0;
  }
  switch (dtype) {
    case QUERN_F32:
      return 0x3f800000;
    case QUERN_F16:
      return 0x3c00;
    case QUERN_BF16:
      return 0x3f80;
    default:
      return 1;
  }
}

uint64_t hidden_bits(int32_t format, int32_t dtype) {
  if (!is_additive(format)) {
    return 0;
  }
  const bool infinite = format == QUERN_MASK_ADDITIVE_INF;
  switch (dtype) {
    case QUERN_F32:
      return infinite ? 0xff800000 : 0xff7fffff;
    case QUERN_F16:
      return infinite ? 0xfc00 : 0xfbff;
    default:
      return infinite ? 0xff80 : 0xff7f;
  }
}

MaskKernel choose_kernel(const quern_tree_mask_desc& desc) {
  switch (desc.format) {
    case QUERN_MASK_BITS:
      return tree_mask_bits_kernel;
    case QUERN_MASK_FLAT:
      return tree_mask_flat_kernel<false>;
    case QUERN_MASK_PACKED:
      return tree_mask_flat_kernel<true>;
    default:
      break;
  }
  switch (dtype_bytes(desc.dtype)) {
    case 1:
      return tree_mask_rows_kernel<uint8_t>;
    case 2:
      return tree_mask_rows_kernel<uint16_t>;
    case 4:
      return tree_mask_rows_kernel<uint32_t>;
    default:
      return tree_mask_rows_kernel<uint64_t>;
  }
}

OperandCheck check(const quern_tree_mask_desc* desc) {
  OperandCheck check;
  check.require(desc != nullptr && desc->size == sizeof(*desc), QUERN_INVALID_DESCRIPTOR);
  if (check.failed()) {
    return check;
  }
  check
      .require(desc->format >= QUERN_MASK_ONE_ZERO && desc->format <= QUERN_MASK_PACKED,
               QUERN_INVALID_ARGUMENT)
      .require(dtype_bytes(desc->dtype) != 0, QUERN_INVALID_ARGUMENT)
      .require(has_dtype(desc->format, desc->dtype), QUERN_UNSUPPORTED)
      .index_dtype(desc->prefix_dtype)
      .not_negative(desc->requests)
      .not_negative(desc->nodes)
      .not_negative(desc->columns)
      .require(is_flat(desc->format) || desc->stride >= desc->columns, QUERN_INVALID_ARGUMENT);
  return check;
}

}  // namespace
}  // namespace quern

using namespace quern;

quern_status quern_tree_mask_prepare(const quern_tree_mask_desc* desc, int32_t device) {
  const OperandCheck checked = check(desc);
  if (checked.failed()) {
    return checked.status();
  }
  const DeviceScope scope(device);
  return scope.status() != QUERN_OK ? scope.status() : prepare(choose_kernel(*desc));
}

quern_status quern_tree_mask(const quern_tree_mask_desc* desc, int32_t device, const int32_t* parent,
                             const int32_t* offsets, const void* prefix, void* out, int64_t* indptr,
                             int32_t* status, void*, size_t, void* stream) {
  OperandCheck checked = check(desc);
  if (checked.failed()) {
    return checked.status();
  }
  const bool flat = is_flat(desc->format);
  checked.require(indptr == nullptr || flat, QUERN_UNSUPPORTED);
  const bool empty = desc->requests == 0 && indptr == nullptr;
  if (desc->requests > 0) {
    checked.operand(offsets, sizeof(int32_t))
        .optional_operand(prefix, dtype_bytes(desc->prefix_dtype))
        .operand(status, sizeof(int32_t));
    if (desc->nodes > 0) {
      checked.operand(parent, sizeof(int32_t));
      if (desc->columns > 0) {
        checked.operand(out, dtype_bytes(desc->dtype));
      }
    }
  }
  checked.optional_operand(indptr, sizeof(int64_t));
  if (checked.failed() || empty) {
    return checked.status();
  }
  const DeviceScope scope(device);
  if (scope.status() != QUERN_OK) {
    return scope.status();
  }
  const int64_t element = dtype_bytes(desc->dtype);
  const bool bits = desc->format == QUERN_MASK_BITS;
  TreeMaskArguments arguments;
  arguments.parent = parent;
  arguments.offsets = offsets;
  arguments.prefix = prefix;
  arguments.out = static_cast<char*>(out);
  arguments.indptr = indptr;
  arguments.status = status;
  arguments.requests = desc->requests;
  arguments.nodes = desc->nodes;
  arguments.columns = desc->columns * (bits ? element : 1);
  arguments.stride = desc->stride * (bits ? element : 1);
  arguments.visible = visible_bits(desc->format, desc->dtype);
  arguments.hidden = hidden_bits(desc->format, desc->dtype);
  arguments.prefix_dtype = desc->prefix_dtype;
  arguments.block_threads = kMostTreeThreads;
  arguments.block_warps = kMostTreeThreads / kWarpSize;
  const int64_t requests = std::max<int64_t>(desc->requests, 1);
  const int64_t rows = flat ? 1 : desc->nodes / requests + 1;
  const int64_t columns = flat ? desc->columns / requests : desc->columns;
  const int64_t bytes = columns > kMostSlices * kSliceBytes ? columns : rows * columns * element;
  const int64_t slices = bits ? 1 : std::clamp<int64_t>(bytes / kSliceBytes, 1, kMostSlices);
  return launch(choose_kernel(*desc), request_grid(requests, slices), dim3(kMostTreeThreads),
                tree_table_bytes(desc->nodes), stream, arguments);
}
