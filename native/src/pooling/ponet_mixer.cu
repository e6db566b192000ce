// ponet_mixer: check, lay the workspace out, launch. The kernels are in ponet_mixer_kernel.cuh.
#include "core/operand_check.h"
#include "pooling/ponet_layout.h"
#include "pooling/ponet_mixer_kernel.cuh"

namespace quern {
namespace {

using MixerKernel = void (*)(MixerArguments);

// Kernels that read x.
struct MixerKernels {
  MixerKernel mean;
  MixerKernel keys;
  MixerKernel small_project;
  MixerKernel project;
};

template <typename Element, int N>
MixerKernels kernels_of() {
  return {mixer_mean_kernel<Element, N>, mixer_keys_kernel<Element, N>, mixer_project_kernel<Element, 4>,
          mixer_project_kernel<Element, 8>};
}

MixerKernels choose_kernels(int32_t dtype, bool packed) {
  switch (dtype) {
    case QUERN_F32:
      return packed ? kernels_of<F32, 4>() : kernels_of<F32, 1>();
    case QUERN_F16:
      return packed ? kernels_of<F16, 8>() : kernels_of<F16, 1>();
    default:
      return packed ? kernels_of<BF16, 8>() : kernels_of<BF16, 1>();
  }
}

struct MixerScratch {
  MixerArguments pieces;
  int64_t cleared;  // bytes from the beginning that have to be zero
  int64_t bytes;
};

MixerScratch lay_out(void* base, int64_t sequences, int64_t count, int32_t heads, int32_t head_dim) {
  const int64_t places = places_of(sequences, count);
  const int64_t columns = static_cast<int64_t>(heads) * head_dim;
  Layout layout(base);
  MixerScratch scratch = {};
  PonetWorkspace& workspace = scratch.pieces.pooling.workspace;
  workspace.progress = layout.take<PonetProgress>(sequences * slices_of(heads, head_dim));
  scratch.cleared = layout.bytes();
  workspace.query_sums = layout.take<float>(places * columns);
  workspace.queries = layout.take<float>(sequences * columns);
  workspace.maxima = layout.take<float>(places * heads);
  workspace.sums = layout.take<float>(places * heads);
  workspace.values = layout.take<float>(sequences * columns);
  workspace.max = layout.take<float>(sequences * heads);
  workspace.sum = layout.take<float>(sequences * heads);
  workspace.segment_max = layout.take<unsigned int>(count * columns);
  scratch.pieces.asked = layout.take<float>(sequences * columns);
  scratch.pieces.folded = layout.take<float>(sequences * heads * columns);
  scratch.pieces.wide_sums = layout.take<float>(places * heads * columns);
  scratch.pieces.projected = layout.take<float>(3 * count * columns);
  scratch.bytes = layout.bytes();
  return scratch;
}

OperandCheck check(const quern_ponet_mixer_desc* desc) {
  OperandCheck check;
  check.require(desc != nullptr && desc->size == sizeof(*desc), QUERN_INVALID_DESCRIPTOR);
  if (check.failed()) {
    return check;
  }
  check.row_dtype(desc->x_dtype)
      .row_dtype(desc->out_dtype)
      .index_dtype(desc->offset_dtype)
      .require(desc->heads >= 1 && desc->head_dim >= 1 &&
                   static_cast<int64_t>(desc->heads) * desc->head_dim <= QUERN_PONET_MIXER_MAX_COLUMNS,
               QUERN_INVALID_ARGUMENT)
      .require(desc->window == 1 || desc->window == 3 || desc->window == 5 || desc->window == 7,
               QUERN_INVALID_ARGUMENT)
      .require(desc->flavour == QUERN_PONET_BERT || desc->flavour == QUERN_PONET_LRA, QUERN_INVALID_ARGUMENT)
      .not_negative(desc->count)
      .not_negative(desc->sequences);
  if (!check.failed()) {
    const int64_t columns = static_cast<int64_t>(desc->heads) * desc->head_dim;
    check.require(std::min(desc->x_stride, desc->out_stride) >= columns, QUERN_INVALID_ARGUMENT);
  }
  return check;
}

unsigned int blocks(int64_t work, int64_t of_block) {
  return static_cast<unsigned int>((work + of_block - 1) / of_block);
}

quern_status launch_all(const quern_ponet_mixer_desc* desc, bool packed, bool rows_packed,
                        const MixerArguments& x, void* stream) {
  const int64_t columns = x.pooling.columns;
  const MixerKernels kernels = choose_kernels(desc->x_dtype, packed);
  const dim3 items(static_cast<unsigned int>(x.pooling.places * x.pooling.slices));
  const dim3 threads(kPonetThreads);
  const dim3 layer(blocks(desc->sequences * columns, kPonetThreads / kRowLanes));
  const size_t scores =
      sizeof(float) * static_cast<size_t>(x.pooling.slice_heads) * static_cast<size_t>(kPonetChunk);
  const bool small = columns < 256 || desc->count < 128;
  const int64_t tile = small ? ProductTile<4>::kRows : ProductTile<8>::kRows;
  const dim3 tiles(blocks(desc->count, tile), blocks(columns, tile), 3);
  quern_status status = launch(kernels.mean, items, threads, 0, stream, x);
  const auto next = [&](MixerKernel kernel, dim3 grid, dim3 block, size_t shared, const MixerArguments& of) {
    status = status == QUERN_OK ? launch(kernel, grid, block, shared, stream, of) : status;
  };
  next(mixer_ask_kernel, layer, threads, 0, x);
  next(mixer_fold_kernel, dim3(blocks(desc->sequences * desc->heads * columns, kPonetThreads)), threads, 0,
       x);
  next(kernels.keys, items, threads, scores, x);
  next(mixer_merge_kernel, dim3(blocks(desc->sequences * desc->heads, 1)), threads, 0, x);
  next(mixer_tell_kernel, layer, threads, 0, x);
  next(small ? kernels.small_project : kernels.project, tiles, dim3(kProductThreads), 0, x);
  next(rows_packed ? mixer_raise_kernel<4> : mixer_raise_kernel<1>, items, threads, 0, x);
  next(rows_packed ? mixer_fuse_kernel<4> : mixer_fuse_kernel<1>, items, threads, 0, x);
  return status;
}

}  // namespace
}  // namespace quern

