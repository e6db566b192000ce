// dynamic_tree: check, choose, launch. The kernel is in dynamic_tree_kernel.cuh.
#include "tree/dynamic_tree_kernel.cuh"
#include "tree/tree_check.h"
#include "tree/tree_launch.h"

namespace quern {
namespace {

OperandCheck check(const quern_dynamic_tree_desc* desc) {
  OperandCheck check;
  check.require(desc != nullptr && desc->size == sizeof(*desc), QUERN_INVALID_DESCRIPTOR);
  if (check.failed()) {
    return check;
  }
  check.index_dtype(desc->prefix_dtype)
      .index_dtype(desc->index_dtype)
      .require(desc->numbering == QUERN_CANDIDATES_FROM_ONE || desc->numbering == QUERN_CANDIDATES_FROM_ZERO,
               QUERN_INVALID_ARGUMENT)
      .not_negative(desc->pool)
      .not_negative(desc->groups)
      .require(desc->top_k > 0, QUERN_INVALID_ARGUMENT)
      .require(desc->pool <= INT32_MAX, QUERN_UNSUPPORTED);
  check_equal_requests(check, desc->requests, desc->tree_nodes);
  return check_tree_shapes(check, desc->out);
}

}  // namespace
}  // namespace quern

using namespace quern;

quern_status quern_dynamic_tree_prepare(const quern_dynamic_tree_desc* desc, int32_t device) {
  const OperandCheck checked = check(desc);
  if (checked.failed()) {
    return checked.status();
  }
  const DeviceScope scope(device);
  return scope.status() != QUERN_OK ? scope.status() : prepare(dynamic_tree_kernel);
}

quern_status quern_dynamic_tree(const quern_dynamic_tree_desc* desc, int32_t device, const float* scores,
                                const void* selection, const void* parent_list, const void* prefix,
                                void* selected, void*, size_t, void* stream) {
  OperandCheck checked = check(desc);
  if (!checked.failed() && desc->requests > 0) {
    const int64_t index = dtype_bytes(desc->index_dtype);
    checked.require(scores == nullptr || selection == nullptr, QUERN_UNSUPPORTED)
        .optional_operand(prefix, dtype_bytes(desc->prefix_dtype))
        .optional_operand(selected, index);
    check_tree_outputs(checked, desc->out, desc->tree_nodes > 0);
    if (desc->tree_nodes > 1) {
      if (scores != nullptr) {
        checked.operand(scores, sizeof(float))
            .operand(selected, index)
            .require(desc->pool >= desc->tree_nodes - 1 && desc->score_stride >= desc->pool,
                     QUERN_INVALID_ARGUMENT);
      } else {
        checked.operand(selection, index);
      }
      if (desc->groups > 0) {
        checked.operand(parent_list, index);
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
  DynamicTreeArguments arguments;
  arguments.scores = scores;
  arguments.selection = selection;
  arguments.parent_list = parent_list;
  arguments.prefix = prefix;
  arguments.selected = selected;
  arguments.requests = desc->requests;
  arguments.pool = desc->pool;
  arguments.groups = desc->groups;
  arguments.top_k = desc->top_k;
  arguments.score_stride = desc->score_stride;
  arguments.tree_nodes = static_cast<int32_t>(desc->tree_nodes);
  arguments.prefix_dtype = desc->prefix_dtype;
  arguments.wide = desc->index_dtype == QUERN_I64;
  arguments.root = desc->numbering == QUERN_CANDIDATES_FROM_ONE ? 0 : -1;
  arguments.out = desc->out;
  return launch(dynamic_tree_kernel, request_grid(desc->requests, 1),
                dim3(tree_threads(std::max(desc->tree_nodes, scores != nullptr ? desc->pool : 0))),
                tree_table_bytes(desc->tree_nodes), stream, arguments);
}
