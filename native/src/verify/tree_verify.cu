// tree_verify: check, choose, launch. The kernels are in tree_verify_kernel.cuh.
#include <algorithm>

#include "core/operand_check.h"
#include "verify/tree_verify_kernel.cuh"

namespace quern {
namespace {

using VerifyKernel = void (*)(TreeVerifyArguments);

bool by_paths(const quern_tree_verify_desc& desc) {
  return desc.rule != QUERN_VERIFY_GREEDY_LINKED && desc.rule != QUERN_VERIFY_TARGET_ONLY;
}

bool tempers(const quern_tree_verify_desc& desc) {
  return desc.rule == QUERN_VERIFY_TYPICAL ||
         (desc.rule == QUERN_VERIFY_TARGET_ONLY && desc.target == QUERN_TARGET_LOGITS);
}

// Predicted ids take the kernels of F32, which read no row then.
VerifyKernel choose_kernel(const quern_tree_verify_desc& desc) {
  switch (desc.target_dtype) {
    case QUERN_F16:
      return by_paths(desc) ? tree_verify_paths_kernel<F16> : tree_verify_links_kernel<F16>;
    case QUERN_BF16:
      return by_paths(desc) ? tree_verify_paths_kernel<BF16> : tree_verify_links_kernel<BF16>;
    default:
      return by_paths(desc) ? tree_verify_paths_kernel<F32> : tree_verify_links_kernel<F32>;
  }
}

OperandCheck check(const quern_tree_verify_desc* desc) {
  OperandCheck check;
  check.require(desc != nullptr && desc->size == sizeof(*desc), QUERN_INVALID_DESCRIPTOR);
  if (check.failed()) {
    return check;
  }
  const bool ids = desc->target == QUERN_TARGET_IDS;
  const bool target_only = desc->rule == QUERN_VERIFY_TARGET_ONLY;
  check
      .require(desc->rule >= QUERN_VERIFY_GREEDY_PATH && desc->rule <= QUERN_VERIFY_TARGET_ONLY,
               QUERN_INVALID_ARGUMENT)
      .require(desc->target >= QUERN_TARGET_LOGITS && desc->target <= QUERN_TARGET_IDS,
               QUERN_INVALID_ARGUMENT)
      .require(desc->target != QUERN_TARGET_PROBABILITIES || target_only, QUERN_UNSUPPORTED)
      .require(!ids || (!target_only && desc->rule != QUERN_VERIFY_TYPICAL), QUERN_UNSUPPORTED);
  if (ids) {
    check.index_dtype(desc->target_dtype)
        .require(desc->target_dtype == QUERN_I32, QUERN_UNSUPPORTED)
        .require(desc->vocab == 1, QUERN_INVALID_ARGUMENT);
  } else {
    check.row_dtype(desc->target_dtype);
  }
  return check.require(desc->vocab >= 1 && desc->vocab <= QUERN_MAX_VERIFY_VOCAB, QUERN_INVALID_ARGUMENT)
      .require(desc->target_stride >= desc->vocab, QUERN_INVALID_ARGUMENT)
      .require(desc->width >= 1 && desc->width <= INT32_MAX, QUERN_INVALID_ARGUMENT)
      .require(desc->accepted_stride >= desc->width, QUERN_INVALID_ARGUMENT)
      .not_negative(desc->requests)
      .not_negative(desc->nodes)
      .not_negative(desc->path_width)
      .require(desc->path_count >= 0 && desc->path_count <= QUERN_MAX_VERIFY_PATHS, QUERN_INVALID_ARGUMENT)
      .require(!target_only || (desc->threshold_single >= 0.0f && desc->threshold_single <= 1.0f &&
                                desc->threshold_acc >= 0.0f && desc->threshold_acc <= 1.0f),
               QUERN_INVALID_ARGUMENT);
}

}  // namespace
}  // namespace quern

using namespace quern;

