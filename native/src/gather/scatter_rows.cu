// scatter_rows: check, choose, launch. The kernels are in scatter_rows_kernel.cuh.
#include <algorithm>

#include "core/operand_check.h"
#include "gather/scatter_rows_kernel.cuh"

namespace quern {
namespace {

using ScatterKernel = void (*)(ScatterRowsArguments);

constexpr int64_t kMostRows = int64_t{1} << 29;  // whose table is numbered by 32 bits
constexpr int64_t kLeastCapacity = 64;
constexpr int64_t kMostBlocks = 65535;

bool is_row_dtype(int32_t dtype) {
  return dtype == QUERN_F32 || dtype == QUERN_F16 || dtype == QUERN_BF16;
}

// Equal dtypes copy bits, as packets of 2-byte units whatever the dtype; F16 only names the unit there.
ScatterKernel copy_kernel(int64_t access_bytes) {
  switch (access_bytes) {
    case 16:
      return scatter_set_kernel<F16, F16, 8>;
    case 8:
      return scatter_set_kernel<F16, F16, 4>;
    case 4:
      return scatter_set_kernel<F16, F16, 2>;
    default:
      return scatter_set_kernel<F16, F16, 1>;
  }
}

template <typename In, typename Out>
ScatterKernel value_kernel(bool set, bool packed) {
  if (set) {
    return packed ? scatter_set_kernel<In, Out, 8> : scatter_set_kernel<In, Out, 1>;
  }
  return packed ? scatter_reduce_kernel<In, Out, 8> : scatter_reduce_kernel<In, Out, 1>;
}

template <typename In>
ScatterKernel value_kernel(int32_t out, bool set, bool packed) {
  switch (out) {
    case QUERN_F32:
      return value_kernel<In, F32>(set, packed);
    case QUERN_F16:
      return value_kernel<In, F16>(set, packed);
    default:
      return value_kernel<In, BF16>(set, packed);
  }
}

// Of 8 elements a packet, or of one.
ScatterKernel value_kernel(const quern_scatter_rows_desc& desc, bool packed) {
  const bool set = desc.mode == QUERN_SCATTER_SET;
  switch (desc.x_dtype) {
    case QUERN_F32:
      return value_kernel<F32>(desc.out_dtype, set, packed);
    case QUERN_F16:
      return value_kernel<F16>(desc.out_dtype, set, packed);
    default:
      return value_kernel<BF16>(desc.out_dtype, set, packed);
  }
}

bool copies(const quern_scatter_rows_desc& desc) {
  return desc.mode == QUERN_SCATTER_SET && desc.x_dtype == desc.out_dtype;
}

OperandCheck check(const quern_scatter_rows_desc* desc) {
  OperandCheck check;
  check.require(desc != nullptr && desc->size == sizeof(*desc), QUERN_INVALID_DESCRIPTOR);
  if (check.failed()) {
    return check;
  }
  check.require(desc->mode >= QUERN_SCATTER_SET && desc->mode <= QUERN_SCATTER_MAX, QUERN_INVALID_ARGUMENT)
      .require(dtype_bytes(desc->x_dtype) != 0 && dtype_bytes(desc->out_dtype) != 0, QUERN_INVALID_ARGUMENT)
      .require((is_row_dtype(desc->x_dtype) && is_row_dtype(desc->out_dtype)) ||
                   (copies(*desc) && (desc->x_dtype == QUERN_I32 || desc->x_dtype == QUERN_I64)),
               QUERN_UNSUPPORTED)
      .index_dtype(desc->id_dtype)
      .policy(desc->policy)
      .not_negative(desc->dim)
      .not_negative(desc->count)
      .not_negative(desc->rows)
      .require(desc->x_stride >= desc->dim && desc->out_stride >= desc->dim, QUERN_INVALID_ARGUMENT)
      .require(desc->count <= kMostRows, QUERN_UNSUPPORTED);
  return check;
}

int64_t capacity_for(int64_t count) {
  int64_t capacity = kLeastCapacity;
  while (capacity < 2 * count) {
    capacity *= 2;
  }
  return capacity;
}

dim3 blocks_for(int64_t items, int64_t per_block) {
  return dim3(static_cast<unsigned int>(std::min((items - 1) / per_block + 1, kMostBlocks)));
}

}  // namespace
}  // namespace quern

using namespace quern;

