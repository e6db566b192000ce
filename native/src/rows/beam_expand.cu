// beam_expand: check, choose, launch. The kernels are in beam_expand_kernel.cuh.
#include <algorithm>

#include "core/operand_check.h"
#include "rows/beam_expand_kernel.cuh"

namespace quern {
namespace {

using BeamKernel = void (*)(BeamExpandArguments);

BeamKernel choose_kernel(int32_t mode, bool few) {
  if (mode == QUERN_BEAM_STOCHASTIC) {
    return few ? beam_expand_kernel<true, true> : beam_expand_kernel<true, false>;
  }
  return few ? beam_expand_kernel<false, true> : beam_expand_kernel<false, false>;
}

OperandCheck check(const quern_beam_expand_desc* desc) {
  OperandCheck check;
  check.require(desc != nullptr && desc->size == sizeof(*desc), QUERN_INVALID_DESCRIPTOR);
  if (check.failed()) {
    return check;
  }
  check.require(desc->mode == QUERN_BEAM_SUM || desc->mode == QUERN_BEAM_STOCHASTIC, QUERN_INVALID_ARGUMENT)
      .not_negative(desc->requests)
      .require(desc->beams >= 0 && desc->beams <= QUERN_MAX_BEAMS, QUERN_INVALID_ARGUMENT)
      .not_negative(desc->candidates)
      .require(desc->candidates <= INT32_MAX / QUERN_MAX_BEAMS, QUERN_INVALID_ARGUMENT)
      .require(desc->keep >= 0 && desc->keep <= INT32_MAX, QUERN_INVALID_ARGUMENT)
      .require(desc->scale == desc->scale && desc->threshold == desc->threshold, QUERN_INVALID_ARGUMENT);
  return check;
}

}  // namespace
}  // namespace quern

using namespace quern;

quern_status quern_beam_expand_prepare(const quern_beam_expand_desc* desc, int32_t device) {
  const OperandCheck checked = check(desc);
  if (checked.failed()) {
    return checked.status();
  }
  const DeviceScope scope(device);
  if (scope.status() != QUERN_OK) {
    return scope.status();
  }
  const quern_status status = prepare(choose_kernel(desc->mode, true));
  return status != QUERN_OK ? status : prepare(choose_kernel(desc->mode, false));
}

quern_status quern_beam_expand(const quern_beam_expand_desc* desc, int32_t device, const int32_t* tokens,
                               const float* inputs, const float* noisy, const float* bias,
                               const float* scores, const float* perturbed, int32_t* out_parents,
                               int32_t* out_tokens, float* out_scores, float* out_perturbed,
                               float* out_weights, void*, size_t, void* stream) {
  OperandCheck checked = check(desc);
  if (checked.failed()) {
    return checked.status();
  }
  const bool stochastic = desc->mode == QUERN_BEAM_STOCHASTIC;
  const bool empty = desc->requests == 0 || desc->keep == 0;
  if (!empty) {
    checked.operand(out_parents, sizeof(int32_t))
        .operand(out_tokens, sizeof(int32_t))
        .operand(out_scores, sizeof(float))
        .optional_operand(out_weights, sizeof(float))
        .require(desc->out_parents_stride >= desc->keep && desc->out_tokens_stride >= desc->keep &&
                     desc->out_scores_stride >= desc->keep,
                 QUERN_INVALID_ARGUMENT)
        .require(out_weights == nullptr || desc->out_weights_stride >= desc->keep, QUERN_INVALID_ARGUMENT)
        .require(bias == nullptr || !stochastic, QUERN_UNSUPPORTED);
    if (stochastic) {
      checked.operand(out_perturbed, sizeof(float))
          .require(desc->out_perturbed_stride >= desc->keep, QUERN_INVALID_ARGUMENT);
    }
    if (desc->beams > 0 && desc->candidates > 0) {
      checked.operand(tokens, sizeof(int32_t))
          .operand(inputs, sizeof(float))
          .operand(scores, sizeof(float))
          .optional_operand(bias, sizeof(float))
          .require(desc->tokens_stride >= desc->candidates && desc->inputs_stride >= desc->candidates &&
                       desc->scores_stride >= desc->beams,
                   QUERN_INVALID_ARGUMENT)
          .require(bias == nullptr || desc->bias_stride >= desc->candidates, QUERN_INVALID_ARGUMENT);
      if (stochastic) {
        checked.operand(noisy, sizeof(float))
            .operand(perturbed, sizeof(float))
            .require(desc->noisy_stride >= desc->candidates && desc->perturbed_stride >= desc->beams,
                     QUERN_INVALID_ARGUMENT);
      }
    }
  }
  if (checked.failed() || empty) {
    return checked.status();
  }
  const DeviceScope scope(device);
  if (scope.status() != QUERN_OK) {
    return scope.status();
  }
  const BeamExpandArguments arguments = {tokens,     inputs,        noisy,       bias,
                                         scores,     perturbed,     out_parents, out_tokens,
                                         out_scores, out_perturbed, out_weights, *desc};
  return launch(choose_kernel(desc->mode, desc->keep <= kListLength),
                dim3(static_cast<unsigned int>(std::min<int64_t>(desc->requests, INT32_MAX))),
                dim3(kRankThreads), 0, stream, arguments);
}
