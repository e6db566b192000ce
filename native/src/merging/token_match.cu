// token_match: check, choose, launch. The kernels are in token_match_kernel.cuh.
#include <algorithm>

#include "merging/descriptors.h"
#include "merging/token_match_kernel.cuh"

namespace quern {

// Kernels that are no templates: the header is not for this source alone.
__global__ void __launch_bounds__(kMatchThreads, 4)
    token_list_kernel(const __grid_constant__ TokenMatchArguments arguments) {
  for (int64_t b = blockIdx.x; b < arguments.batch; b += gridDim.x) {
    list_tokens(arguments, b);
    __syncthreads();
  }
}

__global__ void __launch_bounds__(kMatchThreads, 4)
    token_place_kernel(const __grid_constant__ TokenMatchArguments arguments) {
  for (int64_t b = blockIdx.x; b < arguments.batch; b += gridDim.x) {
    place_tokens(arguments, b,
                 arguments.keys == nullptr ? dynamic_shared<unsigned long long>()
                                           : arguments.keys + (b << arguments.sort_bits));
    __syncthreads();
  }
}

namespace {

// Batch rows of up to so many tokens are matched by one block each, in one launch.
constexpr int64_t kOneLaunchTokens = 1024;
constexpr int64_t kManyBlocks = 65535;

using MatchKernel = void (*)(TokenMatchArguments);

}  // namespace

MatchPlan plan_of(const quern_token_match_desc& desc) {
  MatchPlan plan;
  const int64_t tokens = desc.tokens;
  const int64_t asked = std::max<int64_t>(desc.r, 0);
  switch (desc.scheme) {
    case QUERN_MERGE_BIPARTITE: {
      plan.destinations = tokens / 2;
      plan.selects = true;
      const int64_t isolated = desc.class_token + desc.distill_token;
      const int64_t most = plan.destinations - desc.distill_token < 1 ? 0 : (tokens - isolated) / 2;
      plan.sources = tokens - plan.destinations;
      plan.merges = std::min(asked, std::max<int64_t>(most, 0));
      plan.identity = plan.merges == 0;
      break;
    }
    case QUERN_MERGE_EVERY_KTH:
      plan.identity = desc.k <= 1;
      plan.destinations = desc.k <= 1 ? tokens : tokens / desc.k;
      plan.sources = desc.k <= 1 ? 0 : plan.destinations * (desc.k - 1);
      plan.merges = plan.sources;
      break;
    case QUERN_MERGE_PERMUTED:
      plan.identity = desc.r <= 0;
      plan.sources = asked;
      plan.destinations = tokens - asked;
      plan.merges = plan.sources;
      break;
    case QUERN_MERGE_GRID:
      plan.destinations = (desc.width / desc.stride_x) * (desc.height / desc.stride_y);
      plan.sources = tokens - plan.destinations;
      plan.selects = true;
      plan.merges = plan.destinations == 0 ? 0 : std::min(asked, plan.sources);
      plan.identity = plan.merges == 0;
      break;
    default: {
      const int64_t kept = std::min(desc.prune, tokens);
      plan.destinations = std::min(desc.keep, kept);
      plan.sources = kept - plan.destinations;
      plan.merges = plan.sources;
    }
  }
  return plan;
}

int sort_bits(const MatchPlan& plan) {
  return plan.selects ? sort_bits(plan.sources) : 0;
}

namespace {

// Where each part of the workspace begins, and where it ends.
struct MatchWorkspace {
  int64_t best = 0;
  int64_t keys = 0;
  int64_t norms = 0;
  int64_t lists = 0;
  int64_t index = 0;
  int64_t valid = 0;
  int64_t bytes = 0;
};

MatchWorkspace workspace_of(const quern_token_match_desc& desc, const MatchPlan& plan) {
  MatchWorkspace workspace;
  if (plan.identity) {
    return workspace;
  }
  int64_t at = 0;
  const auto take = [&](int64_t row_bytes) {
    const int64_t begin = at;
    at += desc.batch * ((row_bytes + 15) / 16 * 16);
    return begin;
  };
  const int bits = sort_bits(plan);
  workspace.best = take(plan.sources * 8);
  workspace.keys = take(bits > kSharedSortBits ? int64_t{8} << bits : 0);
  workspace.norms = take(plan.listed() * 4);
  workspace.lists = take(plan.listed() * 4);
  workspace.index = take(plan.sources * 4);
  workspace.valid = take(4);
  workspace.bytes = at;
  return workspace;
}

MatchKernel match_kernel(int32_t dtype) {
  return dtype == QUERN_F32   ? token_match_kernel<F32>
         : dtype == QUERN_F16 ? token_match_kernel<F16>
                              : token_match_kernel<BF16>;
}

MatchKernel norm_kernel(int32_t dtype) {
  return dtype == QUERN_F32   ? token_norm_kernel<F32>
         : dtype == QUERN_F16 ? token_norm_kernel<F16>
                              : token_norm_kernel<BF16>;
}

constexpr int kSums = 8;

MatchKernel compare_kernel(int32_t dtype) {
  return dtype == QUERN_F32   ? token_compare_kernel<F32, kSums>
         : dtype == QUERN_F16 ? token_compare_kernel<F16, kSums>
                              : token_compare_kernel<BF16, kSums>;
}

bool is_flag(int32_t value) {
  return value == 0 || value == 1;
}

}  // namespace

OperandCheck check(const quern_token_match_desc* desc) {
  OperandCheck check;
  check.require(desc != nullptr && desc->size == sizeof(*desc), QUERN_INVALID_DESCRIPTOR);
  if (check.failed()) {
    return check;
  }
  check.row_dtype(desc->metric_dtype)
      .require(desc->scheme >= QUERN_MERGE_BIPARTITE && desc->scheme <= QUERN_MERGE_HEAD_TAIL,
               QUERN_INVALID_ARGUMENT)
      .require(desc->order >= QUERN_TOKEN_ORDER_PUBLISHED && desc->order <= QUERN_TOKEN_ORDER_TOKENS,
               QUERN_INVALID_ARGUMENT)
      .require(is_flag(desc->class_token) && is_flag(desc->distill_token), QUERN_INVALID_ARGUMENT)
      .require(desc->threshold == desc->threshold, QUERN_INVALID_ARGUMENT)
      .not_negative(desc->batch)
      .not_negative(desc->tokens)
      .require(desc->dim >= 1, QUERN_INVALID_ARGUMENT)
      .require(desc->dim >= 1 && desc->tokens <= INT32_MAX / desc->dim, QUERN_INVALID_ARGUMENT)
      .require(desc->metric_stride >= desc->dim, QUERN_INVALID_ARGUMENT);
  if (check.failed()) {
    return check;
  }
  if (desc->scheme == QUERN_MERGE_GRID) {
    check.not_negative(desc->width)
        .not_negative(desc->height)
        .require(desc->stride_x >= 1 && desc->stride_y >= 1, QUERN_INVALID_ARGUMENT)
        .require(desc->width <= INT32_MAX && desc->height <= INT32_MAX &&
                     desc->width * desc->height == desc->tokens,
                 QUERN_INVALID_ARGUMENT)
        .require(desc->stride_x <= INT32_MAX && desc->stride_y <= INT32_MAX, QUERN_INVALID_ARGUMENT);
  } else if (desc->scheme == QUERN_MERGE_PERMUTED) {
    check.require(desc->r <= 0 || desc->r < desc->tokens, QUERN_INVALID_ARGUMENT);
  } else if (desc->scheme == QUERN_MERGE_HEAD_TAIL) {
    check.not_negative(desc->prune).not_negative(desc->keep);
    if (!check.failed() && plan_of(*desc).sources > 0) {
      check.require(desc->keep >= 1 + desc->class_token, QUERN_INVALID_ARGUMENT);
    }
  }
  return check;
}

TokenMatchArguments match_arguments(const quern_token_match_desc& desc, const MatchPlan& plan) {
  TokenMatchArguments arguments = {};
  arguments.batch = desc.batch;
  arguments.dim = desc.dim;
  arguments.stride = desc.metric_stride * dtype_bytes(desc.metric_dtype);
  arguments.width = desc.width;
  arguments.stride_x = desc.stride_x;
  arguments.stride_y = desc.stride_y;
  arguments.columns = desc.scheme == QUERN_MERGE_GRID ? desc.width / desc.stride_x : 0;
  arguments.k = desc.k;
  arguments.tokens = static_cast<int32_t>(desc.tokens);
  arguments.sources = static_cast<int32_t>(plan.sources);
  arguments.destinations = static_cast<int32_t>(plan.destinations);
  arguments.merges = static_cast<int32_t>(plan.merges);
  arguments.first_destination = desc.scheme == QUERN_MERGE_BIPARTITE   ? desc.distill_token
                                : desc.scheme == QUERN_MERGE_HEAD_TAIL ? desc.class_token
                                                                       : 0;
  arguments.scheme = desc.scheme;
  arguments.token_order = desc.order;
  arguments.class_token = desc.scheme == QUERN_MERGE_BIPARTITE && desc.class_token;
  arguments.distill_token = desc.scheme == QUERN_MERGE_BIPARTITE && desc.distill_token;
  arguments.sort_bits = sort_bits(plan);
  arguments.selects = plan.selects;
  arguments.identity = plan.identity;
  arguments.threshold = desc.threshold;
  return arguments;
}

}  // namespace quern

