// tree_from_mask: check, choose, launch. The kernel is in tree_from_mask_kernel.cuh.
#include "tree/tree_check.h"
#include "tree/tree_from_mask_kernel.cuh"
#include "tree/tree_launch.h"

namespace quern {
namespace {

OperandCheck check(const quern_tree_from_mask_desc* desc) {
  OperandCheck check;
  check.require(desc != nullptr && desc->size == sizeof(*desc), QUERN_INVALID_DESCRIPTOR);
  if (!check.failed()) {
    check.index_dtype(desc->prefix_dtype);
    check_equal_requests(check, desc->requests, desc->tree_nodes);
    check_tree_shapes(check, desc->out);
  }
  return check;
}

}  // namespace
}  // namespace quern

using namespace quern;

quern_status quern_tree_from_mask_prepare(const quern_tree_from_mask_desc* desc, int32_t device) {
  const OperandCheck checked = check(desc);
  if (checked.failed()) {
    return checked.status();
  }
  const DeviceScope scope(device);
  return scope.status() != QUERN_OK ? scope.status() : prepare(tree_from_mask_kernel);
}

quern_status quern_tree_from_mask(const quern_tree_from_mask_desc* desc, int32_t device, const void* mask,
                                  const void* prefix, void*, size_t, void* stream) {
  OperandCheck checked = check(desc);
  if (!checked.failed() && desc->requests > 0) {
    checked.optional_operand(prefix, dtype_bytes(desc->prefix_dtype));
    check_tree_outputs(checked, desc->out, desc->tree_nodes > 0);
    if (desc->tree_nodes > 0) {
      checked.operand(mask, 1);
    }
  }
  if (checked.failed() || desc->requests == 0) {
    return checked.status();
  }
  const DeviceScope scope(device);
  if (scope.status() != QUERN_OK) {
    return scope.status();
  }
  TreeFromMaskArguments arguments;
  arguments.mask = static_cast<const uint8_t*>(mask);
  arguments.prefix = prefix;
  arguments.requests = desc->requests;
  arguments.tree_nodes = static_cast<int32_t>(desc->tree_nodes);
  arguments.prefix_dtype = desc->prefix_dtype;
  arguments.out = desc->out;
  return launch(tree_from_mask_kernel, request_grid(desc->requests, 1), dim3(kMostTreeThreads),
                tree_table_bytes(desc->tree_nodes), stream, arguments);
}
