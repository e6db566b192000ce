// ponet_pooling: check, lay the workspace out, launch. The kernel is in ponet_pooling_kernel.cuh.
#include <algorithm>

#include "core/operand_check.h"
#include "pooling/ponet_layout.h"

namespace quern {
namespace {

using PonetKernel = void (*)(PonetArguments);

// Packets are 16 bytes of the inputs, or single elements.
PonetKernel choose_kernel(int32_t dtype, bool packed) {
  switch (dtype) {
    case QUERN_F32:
      return packed ? ponet_pooling_kernel<F32, 4> : ponet_pooling_kernel<F32, 1>;
    case QUERN_F16:
      return packed ? ponet_pooling_kernel<F16, 8> : ponet_pooling_kernel<F16, 1>;
    default:
      return packed ? ponet_pooling_kernel<BF16, 8> : ponet_pooling_kernel<BF16, 1>;
  }
}

struct PonetScratch {
  PonetWorkspace pieces;
  int64_t cleared;  // bytes from the beginning that have to be zero
  int64_t bytes;
};

PonetScratch lay_out(void* base, int64_t sequences, int64_t count, int32_t heads, int32_t head_dim) {
  const int64_t places = places_of(sequences, count);
  const int64_t columns = static_cast<int64_t>(heads) * head_dim;
  Layout layout(base);
  PonetScratch scratch;
  scratch.pieces.ticket = layout.take<unsigned int>(1);
  scratch.pieces.progress = layout.take<PonetProgress>(sequences * slices_of(heads, head_dim));
  scratch.cleared = layout.bytes();
  scratch.pieces.query_sums = layout.take<float>(places * columns);
  scratch.pieces.queries = layout.take<float>(sequences * columns);
  scratch.pieces.maxima = layout.take<float>(places * heads);
  scratch.pieces.sums = layout.take<float>(places * heads);
  scratch.pieces.value_sums = layout.take<float>(places * columns);
  scratch.pieces.values = layout.take<float>(sequences * columns);
  scratch.pieces.max = layout.take<float>(sequences * heads);
  scratch.pieces.sum = layout.take<float>(sequences * heads);
  scratch.pieces.segment_max = layout.take<unsigned int>(count * columns);
  scratch.bytes = layout.bytes();
  return scratch;
}

OperandCheck check(const quern_ponet_pooling_desc* desc) {
  OperandCheck check;
  check.require(desc != nullptr && desc->size == sizeof(*desc), QUERN_INVALID_DESCRIPTOR);
  if (check.failed()) {
    return check;
  }
  check.row_dtype(desc->x_dtype)
      .row_dtype(desc->out_dtype)
      .index_dtype(desc->offset_dtype)
      .require(desc->heads >= 1 && desc->head_dim >= 1 && desc->head_dim <= QUERN_PONET_MAX_HEAD_DIM,
               QUERN_INVALID_ARGUMENT)
      .require(desc->window == 1 || desc->window == 3 || desc->window == 5 || desc->window == 7,
               QUERN_INVALID_ARGUMENT)
      .require(desc->flavour == QUERN_PONET_BERT || desc->flavour == QUERN_PONET_LRA, QUERN_INVALID_ARGUMENT)
      .not_negative(desc->count)
      .not_negative(desc->sequences);
  if (!check.failed()) {
    const int64_t columns = static_cast<int64_t>(desc->heads) * desc->head_dim;
    check.require(std::min({desc->q_stride, desc->k_stride, desc->o_stride, desc->local_stride,
                            desc->segment_stride, desc->out_stride}) >= columns,
                  QUERN_INVALID_ARGUMENT);
  }
  return check;
}

}  // namespace
}  // namespace quern

using namespace quern;

int64_t quern_ponet_pooling_workspace(int64_t sequences, int64_t count, int32_t heads, int32_t head_dim) {
  if (sequences < 0 || count < 0 || heads < 1 || head_dim < 1) {
    return 0;
  }
  return lay_out(nullptr, sequences, count, heads, head_dim).bytes;
}

quern_status quern_ponet_pooling_prepare(const quern_ponet_pooling_desc* desc, int32_t device) {
  const OperandCheck checked = check(desc);
  if (checked.failed()) {
    return checked.status();
  }
  const DeviceScope scope(device);
  quern_status status = scope.status();
  for (int packed = 0; status == QUERN_OK && packed < 2; ++packed) {
    status = prepare(choose_kernel(desc->x_dtype, packed != 0));
  }
  return status;
}

