// What the launchers of family 2 check alike. Host code.
#ifndef QUERN_TREE_TREE_CHECK_H_
#define QUERN_TREE_TREE_CHECK_H_

#include "core/operand_check.h"
#include "quern/tree.h"

namespace quern {

// The descriptor's part of the outputs, which is known when a plan is made.
inline OperandCheck& check_tree_shapes(OperandCheck& check, const quern_tree_outputs& out) {
  return check.index_dtype(out.position_dtype)
      .not_negative(out.bits_bytes)
      .not_negative(out.max_leaves)
      .not_negative(out.path_width)
      .require(out.bits_stride >= out.bits_bytes, QUERN_INVALID_ARGUMENT);
}

inline OperandCheck& check_tree_outputs(OperandCheck& check, const quern_tree_outputs& out, bool parent) {
  check.operand(out.status, sizeof(int32_t));
  if (parent) {
    check.operand(out.parent, sizeof(int32_t));
  }
  return check.optional_operand(out.parent, sizeof(int32_t))
      .optional_operand(out.depth, sizeof(int32_t))
      .optional_operand(out.positions, dtype_bytes(out.position_dtype))
      .optional_operand(out.first_child, sizeof(int32_t))
      .optional_operand(out.next_sibling, sizeof(int32_t))
      .optional_operand(out.paths, sizeof(int32_t))
      .optional_operand(out.leaf_count, sizeof(int32_t));
}

// Requests of n nodes each: neither their number nor n times it may leave int32, where node ids live.
inline OperandCheck& check_equal_requests(OperandCheck& check, int64_t requests, int64_t tree_nodes) {
  return check.not_negative(requests)
      .not_negative(tree_nodes)
      .require(tree_nodes <= INT32_MAX && (tree_nodes == 0 || requests <= INT64_MAX / 64 / tree_nodes),
               QUERN_UNSUPPORTED);
}

}  // namespace quern

#endif  // QUERN_TREE_TREE_CHECK_H_