quern_status quern_tree_verify_prepare(const quern_tree_verify_desc* desc, int32_t device) {
  const OperandCheck checked = check(desc);
  if (checked.failed()) {
    return checked.status();
  }
  const DeviceScope scope(device);
  return scope.status() != QUERN_OK ? scope.status() : prepare(choose_kernel(*desc));
}

quern_status quern_tree_verify(const quern_tree_verify_desc* desc, int32_t device, const int32_t* offsets,
                               const int32_t* tokens, const int32_t* first_child, const int32_t* next_sibling,
                               const int32_t* paths, const void* target, const float* temperatures,
                               const float* uniforms, const float* final_uniforms, int32_t* accepted,
                               int32_t* counts, int32_t* next, int32_t* status, void*, size_t, void* stream) {
  OperandCheck checked = check(desc);
  if (checked.failed()) {
    return checked.status();
  }
  checked.require(temperatures == nullptr || tempers(*desc), QUERN_UNSUPPORTED);
  if (desc->requests > 0) {
    checked.operand(offsets, sizeof(int32_t))
        .operand(accepted, sizeof(int32_t))
        .operand(counts, sizeof(int32_t))
        .operand(next, sizeof(int32_t))
        .operand(status, sizeof(int32_t))
        .optional_operand(temperatures, sizeof(float));
    if (by_paths(*desc) && desc->path_count > 0 && desc->path_width > 0) {
      checked.operand(paths, sizeof(int32_t));
    }
    if (desc->rule == QUERN_VERIFY_TARGET_ONLY) {
      checked.operand(final_uniforms, sizeof(float));
    }
    if (desc->nodes > 0) {
      checked.operand(tokens, sizeof(int32_t)).operand(target, dtype_bytes(desc->target_dtype));
      if (!by_paths(*desc)) {
        checked.operand(first_child, sizeof(int32_t)).operand(next_sibling, sizeof(int32_t));
      }
      if (desc->rule == QUERN_VERIFY_TARGET_ONLY) {
        checked.operand(uniforms, sizeof(float));
      }
    }
  }
  if (checked.failed() || desc->requests == 0) {
    return checked.status();
  }
  const DeviceScope scope(device);
  if (scope.status() != QUERN_OK) {
    return scope.status();
  }
  const int64_t element = dtype_bytes(desc->target_dtype);
  TreeVerifyArguments arguments;
  arguments.offsets = offsets;
  arguments.tokens = tokens;
  arguments.first_child = first_child;
  arguments.next_sibling = next_sibling;
  arguments.paths = paths;
  arguments.target = static_cast<const char*>(target);
  arguments.temperatures = temperatures;
  arguments.uniforms = uniforms;
  arguments.final_uniforms = final_uniforms;
  arguments.accepted = accepted;
  arguments.counts = counts;
  arguments.next = next;
  arguments.status = status;
  arguments.requests = desc->requests;
  arguments.nodes = desc->nodes;
  arguments.vocab = desc->vocab;
  arguments.target_stride = desc->target_stride * element;
  arguments.path_count = desc->path_count;
  arguments.path_width = desc->path_width;
  arguments.width = desc->width;
  arguments.accepted_stride = desc->accepted_stride;
  arguments.rule = desc->rule;
  arguments.target_kind = desc->target;
  arguments.aligned = is_aligned(target, 4 * element) && desc->target_stride % 4 == 0;
  arguments.epsilon = desc->epsilon;
  arguments.alpha = desc->alpha;
  arguments.threshold_single = desc->threshold_single;
  arguments.threshold_acc = std::max(desc->threshold_acc, kLeastAcc);
  const size_t shared = by_paths(*desc) ? 3 * sizeof(int32_t) * desc->path_count : 0;
  const dim3 grid(static_cast<unsigned int>(std::min<int64_t>(desc->requests, INT32_MAX)));
  return launch(choose_kernel(*desc), grid, dim3(kVerifyThreads), shared, stream, arguments);
}
