package io.quern.bench.verify;

import io.quern.Buffer;
import io.quern.DType;
import io.quern.Shape;
import io.quern.op.TreeMask;
import io.quern.op.TreeMaskFormat;
import io.quern.op.TreeOutputs;
import io.quern.op.TreeStatus;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;

/**
 * The outputs of a tree operator in a golden vector's batch, all of them, and what the published
 * forms derive from them on the host: orders of paths, running numbers, gathered tokens.
 */
final class TreeResults {
  private final Operands operands;
  private final int requests;
  private final int nodes;
  private final TreeOutputs out;

  /** Trees of {@code nodes / requests} nodes each. */
  TreeResults(Operands operands, int requests, int nodes, DType positions) {
    this.operands = operands;
    this.requests = requests;
    this.nodes = nodes;
    int most = nodes / Math.max(1, requests);
    this.out =
        TreeOutputs.of(ints(requests))
            .withParent(ints(nodes))
            .withDepth(ints(nodes))
            .withPositions(operands.output(positions, Shape.of(nodes)))
            .withLinks(ints(nodes), ints(nodes))
            .withPaths(operands.output(DType.I32, Shape.of(requests, most, most)), ints(requests));
  }

  private Buffer ints(int size) {
    return operands.output(DType.I32, Shape.of(size));
  }

  TreeOutputs outputs() {
    return out;
  }

  /** An output as [requests, nodes of each]. */
  GoldenTensor perNode(Buffer output) {
    requireGood(out.status());
    GoldenTensor flat = operands.result(output);
    return reshaped(flat, Shape.of(requests, nodes / requests));
  }

  /** An output as [all nodes]. */
  GoldenTensor flat(Buffer output) {
    requireGood(out.status());
    return operands.result(output);
  }

  /** A dense format's rows, or those of bits. */
  GoldenTensor mask(TreeMaskFormat format, DType dtype, long columns, GoldenTensor prefix) {
    return mask(format, dtype, Shape.of(nodes, columns), prefix);
  }

  /** A mask of these trees in any format. */
  GoldenTensor mask(TreeMaskFormat format, DType dtype, Shape shape, GoldenTensor prefix) {
    Buffer mask = operands.output(dtype, shape);
    Buffer status = ints(requests);
    TreeMask.Spec spec = TreeMask.Spec.of(format, dtype);
    TreeMask.Operands of = TreeMask.Operands.of(out.parent(), equalOffsets(), mask, status);
    if (prefix != null) {
      spec = spec.withPrefix(prefix.dtype());
      of = of.withPrefix(operands.input(prefix));
    }
    TreeMask.plan(operands.device(), spec).run(operands.stream(), of);
    requireGood(status);
    return operands.result(mask);
  }

  private Buffer equalOffsets() {
    int[] offsets = new int[requests + 1];
    Arrays.setAll(offsets, b -> b * (nodes / Math.max(1, requests)));
    return operands.input(tensor(Shape.of(requests + 1), offsets));
  }

  /** The paths of the only request, leaves ascending or in lexicographic order with −1 last. */
  GoldenTensor paths(boolean lexicographic) {
    requireGood(out.status());
    GoldenTensor all = operands.result(out.paths());
    long width = out.paths().shape().dim(2);
    GoldenTensor depth = operands.result(out.depth());
    int longest = 0;
    for (int i = 0; i < nodes; i++) {
      longest = Math.max(longest, (int) depth.asLong(i) + 1);
    }
    List<int[]> rows = new ArrayList<>();
    for (int r = 0; r < operands.result(out.leafCount()).asLong(0); r++) {
      int[] row = new int[longest];
      for (int d = 0; d < longest; d++) {
        row[d] = (int) all.asLong(r * width + d);
      }
      rows.add(row);
    }
    if (lexicographic) {
      rows.sort(Comparator.comparing(row -> row, Arrays::compareUnsigned));
    }
    return tensor(
        Shape.of(rows.size(), longest), rows.stream().flatMapToInt(Arrays::stream).toArray());
  }

  private void requireGood(Buffer status) {
    GoldenTensor statuses = operands.result(status);
    for (int b = 0; b < requests; b++) {
      if (statuses.asLong(b) != 0) {
        throw new IllegalStateException(
            "request %d is %s".formatted(b, TreeStatus.values()[(int) statuses.asLong(b)]));
      }
    }
  }

  static GoldenTensor tensor(Shape shape, int... values) {
    MemorySegment data = MemorySegment.ofArray(new byte[values.length * Integer.BYTES]);
    MemorySegment.copy(values, 0, data, ValueLayout.JAVA_INT_UNALIGNED, 0, values.length);
    return new GoldenTensor(DType.I32, shape, data);
  }

  static GoldenTensor reshaped(GoldenTensor tensor, Shape shape) {
    return new GoldenTensor(tensor.dtype(), shape, tensor.data());
  }

  /** {@code tokens[b, selected[b, i]]}, behind the root's token where there is one. */
  static GoldenTensor gather(GoldenTensor tokens, GoldenTensor selected, GoldenTensor root) {
    int columns = (int) selected.shape().last();
    int lead = root == null ? 0 : 1;
    int rows = (int) (selected.shape().size() / Math.max(1, columns));
    long pool = tokens.shape().last();
    int[] gathered = new int[rows * (columns + lead)];
    for (int b = 0, at = 0; b < rows; b++) {
      if (root != null) {
        gathered[at++] = (int) root.asLong(b);
      }
      for (int i = 0; i < columns; i++) {
        gathered[at++] = (int) tokens.asLong(b * pool + selected.asLong((long) b * columns + i));
      }
    }
    Shape shape = root == null ? selected.shape() : Shape.of((long) rows * (columns + lead));
    return tensor(shape, gathered);
  }
}
