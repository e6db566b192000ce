// ponet_chunks: check, lay state and workspace out, launch a pass. The kernels are in
// ponet_chunks_kernel.cuh.
#include "core/operand_check.h"
#include "pooling/ponet_chunks_kernel.cuh"
#include "pooling/ponet_layout.h"

namespace quern {
namespace {

using ChunkKernel = void (*)(PonetArguments);

enum Pass { kQueries, kKeys, kFuse };

template <typename Element, int N>
ChunkKernel choose_pass(Pass pass) {
  switch (pass) {
    case kQueries:
      return ponet_chunk_queries_kernel<Element, N>;
    case kKeys:
      return ponet_chunk_keys_kernel<Element, N>;
    default:
      return ponet_chunk_fuse_kernel<Element, N>;
  }
}

ChunkKernel choose_kernel(int32_t dtype, bool packed, Pass pass) {
  switch (dtype) {
    case QUERN_F32:
      return packed ? choose_pass<F32, 4>(pass) : choose_pass<F32, 1>(pass);
    case QUERN_F16:
      return packed ? choose_pass<F16, 8>(pass) : choose_pass<F16, 1>(pass);
    default:
      return packed ? choose_pass<BF16, 8>(pass) : choose_pass<BF16, 1>(pass);
  }
}

// Lays the state out and gives its bytes.
int64_t lay_out_state(void* base, int32_t heads, int32_t head_dim, PonetCarried* carried) {
  const int64_t columns = static_cast<int64_t>(heads) * head_dim;
  Layout layout(base);
  carried->counts = layout.take<int64_t>(2);
  // Back to back: Java reserves as many bytes.
  float* floats = layout.take<float>(2 * columns + 2 * static_cast<int64_t>(heads));
  if (base != nullptr) {
    carried->total = floats;
    carried->value = floats + columns;
    carried->max = carried->value + columns;
    carried->sum = carried->max + heads;
  }
  return layout.bytes();
}

// Gives the bytes from the beginning that have to be zero, and all of them.
int64_t lay_out_workspace(void* base, int64_t count, int32_t heads, int32_t head_dim,
                          PonetWorkspace* workspace, int64_t* bytes) {
  const int64_t places = places_of(1, count);
  const int64_t columns = static_cast<int64_t>(heads) * head_dim;
  Layout layout(base);
  workspace->progress = layout.take<PonetProgress>(slices_of(heads, head_dim));
  const int64_t cleared = layout.bytes();
  workspace->query_sums = layout.take<float>(places * columns);
  workspace->value_sums = workspace->query_sums;  // of another pass
  workspace->maxima = layout.take<float>(places * heads);
  workspace->sums = layout.take<float>(places * heads);
  *bytes = layout.bytes();
  return cleared;
}

OperandCheck check(const quern_ponet_chunks_desc* desc) {
  OperandCheck check;
  check.require(desc != nullptr && desc->size == sizeof(*desc), QUERN_INVALID_DESCRIPTOR);
  if (check.failed()) {
    return check;
  }
  check.row_dtype(desc->x_dtype)
      .row_dtype(desc->out_dtype)
      .require(desc->heads >= 1 && desc->head_dim >= 1 && desc->head_dim <= QUERN_PONET_MAX_HEAD_DIM,
               QUERN_INVALID_ARGUMENT)
      .require(desc->window == 1 || desc->window == 3 || desc->window == 5 || desc->window == 7,
               QUERN_INVALID_ARGUMENT)
      .require(desc->flavour == QUERN_PONET_BERT || desc->flavour == QUERN_PONET_LRA, QUERN_INVALID_ARGUMENT)
      .require(desc->before >= 0 && desc->before <= desc->window / 2 && desc->after >= 0 &&
                   desc->after <= desc->window / 2,
               QUERN_INVALID_ARGUMENT)
      .require(desc->position >= 0 && desc->position % kPonetChunk == 0, QUERN_INVALID_ARGUMENT)
      .not_negative(desc->count)
      .not_negative(desc->segments);
  if (!check.failed()) {
    const int64_t columns = static_cast<int64_t>(desc->heads) * desc->head_dim;
    check.require(std::min({desc->q_stride, desc->k_stride, desc->o_stride, desc->local_stride,
                            desc->segment_stride, desc->out_stride}) >= columns,
                  QUERN_INVALID_ARGUMENT);
  }
  return check;
}

// What all passes have in common.
PonetArguments arguments_of(const quern_ponet_chunks_desc* desc, void* state, void* segment_max) {
  const int64_t element = dtype_bytes(desc->x_dtype);
  PonetArguments arguments = {};
  arguments.sequences = {nullptr, 1, desc->count, 0, 0};
  lay_out_state(state, desc->heads, desc->head_dim, &arguments.carried);
  arguments.workspace.segment_max = static_cast<unsigned int*>(segment_max);
  set_shape(&arguments, desc->heads, desc->head_dim, desc->window);
  arguments.places = places_of(1, desc->count);
  arguments.q_stride = desc->q_stride * element;
  arguments.k_stride = desc->k_stride * element;
  arguments.o_stride = desc->o_stride * element;
  arguments.local_stride = desc->local_stride * element;
  arguments.segment_stride = desc->segment_stride * element;
  arguments.out_stride = desc->out_stride * dtype_bytes(desc->out_dtype);
  arguments.flavour = desc->flavour;
  arguments.out_dtype = desc->out_dtype;
  arguments.scale = desc->scale;
  arguments.segments = desc->segments;
  arguments.position = desc->position;
  arguments.before = desc->before;
  arguments.after = desc->after;
  arguments.launch = desc->launch;
  return arguments;
}

bool rows_are_packed(const quern_ponet_chunks_desc* desc, const void* rows, int64_t stride) {
  const int64_t element = dtype_bytes(desc->x_dtype);
  return rows_are_aligned(rows, stride * element, desc->head_dim * element, 16);
}

quern_status launch_pass(const quern_ponet_chunks_desc* desc, bool packed, Pass pass,
                         const PonetArguments& arguments, void* stream) {
  const int64_t blocks = (desc->count + kPonetChunk - 1) / kPonetChunk * arguments.slices;
  if (blocks > INT32_MAX) {
    return QUERN_UNSUPPORTED;
  }
  const size_t shared_bytes = pass == kKeys ? sizeof(float) * static_cast<size_t>(arguments.slice_heads) *
                                                  (desc->head_dim + kPonetChunk)
                                            : 0;
  return launch(choose_kernel(desc->x_dtype, packed, pass), dim3(static_cast<unsigned int>(blocks)),
                dim3(kPonetThreads), shared_bytes, stream, arguments);
}

}  // namespace
}  // namespace quern

