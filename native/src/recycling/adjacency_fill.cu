// adjacency_fill: check, launch. The kernel is in adjacency_fill_kernel.cuh.
#include <algorithm>

#include "core/operand_check.h"
#include "recycling/adjacency_fill_kernel.cuh"

namespace quern {
namespace {

// Blocks that a grid may have; warps stride over requests beyond.
constexpr int64_t kMostBlocks = 1 << 20;

OperandCheck check(const quern_adjacency_fill_desc* desc) {
  OperandCheck check;
  check.require(desc != nullptr && desc->size == sizeof(*desc), QUERN_INVALID_DESCRIPTOR);
  if (check.failed()) {
    return check;
  }
  check.policy(desc->policy)
      .not_negative(desc->requests)
      .not_negative(desc->nodes)
      .not_negative(desc->vocab)
      .not_negative(desc->candidates)
      .require(desc->stride >= desc->candidates, QUERN_INVALID_ARGUMENT);
  return check;
}

}  // namespace
}  // namespace quern

using namespace quern;

quern_status quern_adjacency_fill_prepare(const quern_adjacency_fill_desc* desc, int32_t device) {
  const OperandCheck checked = check(desc);
  if (checked.failed()) {
    return checked.status();
  }
  const DeviceScope scope(device);
  return scope.status() != QUERN_OK ? scope.status() : prepare(adjacency_fill_kernel);
}

quern_status quern_adjacency_fill(const quern_adjacency_fill_desc* desc, int32_t device,
                                  const int32_t* adjacency, const int32_t* roots, const int32_t* parent,
                                  const int32_t* rank, const int32_t* offsets, int32_t* tokens,
                                  int32_t* status, quern_error_record* errors, void*, size_t, void* stream) {
  OperandCheck checked = check(desc);
  if (checked.failed()) {
    return checked.status();
  }
  if (desc->requests > 0) {
    checked.operand(roots, sizeof(int32_t))
        .operand(offsets, sizeof(int32_t))
        .operand(status, sizeof(int32_t))
        .error_record(errors, desc->policy);
    if (desc->nodes > 0) {
      checked.operand(parent, sizeof(int32_t))
          .operand(rank, sizeof(int32_t))
          .operand(tokens, sizeof(int32_t));
    }
    if (desc->vocab > 0 && desc->candidates > 0) {
      checked.operand(adjacency, sizeof(int32_t));
    }
  }
  if (checked.failed() || desc->requests == 0) {
    return checked.status();
  }
  const DeviceScope scope(device);
  if (scope.status() != QUERN_OK) {
    return scope.status();
  }
  AdjacencyFillArguments arguments;
  arguments.adjacency = adjacency;
  arguments.roots = roots;
  arguments.parent = parent;
  arguments.rank = rank;
  arguments.offsets = offsets;
  arguments.tokens = tokens;
  arguments.status = status;
  arguments.errors = errors;
  arguments.requests = desc->requests;
  arguments.nodes = desc->nodes;
  arguments.vocab = desc->vocab;
  arguments.candidates = desc->candidates;
  arguments.stride = desc->stride;
  arguments.launch = desc->launch;
  arguments.policy = desc->policy;
  const dim3 grid(static_cast<unsigned int>(std::min(desc->requests, kMostBlocks)));
  return launch(adjacency_fill_kernel, grid, dim3(kFillLanes), 0, stream, arguments);
}
