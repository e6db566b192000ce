// segment_max: check, choose, launch. The kernels are in segment_max_kernel.cuh.
#include <algorithm>

#include "core/operand_check.h"
#include "pooling/segment_max_kernel.cuh"

namespace quern {
namespace {

using SegmentKernel = void (*)(SegmentMaxArguments);

// Packets are 16 bytes of x, or single elements.
SegmentKernel choose_kernel(int32_t dtype, bool packed) {
  switch (dtype) {
    case QUERN_F32:
      return packed ? segment_max_kernel<F32, 4> : segment_max_kernel<F32, 1>;
    case QUERN_F16:
      return packed ? segment_max_kernel<F16, 8> : segment_max_kernel<F16, 1>;
    default:
      return packed ? segment_max_kernel<BF16, 8> : segment_max_kernel<BF16, 1>;
  }
}

SegmentKernel choose_finish(bool packed) {
  return packed ? segment_max_finish_kernel<4> : segment_max_finish_kernel<1>;
}

OperandCheck check(const quern_segment_max_desc* desc) {
  OperandCheck check;
  check.require(desc != nullptr && desc->size == sizeof(*desc), QUERN_INVALID_DESCRIPTOR);
  if (check.failed()) {
    return check;
  }
  check.row_dtype(desc->dtype)
      .index_dtype(desc->id_dtype)
      .not_negative(desc->dim)
      .not_negative(desc->count)
      .not_negative(desc->segments)
      .require(desc->x_stride >= desc->dim && desc->out_stride >= desc->dim, QUERN_INVALID_ARGUMENT);
  return check;
}

dim3 grid_of(int64_t threads) {
  const int64_t blocks = (threads - 1) / kSegmentThreads + 1;
  return dim3(static_cast<unsigned int>(std::min<int64_t>(blocks, INT32_MAX)));
}

}  // namespace
}  // namespace quern

using namespace quern;

quern_status quern_segment_max_prepare(const quern_segment_max_desc* desc, int32_t device) {
  const OperandCheck checked = check(desc);
  if (checked.failed()) {
    return checked.status();
  }
  const DeviceScope scope(device);
  quern_status status = scope.status();
  for (int packed = 0; status == QUERN_OK && packed < 2; ++packed) {
    status = prepare(choose_kernel(desc->dtype, packed != 0));
    if (status == QUERN_OK) {
      status = prepare(choose_finish(packed != 0));
    }
  }
  return status;
}

quern_status quern_segment_max(const quern_segment_max_desc* desc, int32_t device, const void* x,
                               const void* ids, void* out, quern_error_record* errors, void* workspace,
                               size_t workspace_bytes, void* stream) {
  OperandCheck checked = check(desc);
  if (checked.failed()) {
    return checked.status();
  }
  const bool empty = desc->segments == 0 || desc->dim == 0;
  const int64_t element = dtype_bytes(desc->dtype);
  const size_t key_bytes =
      sizeof(unsigned int) * static_cast<size_t>(desc->segments) * static_cast<size_t>(desc->dim);
  if (!empty) {
    checked.operand(out, element)
        .operand(workspace, 16)
        .require(workspace_bytes >= key_bytes, QUERN_INVALID_ARGUMENT);
    if (desc->count > 0) {
      checked.operand(x, element)
          .operand(ids, dtype_bytes(desc->id_dtype))
          .error_record(errors, QUERN_INDEX_FAIL);
    }
  }
  if (checked.failed() || empty) {
    return checked.status();
  }
  const DeviceScope scope(device);
  if (scope.status() != QUERN_OK) {
    return scope.status();
  }
  const int64_t row_bytes = desc->dim * element;
  const bool packed = rows_are_aligned(x, desc->x_stride * element, row_bytes, 16);
  SegmentMaxArguments arguments;
  arguments.x = static_cast<const char*>(x);
  arguments.ids = ids;
  arguments.out = static_cast<char*>(out);
  arguments.keys = static_cast<unsigned int*>(workspace);
  arguments.errors = errors;
  arguments.count = desc->count;
  arguments.segments = desc->segments;
  arguments.dim = desc->dim;
  arguments.packets = packed ? row_bytes / 16 : desc->dim;
  arguments.x_stride = desc->x_stride * element;
  arguments.out_stride = desc->out_stride * element;
  arguments.launch = desc->launch;
  arguments.wide_ids = desc->id_dtype == QUERN_I64;
  arguments.dtype = desc->dtype;

  const cudaError_t cleared = cudaMemsetAsync(workspace, 0, key_bytes, static_cast<cudaStream_t>(stream));
  if (cleared != cudaSuccess) {
    (void)cudaGetLastError();
    return static_cast<quern_status>(cleared);
  }
  if (desc->count > 0) {
    const int64_t strips = (desc->count + kSegmentStrip - 1) / kSegmentStrip;
    const quern_status status =
        launch(choose_kernel(desc->dtype, packed), grid_of(strips * arguments.packets), dim3(kSegmentThreads),
               0, stream, arguments);
    if (status != QUERN_OK) {
      return status;
    }
  }
  const bool packed_out = desc->dim % 4 == 0 && rows_are_aligned(out, desc->out_stride * element, row_bytes,
                                                                 std::min<int64_t>(16, 4 * element));
  return launch(choose_finish(packed_out), grid_of(desc->segments * (desc->dim / (packed_out ? 4 : 1))),
                dim3(kSegmentThreads), 0, stream, arguments);
}
