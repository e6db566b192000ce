// rejection_verify: check, choose, launch. The kernels are in rejection_verify_kernel.cuh.
#include <algorithm>

#include "core/operand_check.h"
#include "rejection/rejection_verify_kernel.cuh"

namespace quern {
namespace {

using RejectionKernel = void (*)(RejectionArguments);

// What a block may have without asking.
constexpr int64_t kFreeSharedBytes = 48 * 1024 - 1024;

bool is_relaxed(int32_t rule) {
  return rule == QUERN_REJECTION_RELAXED || rule == QUERN_REJECTION_RELAXED_GREEDY;
}

bool needs_draft(int32_t rule) {
  return rule == QUERN_REJECTION_WITHOUT_REPLACEMENT || rule == QUERN_REJECTION_WITH_REPLACEMENT ||
         rule == QUERN_REJECTION_K_SEQ || rule == QUERN_REJECTION_BLOCK;
}

template <typename Target>
RejectionKernel choose_kernel(const quern_rejection_verify_desc& desc) {
  if (!desc.has_draft) {
    return rejection_verify_kernel<Target, void>;
  }
  switch (desc.draft_dtype) {
    case QUERN_F32:
      return rejection_verify_kernel<Target, F32>;
    case QUERN_F16:
      return rejection_verify_kernel<Target, F16>;
    default:
      return rejection_verify_kernel<Target, BF16>;
  }
}

RejectionKernel choose_kernel(const quern_rejection_verify_desc& desc) {
  switch (desc.target_dtype) {
    case QUERN_F32:
      return choose_kernel<F32>(desc);
    case QUERN_F16:
      return choose_kernel<F16>(desc);
    default:
      return choose_kernel<BF16>(desc);
  }
}

// The bits of cleared tokens, or the path.
int64_t shared_bytes(const quern_rejection_verify_desc& desc) {
  switch (desc.rule) {
    case QUERN_REJECTION_WITHOUT_REPLACEMENT:
    case QUERN_REJECTION_POINT_DRAFTS:
    case QUERN_REJECTION_RELAXED:
      return (desc.vocab + 31) / 32 * 4;
    case QUERN_REJECTION_RELAXED_GREEDY:
      return desc.width * 4;
    default:
      return 0;
  }
}

OperandCheck check(const quern_rejection_verify_desc* desc) {
  OperandCheck check;
  check.require(desc != nullptr && desc->size == sizeof(*desc), QUERN_INVALID_DESCRIPTOR);
  if (check.failed()) {
    return check;
  }
  check
      .require(
          desc->rule >= QUERN_REJECTION_WITHOUT_REPLACEMENT && desc->rule <= QUERN_REJECTION_RELAXED_GREEDY,
          QUERN_INVALID_ARGUMENT)
      .require(desc->coins == QUERN_COINS_BY_NODE || desc->coins == QUERN_COINS_BY_TEST,
               QUERN_INVALID_ARGUMENT)
      .require(desc->target_form == QUERN_DISTRIBUTION_PROBABILITIES ||
                   desc->target_form == QUERN_DISTRIBUTION_LOGITS,
               QUERN_INVALID_ARGUMENT)
      .row_dtype(desc->target_dtype)
      .require(desc->has_draft == 0 || desc->has_draft == 1, QUERN_INVALID_ARGUMENT)
      .require(desc->has_draft == (needs_draft(desc->rule) ? 1 : 0) || desc->rule == QUERN_REJECTION_RELAXED,
               QUERN_UNSUPPORTED)
      .not_negative(desc->requests)
      .not_negative(desc->nodes)
      .require(desc->vocab >= 1 && desc->width >= 1 && desc->width <= INT32_MAX, QUERN_INVALID_ARGUMENT)
      .require(desc->vocab <= QUERN_REJECTION_MAX_VOCAB && (desc->rule != QUERN_REJECTION_RELAXED_GREEDY ||
                                                            desc->width <= QUERN_REJECTION_MAX_GREEDY_WIDTH),
               QUERN_UNSUPPORTED)
      .require(desc->target_stride >= desc->vocab && desc->accepted_stride >= desc->width,
               QUERN_INVALID_ARGUMENT);
  if (desc->has_draft) {
    check
        .require(desc->draft_form == QUERN_DISTRIBUTION_PROBABILITIES ||
                     desc->draft_form == QUERN_DISTRIBUTION_LOGITS,
                 QUERN_INVALID_ARGUMENT)
        .row_dtype(desc->draft_dtype)
        .require(desc->draft_stride >= desc->vocab, QUERN_INVALID_ARGUMENT);
  }
  if (is_relaxed(desc->rule)) {
    check.require(dtype_bytes(desc->nearest_dtype) != 0, QUERN_INVALID_ARGUMENT)
        .require(desc->nearest_dtype == QUERN_U16 || desc->nearest_dtype == QUERN_I32, QUERN_UNSUPPORTED)
        .require(desc->neighbours >= 1 && desc->nearest_columns >= desc->neighbours &&
                     desc->nearest_columns <= INT32_MAX && desc->nearest_stride >= desc->nearest_columns &&
                     desc->delta >= 0,
                 QUERN_INVALID_ARGUMENT);
  }
  return check;
}

bool is_aligned_by_four(const void* rows, int64_t stride, int32_t dtype) {
  return is_aligned(rows, 4 * dtype_bytes(dtype)) && stride % 4 == 0;
}

}  // namespace
}  // namespace quern

using namespace quern;