using namespace quern;

int64_t quern_ponet_chunks_state(int32_t heads, int32_t head_dim) {
  PonetCarried carried = {};
  return heads < 1 || head_dim < 1 ? 0 : lay_out_state(nullptr, heads, head_dim, &carried);
}

int64_t quern_ponet_chunks_workspace(int64_t count, int32_t heads, int32_t head_dim) {
  if (count < 0 || heads < 1 || head_dim < 1) {
    return 0;
  }
  PonetWorkspace workspace = {};
  int64_t bytes;
  lay_out_workspace(nullptr, count, heads, head_dim, &workspace, &bytes);
  return bytes;
}

quern_status quern_ponet_chunks_prepare(const quern_ponet_chunks_desc* desc, int32_t device) {
  const OperandCheck checked = check(desc);
  if (checked.failed()) {
    return checked.status();
  }
  const DeviceScope scope(device);
  quern_status status = scope.status();
  for (const Pass pass : {kQueries, kKeys, kFuse}) {
    for (int packed = 0; status == QUERN_OK && packed < 2; ++packed) {
      status = prepare(choose_kernel(desc->x_dtype, packed != 0, pass));
    }
  }
  return status;
}

quern_status quern_ponet_chunks_start(const quern_ponet_chunks_desc* desc, int32_t device, void* state,
                                      float* segment_max, void* stream) {
  OperandCheck checked = check(desc);
  if (checked.failed()) {
    return checked.status();
  }
  checked.operand(state, 16);
  if (desc->segments > 0) {
    checked.operand(segment_max, sizeof(float));
  }
  if (checked.failed()) {
    return checked.status();
  }
  const DeviceScope scope(device);
  if (scope.status() != QUERN_OK) {
    return scope.status();
  }
  const quern_status cleared = clear(state, quern_ponet_chunks_state(desc->heads, desc->head_dim), stream);
  const int64_t table = desc->segments * desc->heads * desc->head_dim * static_cast<int64_t>(sizeof(float));
  return cleared != QUERN_OK || table == 0 ? cleared : clear(segment_max, table, stream);
}