quern_status quern_scatter_rows_prepare(const quern_scatter_rows_desc* desc, int32_t device) {
  const OperandCheck checked = check(desc);
  if (checked.failed()) {
    return checked.status();
  }
  const DeviceScope scope(device);
  quern_status status = scope.status();
  for (const ScatterKernel kernel : {scatter_clear_kernel, scatter_enter_kernel}) {
    status = status != QUERN_OK ? status : prepare(kernel);
  }
  if (copies(*desc)) {
    for (int64_t access = 16; status == QUERN_OK && access >= 2; access /= 2) {
      status = prepare(copy_kernel(access));
    }
    return status;
  }
  for (const bool packed : {true, false}) {
    status = status != QUERN_OK ? status : prepare(value_kernel(*desc, packed));
  }
  return status;
}

quern_status quern_scatter_rows(const quern_scatter_rows_desc* desc, int32_t device, const void* x,
                                const void* ids, void* out, quern_error_record* errors, void* workspace,
                                size_t workspace_bytes, void* stream) {
  OperandCheck checked = check(desc);
  if (checked.failed()) {
    return checked.status();
  }
  const bool empty = desc->count == 0 || desc->rows == 0 || desc->dim == 0;
  const int64_t capacity = capacity_for(desc->count);
  const int64_t scratch = desc->count * static_cast<int64_t>(sizeof(int32_t)) +
                          capacity * static_cast<int64_t>(sizeof(Destination));
  if (!empty) {
    checked.operand(x, dtype_bytes(desc->x_dtype))
        .operand(ids, dtype_bytes(desc->id_dtype))
        .operand(out, dtype_bytes(desc->out_dtype))
        .error_record(errors, desc->policy)
        .operand(workspace, sizeof(int32_t))
        .require(workspace_bytes >= static_cast<size_t>(scratch), QUERN_INVALID_ARGUMENT);
  }
  if (checked.failed() || empty) {
    return checked.status();
  }
  const int64_t in_element = dtype_bytes(desc->x_dtype);
  const int64_t out_element = dtype_bytes(desc->out_dtype);
  ScatterRowsArguments arguments{};
  arguments.x = static_cast<const char*>(x);
  arguments.ids = ids;
  arguments.out = static_cast<char*>(out);
  arguments.errors = errors;
  arguments.table = static_cast<Destination*>(workspace);
  arguments.entries = reinterpret_cast<int32_t*>(arguments.table + capacity);
  arguments.capacity = capacity;
  arguments.count = desc->count;
  arguments.rows = desc->rows;
  arguments.x_stride = desc->x_stride * in_element;
  arguments.out_stride = desc->out_stride * out_element;
  arguments.launch = desc->launch;
  arguments.policy = desc->policy;
  arguments.wide_ids = desc->id_dtype == QUERN_I64;
  arguments.maximum = desc->mode == QUERN_SCATTER_MAX;

  const auto fits = [&](int64_t in_bytes, int64_t out_bytes) {
    return rows_are_aligned(x, arguments.x_stride, desc->dim * in_element, in_bytes) &&
           rows_are_aligned(out, arguments.out_stride, desc->dim * out_element, out_bytes);
  };
  ScatterKernel kernel;
  if (copies(*desc)) {
    int64_t access = 16;
    while (!fits(access, access)) {
      access /= 2;  // ends: operands are aligned to their elements, of 2 to 8 bytes
    }
    kernel = copy_kernel(access);
    arguments.packets = desc->dim * in_element / access;
  } else {
    const bool packed = desc->dim % 8 == 0 && fits(16, 16);
    kernel = value_kernel(*desc, packed);
    arguments.packets = packed ? desc->dim / 8 : desc->dim;
  }
  while (arguments.group_shift < 5 && (int64_t{1} << arguments.group_shift) < arguments.packets) {
    ++arguments.group_shift;
  }
  const bool set = desc->mode == QUERN_SCATTER_SET;
  const int64_t slices = (arguments.packets - 1) / kReduceThreads + 1;
  if (!set && slices > INT32_MAX) {
    return QUERN_UNSUPPORTED;
  }
  const DeviceScope scope(device);
  if (scope.status() != QUERN_OK) {
    return scope.status();
  }
  quern_status status = launch(scatter_clear_kernel, blocks_for(capacity, kScatterThreads),
                               dim3(kScatterThreads), 0, stream, arguments);
  if (status == QUERN_OK) {
    status = launch(scatter_enter_kernel, blocks_for(desc->count, kScatterThreads), dim3(kScatterThreads), 0,
                    stream, arguments);
  }
  if (status != QUERN_OK) {
    return status;
  }
  if (set) {
    const dim3 grid = blocks_for(desc->count, kScatterThreads >> arguments.group_shift);
    return launch(kernel, grid, dim3(kScatterThreads), 0, stream, arguments);
  }
  const dim3 grid(static_cast<unsigned int>(slices),
                  static_cast<unsigned int>(std::min(desc->count, kMostBlocks)));
  return launch(kernel, grid, dim3(kReduceThreads), 0, stream, arguments);
}