quern_status quern_rejection_verify_prepare(const quern_rejection_verify_desc* desc, int32_t device) {
  const OperandCheck checked = check(desc);
  if (checked.failed()) {
    return checked.status();
  }
  const DeviceScope scope(device);
  if (scope.status() != QUERN_OK) {
    return scope.status();
  }
  const RejectionKernel kernel = choose_kernel(*desc);
  const quern_status status = prepare(kernel);
  if (status != QUERN_OK || shared_bytes(*desc) <= kFreeSharedBytes) {
    return status;
  }
  const cudaError_t allowed =
      cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel), cudaFuncAttributeMaxDynamicSharedMemorySize,
                           QUERN_REJECTION_MAX_VOCAB / 8);
  if (allowed != cudaSuccess) {
    (void)cudaGetLastError();
  }
  return static_cast<quern_status>(allowed);
}

quern_status quern_rejection_verify(const quern_rejection_verify_desc* desc, int32_t device,
                                    const int32_t* offsets, const int32_t* tokens, const int32_t* first_child,
                                    const int32_t* next_sibling, const void* target, const void* draft,
                                    const float* temperatures, const float* uniforms,
                                    const float* final_uniforms, const void* nearest, int32_t* accepted,
                                    int32_t* counts, int32_t* next, int32_t* status, float* distribution,
                                    float* rho, void*, size_t, void* stream) {
  OperandCheck checked = check(desc);
  if (checked.failed() || desc->requests == 0) {
    return checked.status();
  }
  const bool chance = desc->rule != QUERN_REJECTION_RELAXED_GREEDY;
  checked.operand(offsets, 4)
      .operand(accepted, 4)
      .operand(counts, 4)
      .operand(next, 4)
      .operand(status, 4)
      .optional_operand(temperatures, 4)
      .optional_operand(rho, 4)
      .optional_operand(distribution, 4)
      .require(distribution == nullptr || desc->distribution_stride >= desc->vocab, QUERN_INVALID_ARGUMENT)
      .require((first_child == nullptr) == (next_sibling == nullptr), QUERN_INVALID_ARGUMENT)
      .require((first_child == nullptr || desc->rule != QUERN_REJECTION_BLOCK) &&
                   (rho == nullptr || desc->rule == QUERN_REJECTION_K_SEQ) &&
                   (temperatures == nullptr || chance),
               QUERN_UNSUPPORTED)
      .optional_operand(first_child, 4)
      .optional_operand(next_sibling, 4);
  if (chance) {
    checked.operand(final_uniforms, 4);
  }
  if (desc->nodes > 0) {
    checked.operand(tokens, 4).operand(target, dtype_bytes(desc->target_dtype));
    if (desc->has_draft) {
      checked.operand(draft, dtype_bytes(desc->draft_dtype));
    }
    if (chance) {
      checked.operand(uniforms, 4);
    }
  }
  if (is_relaxed(desc->rule)) {
    checked.operand(nearest, dtype_bytes(desc->nearest_dtype));
  }
  if (checked.failed()) {
    return checked.status();
  }
  const DeviceScope scope(device);
  if (scope.status() != QUERN_OK) {
    return scope.status();
  }
  RejectionArguments arguments{};
  arguments.offsets = offsets;
  arguments.tokens = tokens;
  arguments.first_child = first_child;
  arguments.next_sibling = next_sibling;
  arguments.target = static_cast<const char*>(target);
  arguments.draft = static_cast<const char*>(draft);
  arguments.temperatures = temperatures;
  arguments.uniforms = uniforms;
  arguments.final_uniforms = final_uniforms;
  arguments.nearest = nearest;
  arguments.accepted = accepted;
  arguments.counts = counts;
  arguments.next = next;
  arguments.status = status;
  arguments.distribution = distribution;
  arguments.rho = rho;
  arguments.requests = desc->requests;
  arguments.nodes = desc->nodes;
  arguments.target_stride = desc->target_stride * dtype_bytes(desc->target_dtype);
  arguments.nearest_stride = desc->nearest_stride;
  arguments.accepted_stride = desc->accepted_stride;
  arguments.distribution_stride = desc->distribution_stride;
  arguments.vocab = static_cast<int32_t>(desc->vocab);
  arguments.width = static_cast<int32_t>(desc->width);
  arguments.nearest_columns = static_cast<int32_t>(desc->nearest_columns);
  arguments.neighbours = desc->neighbours;
  arguments.delta = desc->delta;
  arguments.rule = desc->rule;
  arguments.by_node = desc->coins == QUERN_COINS_BY_NODE;
  arguments.target_logits = desc->target_form == QUERN_DISTRIBUTION_LOGITS;
  arguments.wide_nearest = desc->nearest_dtype == QUERN_I32;
  arguments.target_aligned = is_aligned_by_four(target, desc->target_stride, desc->target_dtype);
  if (desc->has_draft) {
    arguments.draft_stride = desc->draft_stride * dtype_bytes(desc->draft_dtype);
    arguments.draft_logits = desc->draft_form == QUERN_DISTRIBUTION_LOGITS;
    arguments.draft_aligned = is_aligned_by_four(draft, desc->draft_stride, desc->draft_dtype);
  }
  const dim3 grid(static_cast<unsigned int>(std::min<int64_t>(desc->requests, 65535)));
  return launch(choose_kernel(*desc), grid, dim3(kRejectionThreads), static_cast<size_t>(shared_bytes(*desc)),
                stream, arguments);
}
