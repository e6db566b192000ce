package io.quern.bench.verify;

import io.quern.Buffer;
import io.quern.DType;
import io.quern.Shape;
import io.quern.op.TreeFromMask;
import io.quern.op.TreeMaskFormat;
import io.quern.op.TreeTopology;
import java.util.Map;
import java.util.Optional;

/**
 * Trees from their masks: SGLang's {@code reconstruct_indices_from_tree_mask}, and {@code
 * pack_mask_int32_rows}, TensorRT-LLM's buffers of a static tree.
 */
final class TreeFromMaskGolden implements GoldenOp {
  private final boolean sglang;

  private TreeFromMaskGolden(boolean sglang) {
    this.sglang = sglang;
  }

  static GoldenOp ofSglang() {
    return new TreeFromMaskGolden(true);
  }

  static GoldenOp ofTensorRt() {
    return new TreeFromMaskGolden(false);
  }

  @Override
  public String name() {
    return sglang ? "reconstruct_indices_from_tree_mask" : "pack_mask_int32_rows";
  }

  @Override
  public Optional<String> missingVariant(GoldenCase golden) {
    return Optional.empty();
  }

  @Override
  public Map<String, GoldenTensor> run(GoldenCase golden, Operands operands) {
    GoldenTensor mask = golden.input(sglang ? "tree_mask" : "mask");
    int nodes = (int) mask.shape().last();
    int requests = sglang ? (int) mask.shape().dim(0) : 1;
    GoldenTensor prefix = sglang ? golden.input("verified_seq_len") : null;
    DType positions = sglang ? prefix.dtype() : DType.I32;
    TreeResults trees = new TreeResults(operands, requests, requests * nodes, positions);
    var spec =
        TreeFromMask.Spec.of(nodes)
            .withMask(mask.dtype())
            .withOutputs(new TreeTopology.Spec(positions, positions, DType.U64));
    Buffer masks = operands.input(TreeResults.reshaped(mask, Shape.of(requests, nodes, nodes)));
    var of = TreeFromMask.Operands.of(masks, trees.outputs());
    if (sglang) {
      of = of.withPrefix(operands.input(prefix));
    }
    TreeFromMask.plan(operands.device(), spec).run(operands.stream(), of);
    if (sglang) {
      return Map.of(
          "positions",
          trees.flat(trees.outputs().positions()),
          "retrieve_index",
          DynamicTreeGolden.runningNumbers(requests, nodes),
          "retrieve_next_token",
          trees.perNode(trees.outputs().firstChild()),
          "retrieve_next_sibling",
          trees.perNode(trees.outputs().nextSibling()));
    }
    int[] ranks = ranks(trees, nodes);
    int[] topks = topks(trees, ranks);
    return Map.of(
        "packed",
        trees.mask(TreeMaskFormat.BITS, DType.I32, golden.output("packed").shape().last(), null),
        "paths",
        trees.paths(true),
        "position_offsets",
        trees.flat(trees.outputs().depth()),
        "topks",
        TreeResults.tensor(Shape.of(topks.length), topks),
        "tree_ids",
        TreeResults.tensor(Shape.of(nodes), treeIds(trees, ranks, topks)));
  }

  /** Which child of its parent each node is; the published trees leave no rank out. */
  private static int[] ranks(TreeResults trees, int nodes) {
    GoldenTensor next = trees.flat(trees.outputs().nextSibling());
    int[] ranks = new int[nodes];
    for (int i = 0; i < nodes; i++) {
      if (next.asLong(i) >= 0) {
        ranks[(int) next.asLong(i)] = ranks[i] + 1;
      }
    }
    return ranks;
  }

  /** How many tokens of each head the tree uses. */
  private static int[] topks(TreeResults trees, int[] ranks) {
    GoldenTensor depth = trees.flat(trees.outputs().depth());
    int[] topks = new int[(int) trees.paths(false).shape().last() - 1];
    for (int i = 1; i < ranks.length; i++) {
      int head = (int) depth.asLong(i) - 1;
      topks[head] = Math.max(topks[head], ranks[i] + 1);
    }
    return topks;
  }

  /** A node's token among the root and those of all heads. */
  private static int[] treeIds(TreeResults trees, int[] ranks, int[] topks) {
    GoldenTensor depth = trees.flat(trees.outputs().depth());
    int[] ids = new int[ranks.length];
    for (int i = 1; i < ids.length; i++) {
      ids[i] = 1 + ranks[i];
      for (int head = 0; head < depth.asLong(i) - 1; head++) {
        ids[i] += topks[head];
      }
    }
    return ids;
  }
}