using namespace quern;

quern_status quern_token_match_workspace(const quern_token_match_desc* desc, int64_t* bytes) {
  OperandCheck checked = check(desc);
  checked.operand(bytes, 1);
  if (!checked.failed()) {
    *bytes = workspace_of(*desc, plan_of(*desc)).bytes;
  }
  return checked.status();
}

quern_status quern_token_match_prepare(const quern_token_match_desc* desc, int32_t device) {
  const OperandCheck checked = check(desc);
  if (checked.failed()) {
    return checked.status();
  }
  const DeviceScope scope(device);
  quern_status status = scope.status();
  for (const MatchKernel kernel :
       {match_kernel(desc->metric_dtype), norm_kernel(desc->metric_dtype), MatchKernel{token_list_kernel},
        compare_kernel(desc->metric_dtype), MatchKernel{token_place_kernel}}) {
    status = status != QUERN_OK ? status : prepare(kernel);
  }
  return status;
}

quern_status quern_token_match(const quern_token_match_desc* desc, int32_t device, const void* metric,
                               const int32_t* order, const int32_t* limits, int32_t* slot, float* similarity,
                               int32_t* count, void* workspace, int64_t workspace_bytes, void* stream) {
  OperandCheck checked = check(desc);
  if (checked.failed() || desc->batch == 0) {
    return checked.status();
  }
  const MatchPlan plan = plan_of(*desc);
  const MatchWorkspace parts = workspace_of(*desc, plan);
  const int64_t element = dtype_bytes(desc->metric_dtype);
  if (desc->tokens > 0) {
    checked.operand(metric, element).operand(slot, sizeof(int32_t));
  }
  checked.optional_operand(order, sizeof(int32_t))
      .optional_operand(limits, sizeof(int32_t))
      .optional_operand(similarity, sizeof(float))
      .optional_operand(count, sizeof(int32_t))
      .require(workspace_bytes >= parts.bytes, QUERN_INVALID_ARGUMENT);
  if (parts.bytes > 0) {
    checked.operand(workspace, 16);
  }
  if (checked.failed()) {
    return checked.status();
  }
  char* base = static_cast<char*>(workspace);
  TokenMatchArguments arguments = match_arguments(*desc, plan);
  arguments.metric = static_cast<const char*>(metric);
  arguments.wide_metric = is_aligned(metric, 4 * element) && arguments.stride % (4 * element) == 0;
  arguments.order = order;
  arguments.limits = limits;
  arguments.slot = slot;
  arguments.similarity = similarity;
  arguments.count = count;
  arguments.best = reinterpret_cast<unsigned long long*>(base + parts.best);
  arguments.inverse_norms = reinterpret_cast<float*>(base + parts.norms);
  arguments.lists = reinterpret_cast<int32_t*>(base + parts.lists);
  arguments.index = reinterpret_cast<int32_t*>(base + parts.index);
  arguments.valid = reinterpret_cast<int32_t*>(base + parts.valid);
  const bool shared_keys = arguments.sort_bits <= kSharedSortBits;
  arguments.keys = shared_keys ? nullptr : reinterpret_cast<unsigned long long*>(base + parts.keys);
  const size_t shared_bytes =
      plan.selects && shared_keys ? sizeof(unsigned long long) << arguments.sort_bits : 0;

  const DeviceScope scope(device);
  if (scope.status() != QUERN_OK) {
    return scope.status();
  }
  const dim3 block(kMatchThreads);
  const dim3 rows(static_cast<unsigned int>(std::min(desc->batch, kManyBlocks)));
  if (plan.identity || desc->tokens <= kOneLaunchTokens) {
    return launch(match_kernel(desc->metric_dtype), rows, block, plan.identity ? 0 : shared_bytes, stream,
                  arguments);
  }
  constexpr int64_t kTile = ProductTile<kSums>::kRows;
  const auto many = [](int64_t blocks) {
    return static_cast<unsigned int>(std::clamp<int64_t>(blocks, 1, kManyBlocks));
  };
  quern_status status = launch(MatchKernel{token_list_kernel}, rows, block, 0, stream, arguments);
  if (status == QUERN_OK) {
    const int64_t half_warps = kMatchThreads / kRowLanes;
    status = launch(norm_kernel(desc->metric_dtype),
                    dim3(many((plan.listed() + half_warps - 1) / half_warps), many(desc->batch)), block, 0,
                    stream, arguments);
  }
  if (status == QUERN_OK && plan.sources > 0) {
    status = launch(compare_kernel(desc->metric_dtype),
                    dim3(static_cast<unsigned int>((plan.sources + kTile - 1) / kTile),
                         many((plan.destinations + kTile - 1) / kTile), many(desc->batch)),
                    block, 0, stream, arguments);
  }
  return status != QUERN_OK
             ? status
             : launch(MatchKernel{token_place_kernel}, rows, block, shared_bytes, stream, arguments);
}
