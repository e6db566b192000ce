// merge_step: check, choose, launch. The kernel is in merge_step_kernel.cuh.
#include <algorithm>

#include "merging/descriptors.h"
#include "merging/merge_step_kernel.cuh"

namespace quern {
namespace {

using StepKernel = void (*)(MergeStepArguments);

constexpr int64_t kManyRows = 65535;

// What a block has without asking: 36 bytes a token at most and the tile of its products.
static_assert(36 * QUERN_MERGE_STEP_TOKENS + 256 + sizeof(ProductTile<4>::Shared) <= 48 << 10);

StepKernel step_kernel(int32_t metric_dtype) {
  return metric_dtype == QUERN_F32   ? merge_step_kernel<F32>
         : metric_dtype == QUERN_F16 ? merge_step_kernel<F16>
                                     : merge_step_kernel<BF16>;
}

StepMemory memory_of(const quern_merge_step_desc& desc, const MatchPlan& plan) {
  StepMemory memory = {};
  int32_t at = 0;
  const auto take = [&](int64_t bytes) {
    const int32_t begin = at;
    at += static_cast<int32_t>((bytes + 15) / 16 * 16);
    memory.bytes = std::max(memory.bytes, at);
    return begin;
  };
  const int64_t tokens = desc.match.tokens;
  memory.slots = take(tokens * 4);
  memory.sizes = take(tokens * 4);
  memory.valid = take(4);
  const int32_t lasting = at;
  if (desc.heads > 0) {
    memory.order_keys = take(int64_t{8} << sort_bits(tokens));
  }
  at = lasting;
  if (!plan.identity) {
    memory.best = take(plan.sources * 8);
    memory.keys = take(plan.selects ? int64_t{8} << sort_bits(plan) : 0);
    memory.norms = take(plan.listed() * 4);
    memory.lists = take(plan.listed() * 4);
    memory.index = take(plan.sources * 4);
  }
  at = lasting;
  memory.row_keys = take(int64_t{8} << sort_bits(tokens));
  memory.begins = take(desc.merge.merged * 4);
  memory.ends = take(desc.merge.merged * 4);
  memory.totals = take(desc.merge.merged * 4);
  return memory;
}

OperandCheck check(const quern_merge_step_desc* desc) {
  OperandCheck checked;
  checked.require(desc != nullptr && desc->size == sizeof(*desc), QUERN_INVALID_DESCRIPTOR);
  if (checked.failed()) {
    return checked;
  }
  checked = quern::check(&desc->match);
  if (checked.failed()) {
    return checked;
  }
  checked = quern::check(&desc->merge);
  checked.require(desc->match.batch == desc->merge.batch, QUERN_INVALID_ARGUMENT)
      .require(desc->match.tokens == desc->merge.tokens, QUERN_INVALID_ARGUMENT)
      .require(desc->merge.merged <= desc->merge.tokens, QUERN_INVALID_ARGUMENT)
      .not_negative(desc->heads)
      .require(desc->heads == 0 || desc->match.scheme == QUERN_MERGE_HEAD_TAIL, QUERN_INVALID_ARGUMENT)
      .require(desc->heads == 0 || desc->attention_stride >= desc->match.tokens, QUERN_INVALID_ARGUMENT)
      .require(desc->match.tokens <= QUERN_MERGE_STEP_TOKENS, QUERN_UNSUPPORTED);
  return checked;
}

// As many slices as keep one block on each multiprocessor. All blocks of a batch row match it again, which
// costs no time where they are on multiprocessors that had nothing to do, and would double it where not: so
// large batches have one slice, and a small one is merged by the whole GPU. That holds whatever the match
// costs, and so for DiffRate too, whose metric are the features.
quern_status slices_of(int32_t device, int64_t batch, int64_t packets, unsigned int* slices) {
  int multiprocessors = 1;
  const cudaError_t status = cudaDeviceGetAttribute(&multiprocessors, cudaDevAttrMultiProcessorCount, device);
  if (status != cudaSuccess) {
    (void)cudaGetLastError();
  }
  const int64_t most = std::max<int64_t>((packets + kStepPackets - 1) / kStepPackets, 1);
  *slices = static_cast<unsigned int>(std::clamp<int64_t>(multiprocessors / batch, 1, most));
  return static_cast<quern_status>(status);
}

}  // namespace
}  // namespace quern

using namespace quern;

