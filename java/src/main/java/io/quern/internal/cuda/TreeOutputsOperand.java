package io.quern.internal.cuda;

import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import io.quern.Buffer;
import io.quern.bindings.quern.quern_tree_outputs;
import io.quern.op.TreeOutputs;
import io.quern.op.TreeTopology;
import java.lang.foreign.MemorySegment;

/** {@code quern_tree_outputs} inside a descriptor. */
final class TreeOutputsOperand {
  private static final long PARENT = quern_tree_outputs.parent$offset();
  private static final long BITS = quern_tree_outputs.bits$offset();
  private static final long DEPTH = quern_tree_outputs.depth$offset();
  private static final long POSITIONS = quern_tree_outputs.positions$offset();
  private static final long FIRST_CHILD = quern_tree_outputs.first_child$offset();
  private static final long NEXT_SIBLING = quern_tree_outputs.next_sibling$offset();
  private static final long PATHS = quern_tree_outputs.paths$offset();
  private static final long LEAF_COUNT = quern_tree_outputs.leaf_count$offset();
  private static final long STATUS = quern_tree_outputs.status$offset();
  private static final long BITS_BYTES = quern_tree_outputs.bits_bytes$offset();
  private static final long BITS_STRIDE = quern_tree_outputs.bits_stride$offset();
  private static final long MAX_LEAVES = quern_tree_outputs.max_leaves$offset();
  private static final long PATH_WIDTH = quern_tree_outputs.path_width$offset();
  private static final long POSITION_DTYPE = quern_tree_outputs.position_dtype$offset();
  private static final long RESERVED = quern_tree_outputs.reserved$offset();

  private TreeOutputsOperand() {}

  /** Writes what a plan knows of the outputs at byte {@code at} of a descriptor. */
  @SuppressWarnings("EnumOrdinal") // the numbers of the C ABI
  static void describe(MemorySegment desc, long at, TreeTopology.Spec spec) {
    desc.set(JAVA_INT, at + POSITION_DTYPE, spec.positions().ordinal());
    desc.set(JAVA_INT, at + RESERVED, 0);
    desc.set(JAVA_LONG, at + BITS_BYTES, 0);
    desc.set(JAVA_LONG, at + BITS_STRIDE, 0);
    desc.set(JAVA_LONG, at + MAX_LEAVES, 0);
    desc.set(JAVA_LONG, at + PATH_WIDTH, 0);
    desc.set(JAVA_LONG, at + PARENT, 0);
  }

  /** Writes the outputs of a call. */
  static void set(MemorySegment desc, long at, TreeOutputs out) {
    desc.set(JAVA_LONG, at + PARENT, Operand.address(out.parent()));
    desc.set(JAVA_LONG, at + BITS, Operand.address(out.bits()));
    desc.set(JAVA_LONG, at + DEPTH, Operand.address(out.depth()));
    desc.set(JAVA_LONG, at + POSITIONS, Operand.address(out.positions()));
    desc.set(JAVA_LONG, at + FIRST_CHILD, Operand.address(out.firstChild()));
    desc.set(JAVA_LONG, at + NEXT_SIBLING, Operand.address(out.nextSibling()));
    desc.set(JAVA_LONG, at + PATHS, Operand.address(out.paths()));
    desc.set(JAVA_LONG, at + LEAF_COUNT, Operand.address(out.leafCount()));
    desc.set(JAVA_LONG, at + STATUS, Operand.address(out.status()));
    Buffer bits = out.bits();
    if (bits != null) {
      long word = bits.dtype().byteSize();
      desc.set(JAVA_LONG, at + BITS_BYTES, bits.shape().last() * word);
      desc.set(JAVA_LONG, at + BITS_STRIDE, Operand.stride(bits) * word);
    }
    Buffer paths = out.paths();
    if (paths != null) {
      desc.set(JAVA_LONG, at + MAX_LEAVES, paths.shape().dim(1));
      desc.set(JAVA_LONG, at + PATH_WIDTH, paths.shape().dim(2));
    }
  }
}