quern_status quern_ponet_pooling(const quern_ponet_pooling_desc* desc, int32_t device, const void* q,
                                 const void* k, const void* o, const void* local, const void* segment,
                                 const void* offsets, const int32_t* segment_ids, const uint8_t* valid,
                                 const uint8_t* special, void* out, float* probabilities,
                                 quern_error_record* errors, void* workspace, size_t workspace_bytes,
                                 void* stream) {
  OperandCheck checked = check(desc);
  if (checked.failed()) {
    return checked.status();
  }
  const bool empty = desc->count == 0 || desc->sequences == 0;
  const int64_t element = dtype_bytes(desc->x_dtype);
  const int64_t out_element = dtype_bytes(desc->out_dtype);
  const PonetScratch scratch = lay_out(workspace, desc->sequences, desc->count, desc->heads, desc->head_dim);
  if (!empty) {
    checked.operand(q, element)
        .operand(k, element)
        .operand(o, element)
        .operand(local, element)
        .operand(segment, element)
        .operand(offsets, dtype_bytes(desc->offset_dtype))
        .operand(segment_ids, sizeof(int32_t))
        .operand(out, out_element)
        .optional_operand(probabilities, sizeof(float))
        .error_record(errors, QUERN_INDEX_FAIL)
        .operand(workspace, 16)
        .require(workspace_bytes >= static_cast<size_t>(scratch.bytes), QUERN_INVALID_ARGUMENT);
  }
  if (checked.failed() || empty) {
    return checked.status();
  }
  const DeviceScope scope(device);
  if (scope.status() != QUERN_OK) {
    return scope.status();
  }
  const int64_t packet_elements = 16 / element;
  const int64_t head_bytes = desc->head_dim * element;
  const bool packed = rows_are_aligned(q, desc->q_stride * element, head_bytes, 16) &&
                      rows_are_aligned(k, desc->k_stride * element, head_bytes, 16) &&
                      rows_are_aligned(o, desc->o_stride * element, head_bytes, 16) &&
                      rows_are_aligned(local, desc->local_stride * element, head_bytes, 16) &&
                      rows_are_aligned(segment, desc->segment_stride * element, head_bytes, 16) &&
                      rows_are_aligned(out, desc->out_stride * out_element, desc->head_dim * out_element,
                                       std::min<int64_t>(16, packet_elements * out_element));
  PonetArguments arguments = {};
  arguments.sequences = {offsets, desc->sequences, desc->count, desc->offset_dtype == QUERN_I64, 0};
  arguments.workspace = scratch.pieces;
  arguments.q = static_cast<const char*>(q);
  arguments.k = static_cast<const char*>(k);
  arguments.o = static_cast<const char*>(o);
  arguments.local = static_cast<const char*>(local);
  arguments.segment = static_cast<const char*>(segment);
  arguments.segment_ids = segment_ids;
  arguments.valid = valid;
  arguments.special = special;
  arguments.out = static_cast<char*>(out);
  arguments.probabilities = probabilities;
  arguments.errors = errors;
  arguments.launch = desc->launch;
  arguments.q_stride = desc->q_stride * element;
  arguments.k_stride = desc->k_stride * element;
  arguments.o_stride = desc->o_stride * element;
  arguments.local_stride = desc->local_stride * element;
  arguments.segment_stride = desc->segment_stride * element;
  arguments.out_stride = desc->out_stride * out_element;
  arguments.places = places_of(desc->sequences, desc->count);
  set_shape(&arguments, desc->heads, desc->head_dim, desc->window);
  arguments.flavour = desc->flavour;
  arguments.out_dtype = desc->out_dtype;
  arguments.scale = desc->scale;

  const int64_t items = 3 * arguments.places * arguments.slices;
  if (items > INT32_MAX) {
    return QUERN_UNSUPPORTED;
  }
  const quern_status cleared = clear(workspace, scratch.cleared, stream);
  if (cleared != QUERN_OK) {
    return cleared;
  }
  const size_t shared_bytes =
      sizeof(float) * static_cast<size_t>(arguments.slice_heads) * (desc->head_dim + kPonetChunk);
  return launch(choose_kernel(desc->x_dtype, packed), dim3(static_cast<unsigned int>(items)),
                dim3(kPonetThreads), shared_bytes, stream, arguments);
}