quern_status quern_ponet_chunks_queries(const quern_ponet_chunks_desc* desc, int32_t device, const void* q,
                                        const uint8_t* valid, void* state, void* workspace,
                                        size_t workspace_bytes, void* stream) {
  OperandCheck checked = check(desc);
  if (checked.failed() || desc->count == 0) {
    return checked.status();
  }
  PonetArguments arguments = arguments_of(desc, state, nullptr);
  int64_t bytes;
  const int64_t cleared_bytes =
      lay_out_workspace(workspace, desc->count, desc->heads, desc->head_dim, &arguments.workspace, &bytes);
  checked.operand(q, dtype_bytes(desc->x_dtype))
      .operand(state, 16)
      .operand(workspace, 16)
      .require(workspace_bytes >= static_cast<size_t>(bytes), QUERN_INVALID_ARGUMENT);
  const DeviceScope scope(device);
  if (checked.failed() || scope.status() != QUERN_OK) {
    return checked.failed() ? checked.status() : scope.status();
  }
  arguments.q = static_cast<const char*>(q);
  arguments.valid = valid;
  const quern_status cleared = clear(workspace, cleared_bytes, stream);
  return cleared != QUERN_OK
             ? cleared
             : launch_pass(desc, rows_are_packed(desc, q, desc->q_stride), kQueries, arguments, stream);
}

quern_status quern_ponet_chunks_keys(const quern_ponet_chunks_desc* desc, int32_t device, const void* k,
                                     const void* segment, const int32_t* segment_ids, const uint8_t* valid,
                                     float* probabilities, void* state, float* segment_max, void* workspace,
                                     size_t workspace_bytes, void* stream) {
  OperandCheck checked = check(desc);
  if (checked.failed() || desc->count == 0) {
    return checked.status();
  }
  PonetArguments arguments = arguments_of(desc, state, segment_max);
  int64_t bytes;
  const int64_t cleared_bytes =
      lay_out_workspace(workspace, desc->count, desc->heads, desc->head_dim, &arguments.workspace, &bytes);
  checked.operand(k, dtype_bytes(desc->x_dtype))
      .operand(segment, dtype_bytes(desc->x_dtype))
      .operand(segment_ids, sizeof(int32_t))
      .optional_operand(probabilities, sizeof(float))
      .operand(state, 16)
      .operand(workspace, 16)
      .require(workspace_bytes >= static_cast<size_t>(bytes), QUERN_INVALID_ARGUMENT);
  if (desc->segments > 0) {
    checked.operand(segment_max, sizeof(float));
  }
  const DeviceScope scope(device);
  if (checked.failed() || scope.status() != QUERN_OK) {
    return checked.failed() ? checked.status() : scope.status();
  }
  arguments.k = static_cast<const char*>(k);
  arguments.segment = static_cast<const char*>(segment);
  arguments.segment_ids = segment_ids;
  arguments.valid = valid;
  arguments.probabilities = probabilities;
  const bool packed =
      rows_are_packed(desc, k, desc->k_stride) && rows_are_packed(desc, segment, desc->segment_stride);
  const quern_status cleared = clear(workspace, cleared_bytes, stream);
  return cleared != QUERN_OK ? cleared : launch_pass(desc, packed, kKeys, arguments, stream);
}

quern_status quern_ponet_chunks_fuse(const quern_ponet_chunks_desc* desc, int32_t device, const void* o,
                                     const void* local, const int32_t* segment_ids, const uint8_t* valid,
                                     const uint8_t* special, void* state, float* segment_max, void* out,
                                     float* probabilities, quern_error_record* errors, void* stream) {
  OperandCheck checked = check(desc);
  if (checked.failed() || desc->count == 0) {
    return checked.status();
  }
  PonetArguments arguments = arguments_of(desc, state, segment_max);
  const int64_t element = dtype_bytes(desc->x_dtype);
  const int64_t out_element = dtype_bytes(desc->out_dtype);
  checked.operand(o, element)
      .operand(local, element)
      .operand(segment_ids, sizeof(int32_t))
      .operand(state, 16)
      .operand(out, out_element)
      .optional_operand(probabilities, sizeof(float))
      .error_record(errors, QUERN_INDEX_FAIL);
  if (desc->segments > 0) {
    checked.operand(segment_max, sizeof(float));
  }
  const DeviceScope scope(device);
  if (checked.failed() || scope.status() != QUERN_OK) {
    return checked.failed() ? checked.status() : scope.status();
  }
  arguments.o = static_cast<const char*>(o);
  arguments.local = static_cast<const char*>(local) + desc->before * arguments.local_stride;
  arguments.segment_ids = segment_ids;
  arguments.valid = valid == nullptr ? nullptr : valid + desc->before;
  arguments.special = special == nullptr ? nullptr : special + desc->before;
  arguments.out = static_cast<char*>(out);
  arguments.probabilities = probabilities;
  arguments.errors = errors;
  const int64_t packet_elements = 16 / element;
  const bool packed = rows_are_packed(desc, o, desc->o_stride) &&
                      rows_are_packed(desc, local, desc->local_stride) &&
                      rows_are_aligned(out, desc->out_stride * out_element, desc->head_dim * out_element,
                                       std::min<int64_t>(16, packet_elements * out_element));
  return launch_pass(desc, packed, kFuse, arguments, stream);
}
