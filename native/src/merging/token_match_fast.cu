// token_match's fast form, but for the products: check, launch. The kernels are in
// token_match_fast_kernel.cuh and token_match_kernel.cuh.
#include <algorithm>

#include "merging/descriptors.h"
#include "merging/token_match_fast_kernel.cuh"

namespace quern {
namespace {

// Scores of a tile, 16 MiB: what the product writes is still in the second-level cache of a GPU of data
// centres (40 MiB and more) when the argmax reads it, and a product of that size has blocks for all of its
// multiprocessors.
constexpr int64_t kTileScores = int64_t{4} << 20;
constexpr int64_t kTileDestinations = 4096;

using PackKernel = void (*)(TokenMatchArguments, PackedRows);

PackKernel pack_kernel(int32_t dtype) {
  return dtype == QUERN_F32   ? token_pack_kernel<F32>
         : dtype == QUERN_F16 ? token_pack_kernel<F16>
                              : token_pack_kernel<BF16>;
}

int64_t round_up(int64_t value, int64_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

// The workspace: scores of a tile, packed rows, then that of the canonical form.
quern_token_match_fast_layout layout_of(const quern_token_match_desc& desc, const MatchPlan& plan) {
  const int64_t element = dtype_bytes(desc.metric_dtype);
  quern_token_match_fast_layout layout = {};
  layout.size = sizeof(layout);
  layout.sources = plan.sources;
  layout.destinations = plan.destinations;
  layout.depth = round_up(desc.dim, 16 / element);
  layout.tile_destinations = std::min(plan.destinations, kTileDestinations);
  layout.score_stride = round_up(layout.tile_destinations, 4);
  layout.tile_sources = std::min(plan.sources, kTileScores / layout.score_stride);
  layout.tile_batches = 1;
  if (layout.tile_sources == plan.sources && layout.tile_destinations == plan.destinations) {
    layout.tile_batches =
        std::clamp<int64_t>(kTileScores / (layout.tile_sources * layout.score_stride), 1, kManyBlocks);
  }
  const int64_t scores = layout.tile_batches * layout.tile_sources * layout.score_stride;
  layout.packed = round_up(scores * static_cast<int64_t>(sizeof(float)), 16);
  layout.bytes =
      layout.packed + desc.batch * plan.listed() * layout.depth * element + workspace_of(desc, plan).bytes;
  return layout;
}

// A descriptor with products to be made.
OperandCheck check_fast(const quern_token_match_desc* desc) {
  OperandCheck checked = check(desc);
  if (!checked.failed()) {
    const MatchPlan plan = plan_of(*desc);
    checked.require(!plan.identity && plan.sources > 0 && plan.destinations > 0, QUERN_UNSUPPORTED);
  }
  return checked;
}

// What each step needs: operands that are checked, and the arguments without them.
struct Step {
  MatchPlan plan;
  quern_token_match_fast_layout layout;
  TokenMatchArguments arguments;
  PackedRows packed;
  dim3 rows;

  Step(const quern_token_match_desc& desc, void* workspace)
      : plan(plan_of(desc)), layout(layout_of(desc, plan)) {
    const int64_t element = dtype_bytes(desc.metric_dtype);
    packed.data = static_cast<char*>(workspace) + layout.packed;
    packed.depth = layout.depth;
    packed.row_bytes = layout.depth * element;
    arguments = match_arguments(desc, plan);
    set_workspace(arguments, workspace_of(desc, plan),
                  packed.data + desc.batch * plan.listed() * packed.row_bytes);
    rows = dim3(static_cast<unsigned int>(std::min(desc.batch, kManyBlocks)));
  }
};

void check_workspace(OperandCheck& checked, const quern_token_match_desc& desc, const void* workspace,
                     int64_t workspace_bytes) {
  if (!checked.failed()) {
    checked.operand(workspace, 16)
        .require(workspace_bytes >= layout_of(desc, plan_of(desc)).bytes, QUERN_INVALID_ARGUMENT);
  }
}

unsigned int many(int64_t blocks) {
  return static_cast<unsigned int>(std::clamp<int64_t>(blocks, 1, kManyBlocks));
}

bool is_part(int64_t first, int64_t count, int64_t most, int64_t all) {
  return first >= 0 && count >= 1 && count <= most && first <= all - count;
}

}  // namespace
}  // namespace quern

using namespace quern;

quern_status quern_token_match_fast_plan(const quern_token_match_desc* desc,
                                         quern_token_match_fast_layout* layout) {
  OperandCheck checked = check_fast(desc);
  checked.require(layout != nullptr && layout->size == sizeof(*layout), QUERN_INVALID_DESCRIPTOR);
  if (!checked.failed()) {
    *layout = layout_of(*desc, plan_of(*desc));
  }
  return checked.status();
}

quern_status quern_token_match_fast_prepare(const quern_token_match_desc* desc, int32_t device) {
  const OperandCheck checked = check_fast(desc);
  if (checked.failed()) {
    return checked.status();
  }
  const DeviceScope scope(device);
  quern_status status = scope.status();
  for (const MatchKernel kernel : {list_kernel(), place_kernel()}) {
    status = status != QUERN_OK ? status : prepare(kernel);
  }
  status = status != QUERN_OK ? status : prepare(pack_kernel(desc->metric_dtype));
  return status != QUERN_OK ? status : prepare(token_argmax_kernel);
}

quern_status quern_token_match_fast_pack(const quern_token_match_desc* desc, int32_t device,
                                         const void* metric, const int32_t* order, int32_t* slot,
                                         void* workspace, int64_t workspace_bytes, void* stream) {
  OperandCheck checked = check_fast(desc);
  if (checked.failed() || desc->batch == 0) {
    return checked.status();
  }
  const int64_t element = dtype_bytes(desc->metric_dtype);
  checked.operand(metric, element).operand(slot, sizeof(int32_t)).optional_operand(order, sizeof(int32_t));
  check_workspace(checked, *desc, workspace, workspace_bytes);
  if (checked.failed()) {
    return checked.status();
  }
  Step step(*desc, workspace);
  step.arguments.metric = static_cast<const char*>(metric);
  step.arguments.order = order;
  step.arguments.slot = slot;
  step.arguments.wide_metric = is_aligned(metric, 4 * element) && step.arguments.stride % (4 * element) == 0;
  const DeviceScope scope(device);
  if (scope.status() != QUERN_OK) {
    return scope.status();
  }
  const quern_status status =
      launch(list_kernel(), step.rows, dim3(kMatchThreads), 0, stream, step.arguments);
  const int64_t half_warps = kMatchThreads / kRowLanes;
  return status != QUERN_OK
             ? status
             : launch(pack_kernel(desc->metric_dtype),
                      dim3(many((step.plan.listed() + half_warps - 1) / half_warps), many(desc->batch)),
                      dim3(kMatchThreads), 0, stream, step.arguments, step.packed);
}

quern_status quern_token_match_fast_argmax(const quern_token_match_desc* desc, int32_t device,
                                           int64_t first_batch, int64_t batches, int64_t first_source,
                                           int64_t sources, int64_t first_destination, int64_t destinations,
                                           void* workspace, int64_t workspace_bytes, void* stream) {
  OperandCheck checked = check_fast(desc);
  check_workspace(checked, *desc, workspace, workspace_bytes);
  if (checked.failed()) {
    return checked.status();
  }
  const Step step(*desc, workspace);
  const quern_token_match_fast_layout& layout = step.layout;
  checked.require(is_part(first_batch, batches, layout.tile_batches, desc->batch), QUERN_INVALID_ARGUMENT)
      .require(is_part(first_source, sources, layout.tile_sources, layout.sources), QUERN_INVALID_ARGUMENT)
      .require(is_part(first_destination, destinations, layout.tile_destinations, layout.destinations),
               QUERN_INVALID_ARGUMENT);
  if (checked.failed()) {
    return checked.status();
  }
  ScoreTile tile;
  tile.scores = static_cast<const float*>(workspace);
  tile.rows = layout.tile_sources;
  tile.stride = layout.score_stride;
  tile.first_batch = first_batch;
  tile.batches = batches;
  tile.first_source = first_source;
  tile.sources = sources;
  tile.first_destination = first_destination;
  tile.destinations = destinations;
  const DeviceScope scope(device);
  const int64_t warps = kMatchThreads / 32;
  return scope.status() != QUERN_OK
             ? scope.status()
             : launch(token_argmax_kernel, dim3(many((sources + warps - 1) / warps), many(batches)),
                      dim3(kMatchThreads), 0, stream, step.arguments, tile);
}

quern_status quern_token_match_fast_place(const quern_token_match_desc* desc, int32_t device,
                                          const int32_t* limits, int32_t* slot, float* similarity,
                                          int32_t* count, void* workspace, int64_t workspace_bytes,
                                          void* stream) {
  OperandCheck checked = check_fast(desc);
  if (checked.failed() || desc->batch == 0) {
    return checked.status();
  }
  checked.operand(slot, sizeof(int32_t))
      .optional_operand(limits, sizeof(int32_t))
      .optional_operand(similarity, sizeof(float))
      .optional_operand(count, sizeof(int32_t));
  check_workspace(checked, *desc, workspace, workspace_bytes);
  if (checked.failed()) {
    return checked.status();
  }
  Step step(*desc, workspace);
  step.arguments.limits = limits;
  step.arguments.slot = slot;
  step.arguments.similarity = similarity;
  step.arguments.count = count;
  const DeviceScope scope(device);
  return scope.status() != QUERN_OK ? scope.status()
                                    : launch(place_kernel(), step.rows, dim3(kMatchThreads),
                                             place_shared_bytes(step.arguments), stream, step.arguments);
}