quern_status quern_merge_step_prepare(const quern_merge_step_desc* desc, int32_t device) {
  const OperandCheck checked = check(desc);
  if (checked.failed()) {
    return checked.status();
  }
  const DeviceScope scope(device);
  return scope.status() != QUERN_OK ? scope.status() : prepare(step_kernel(desc->match.metric_dtype));
}

quern_status quern_merge_step(const quern_merge_step_desc* desc, int32_t device, const void* metric,
                              const float* attention, int32_t* order, const int32_t* limits, const void* x,
                              const float* size, const float* scale, int32_t* slot, float* similarity,
                              int32_t* count, void* out, float* size_out, void* stream) {
  OperandCheck checked = check(desc);
  if (checked.failed() || desc->match.batch == 0) {
    return checked.status();
  }
  const quern_token_match_desc& match = desc->match;
  const quern_token_merge_desc& merge = desc->merge;
  const MatchPlan plan = plan_of(match);
  const int64_t metric_element = dtype_bytes(match.metric_dtype);
  const int64_t element = dtype_bytes(merge.dtype);
  if (match.tokens > 0) {
    checked.operand(metric, metric_element).operand(slot, sizeof(int32_t));
    if (merge.dim > 0) {
      checked.operand(x, element);
    }
    if (desc->heads > 0) {
      checked.operand(attention, sizeof(float)).operand(order, sizeof(int32_t));
    }
  }
  if (merge.merged > 0 && merge.dim > 0) {
    checked.operand(out, element);
  }
  checked.require(desc->heads > 0 || attention == nullptr, QUERN_INVALID_ARGUMENT)
      .optional_operand(order, sizeof(int32_t))
      .optional_operand(limits, sizeof(int32_t))
      .optional_operand(size, sizeof(float))
      .optional_operand(scale, sizeof(float))
      .optional_operand(similarity, sizeof(float))
      .optional_operand(count, sizeof(int32_t))
      .optional_operand(size_out, sizeof(float));
  if (checked.failed()) {
    return checked.status();
  }
  const bool scaled = scale != nullptr && scale == similarity;
  const bool packed = rows_are_aligned(x, merge.x_stride * element, merge.dim * element, 16) &&
                      rows_are_aligned(out, merge.out_stride * element, merge.dim * element, 16);
  MergeStepArguments arguments = {};
  arguments.match = match_arguments(match, plan);
  arguments.match.metric = static_cast<const char*>(metric);
  arguments.match.wide_metric =
      is_aligned(metric, 4 * metric_element) && arguments.match.stride % (4 * metric_element) == 0;
  arguments.match.order = desc->heads > 0 ? nullptr : order;
  arguments.match.limits = limits;
  arguments.match.slot = slot;
  arguments.match.similarity = similarity;
  arguments.match.count = count;
  arguments.merge.x = static_cast<const char*>(x);
  arguments.merge.size = size;
  arguments.merge.scale = scaled ? nullptr : scale;
  arguments.merge.out = static_cast<char*>(out);
  arguments.merge.size_out = size_out;
  arguments.merge.tokens = merge.tokens;
  arguments.merge.merged = merge.merged;
  arguments.merge.packets = packed ? merge.dim * element / 16 : merge.dim;
  arguments.merge.stride = merge.x_stride * element;
  arguments.merge.out_stride = merge.out_stride * element;
  arguments.merge.combine = merge.combine;
  arguments.merge.least_size = merge.least_size;
  if (desc->heads > 0) {
    arguments.prune.attention = attention;
    arguments.prune.order = order;
    arguments.prune.heads = desc->heads;
    arguments.prune.stride = desc->attention_stride;
    arguments.prune.tokens = arguments.match.tokens;
    arguments.prune.class_token = match.class_token;
    arguments.prune.sort_bits = sort_bits(match.tokens);
  }
  arguments.memory = memory_of(*desc, plan);
  arguments.row_bits = sort_bits(match.tokens);
  arguments.dtype = merge.dtype;
  arguments.packed = packed;
  arguments.scaled = scaled;
  const DeviceScope scope(device);
  if (scope.status() != QUERN_OK) {
    return scope.status();
  }
  unsigned int slices = 1;
  const quern_status status = slices_of(device, match.batch, arguments.merge.packets, &slices);
  if (status != QUERN_OK) {
    return status;
  }
  return launch(step_kernel(match.metric_dtype),
                dim3(slices, static_cast<unsigned int>(std::min(match.batch, kManyRows))), dim3(kStepThreads),
                static_cast<size_t>(arguments.memory.bytes), stream, arguments);
}