using namespace quern;

int64_t quern_ponet_mixer_workspace(int64_t sequences, int64_t count, int32_t heads, int32_t head_dim) {
  if (sequences < 0 || count < 0 || heads < 1 || head_dim < 1) {
    return 0;
  }
  return lay_out(nullptr, sequences, count, heads, head_dim).bytes;
}

quern_status quern_ponet_mixer_prepare(const quern_ponet_mixer_desc* desc, int32_t device) {
  const OperandCheck checked = check(desc);
  if (checked.failed()) {
    return checked.status();
  }
  const DeviceScope scope(device);
  quern_status status = scope.status();
  const auto next = [&](MixerKernel kernel) { status = status == QUERN_OK ? prepare(kernel) : status; };
  for (const bool packed : {false, true}) {
    const MixerKernels kernels = choose_kernels(desc->x_dtype, packed);
    next(kernels.mean);
    next(kernels.keys);
    next(kernels.small_project);
    next(kernels.project);
  }
  next(mixer_ask_kernel);
  next(mixer_fold_kernel);
  next(mixer_merge_kernel);
  next(mixer_tell_kernel);
  next(mixer_raise_kernel<1>);
  next(mixer_raise_kernel<4>);
  next(mixer_fuse_kernel<1>);
  next(mixer_fuse_kernel<4>);
  return status;
}

quern_status quern_ponet_mixer(const quern_ponet_mixer_desc* desc, int32_t device, const void* x,
                               const float* weight, const float* bias, const void* offsets,
                               const int32_t* segment_ids, const uint8_t* valid, const uint8_t* special,
                               void* out, float* probabilities, quern_error_record* errors, void* workspace,
                               size_t workspace_bytes, void* stream) {
  OperandCheck checked = check(desc);
  if (checked.failed()) {
    return checked.status();
  }
  const bool empty = desc->count == 0 || desc->sequences == 0;
  const int64_t element = dtype_bytes(desc->x_dtype);
  const int64_t out_element = dtype_bytes(desc->out_dtype);
  const MixerScratch scratch = lay_out(workspace, desc->sequences, desc->count, desc->heads, desc->head_dim);
  if (!empty) {
    checked.operand(x, element)
        .operand(weight, sizeof(float))
        .operand(bias, sizeof(float))
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
  MixerArguments of_x = scratch.pieces;
  PonetArguments& pooling = of_x.pooling;
  set_shape(&pooling, desc->heads, desc->head_dim, desc->window);
  pooling.sequences = {offsets, desc->sequences, desc->count, desc->offset_dtype == QUERN_I64, 0};
  pooling.places = places_of(desc->sequences, desc->count);
  pooling.q = static_cast<const char*>(x);
  pooling.k = pooling.q;
  pooling.q_stride = desc->x_stride * element;
  pooling.k_stride = pooling.q_stride;
  pooling.segment_ids = segment_ids;
  pooling.valid = valid;
  pooling.special = special;
  pooling.out = static_cast<char*>(out);
  pooling.out_stride = desc->out_stride * out_element;
  pooling.out_dtype = desc->out_dtype;
  pooling.probabilities = probabilities;
  pooling.errors = errors;
  pooling.launch = desc->launch;
  pooling.flavour = desc->flavour;
  pooling.scale = desc->scale;
  of_x.weight = weight;
  of_x.bias = bias;
  const int64_t row_bytes = pooling.columns * static_cast<int64_t>(sizeof(float));
  of_x.weight_aligned = rows_are_aligned(weight, row_bytes, row_bytes, 16);
  pooling.o = reinterpret_cast<const char*>(of_x.projected);
  pooling.local = pooling.o + desc->count * row_bytes;
  pooling.segment = pooling.local + desc->count * row_bytes;
  pooling.o_stride = row_bytes;
  pooling.local_stride = row_bytes;
  pooling.segment_stride = row_bytes;
  if (pooling.places * pooling.slices > INT32_MAX ||
      desc->sequences * desc->heads * pooling.columns > INT32_MAX) {
    return QUERN_UNSUPPORTED;
  }
  const bool packed = rows_are_aligned(x, pooling.q_stride, desc->head_dim * element, 16);
  const bool rows_packed =
      desc->head_dim % 4 == 0 && rows_are_aligned(out, pooling.out_stride, desc->head_dim * out_element,
                                                  std::min<int64_t>(16, 4 * out_element));
  const quern_status cleared = clear(workspace, scratch.cleared, stream);
  return cleared != QUERN_OK ? cleared : launch_all(desc, packed, rows_packed, of_x, stream);
}
