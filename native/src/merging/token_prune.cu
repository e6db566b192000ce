// token_prune: check, choose, launch. The kernel is in token_prune_kernel.cuh.
#include <algorithm>

#include "merging/descriptors.h"
#include "merging/token_prune_kernel.cuh"

namespace quern {
namespace {

int64_t workspace_bytes_of(const quern_token_prune_desc& desc) {
  const int bits = sort_bits(desc.tokens);
  return bits > kSharedSortBits ? desc.batch * (int64_t{8} << bits) : 0;
}

OperandCheck check(const quern_token_prune_desc* desc) {
  OperandCheck check;
  check.require(desc != nullptr && desc->size == sizeof(*desc), QUERN_INVALID_DESCRIPTOR);
  if (check.failed()) {
    return check;
  }
  check.require(desc->class_token == 0 || desc->class_token == 1, QUERN_INVALID_ARGUMENT)
      .not_negative(desc->batch)
      .require(desc->heads >= 1, QUERN_INVALID_ARGUMENT)
      .require(desc->tokens >= 0 && desc->tokens <= INT32_MAX, QUERN_INVALID_ARGUMENT)
      .not_negative(desc->keep)
      .require(desc->attention_stride >= desc->tokens, QUERN_INVALID_ARGUMENT);
  return check;
}

}  // namespace
}  // namespace quern

using namespace quern;

quern_status quern_token_prune_workspace(const quern_token_prune_desc* desc, int64_t* bytes) {
  OperandCheck checked = check(desc);
  checked.operand(bytes, 1);
  if (!checked.failed()) {
    *bytes = workspace_bytes_of(*desc);
  }
  return checked.status();
}

quern_status quern_token_prune_prepare(const quern_token_prune_desc* desc, int32_t device) {
  const OperandCheck checked = check(desc);
  if (checked.failed()) {
    return checked.status();
  }
  const DeviceScope scope(device);
  return scope.status() != QUERN_OK ? scope.status() : prepare(token_prune_kernel<kPruneThreads>);
}

quern_status quern_token_prune(const quern_token_prune_desc* desc, int32_t device, const float* attention,
                               int32_t* order, int32_t* slot, void* workspace, int64_t workspace_bytes,
                               void* stream) {
  OperandCheck checked = check(desc);
  if (checked.failed() || desc->batch == 0 || desc->tokens == 0) {
    return checked.status();
  }
  const int64_t bytes = workspace_bytes_of(*desc);
  checked.operand(attention, sizeof(float))
      .operand(order, sizeof(int32_t))
      .optional_operand(slot, sizeof(int32_t))
      .require(workspace_bytes >= bytes, QUERN_INVALID_ARGUMENT);
  if (bytes > 0) {
    checked.operand(workspace, 16);
  }
  if (checked.failed()) {
    return checked.status();
  }
  TokenPruneArguments arguments;
  arguments.attention = attention;
  arguments.order = order;
  arguments.slot = slot;
  arguments.keys = bytes > 0 ? static_cast<unsigned long long*>(workspace) : nullptr;
  arguments.batch = desc->batch;
  arguments.heads = desc->heads;
  arguments.stride = desc->attention_stride;
  arguments.keep = desc->keep;
  arguments.tokens = static_cast<int32_t>(desc->tokens);
  arguments.class_token = desc->class_token;
  arguments.sort_bits = sort_bits(desc->tokens);
  const DeviceScope scope(device);
  if (scope.status() != QUERN_OK) {
    return scope.status();
  }
  const size_t shared_bytes = bytes > 0 ? 0 : sizeof(unsigned long long) << arguments.sort_bits;
  return launch(token_prune_kernel<kPruneThreads>,
                dim3(static_cast<unsigned int>(std::min<int64_t>(desc->batch, 65535))), dim3(kPruneThreads),
                shared_bytes, stream, arguments);
}
