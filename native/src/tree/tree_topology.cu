// tree_topology: check, choose, launch. The kernel is in tree_topology_kernel.cuh.
#include "tree/tree_check.h"
#include "tree/tree_launch.h"
#include "tree/tree_topology_kernel.cuh"

namespace quern {
namespace {

OperandCheck check(const quern_tree_topology_desc* desc) {
  OperandCheck check;
  check.require(desc != nullptr && desc->size == sizeof(*desc), QUERN_INVALID_DESCRIPTOR);
  if (!check.failed()) {
    check.index_dtype(desc->prefix_dtype).not_negative(desc->requests).not_negative(desc->nodes);
    check_tree_shapes(check, desc->out).require(desc->out.parent == nullptr, QUERN_UNSUPPORTED);
  }
  return check;
}

}  // namespace
}  // namespace quern

using namespace quern;

quern_status quern_tree_topology_prepare(const quern_tree_topology_desc* desc, int32_t device) {
  const OperandCheck checked = check(desc);
  if (checked.failed()) {
    return checked.status();
  }
  const DeviceScope scope(device);
  return scope.status() != QUERN_OK ? scope.status() : prepare(tree_topology_kernel);
}

quern_status quern_tree_topology(const quern_tree_topology_desc* desc, int32_t device, const int32_t* parent,
                                 const int32_t* offsets, const void* prefix, void*, size_t, void* stream) {
  OperandCheck checked = check(desc);
  if (!checked.failed() && desc->requests > 0) {
    checked.operand(offsets, sizeof(int32_t)).optional_operand(prefix, dtype_bytes(desc->prefix_dtype));
    check_tree_outputs(checked, desc->out, false);
    if (desc->nodes > 0) {
      checked.operand(parent, sizeof(int32_t));
    }
  }
  if (checked.failed() || desc->requests == 0) {
    return checked.status();
  }
  const DeviceScope scope(device);
  if (scope.status() != QUERN_OK) {
    return scope.status();
  }
  TreeTopologyArguments arguments;
  arguments.parent = parent;
  arguments.offsets = offsets;
  arguments.prefix = prefix;
  arguments.requests = desc->requests;
  arguments.nodes = desc->nodes;
  arguments.prefix_dtype = desc->prefix_dtype;
  arguments.out = desc->out;
  return launch(tree_topology_kernel, request_grid(desc->requests, 1),
                dim3(tree_threads(desc->nodes / desc->requests)), tree_table_bytes(desc->nodes), stream,
                arguments);
}
