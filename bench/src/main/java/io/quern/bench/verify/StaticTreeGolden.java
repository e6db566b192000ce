package io.quern.bench.verify;

import io.quern.tree.DraftTree;
import io.quern.tree.StaticTree;
import io.quern.tree.StaticTree.Flavour;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/** {@code in.choices_sorted}, padded with −1, → mask, ids and parents; {@code flavor} is whose. */
final class StaticTreeGolden implements GoldenOp {
  private static final Map<String, Flavour> FLAVOURS =
      Map.of("medusa", Flavour.MEDUSA, "eagle", Flavour.EAGLE);

  @Override
  public String name() {
    return "tree_buffers_from_choices";
  }

  @Override
  public Optional<String> missingVariant(GoldenCase golden) {
    Object flavour = golden.params().get("flavor");
    return FLAVOURS.containsKey(flavour) ? Optional.empty() : Optional.of("flavor=" + flavour);
  }

  @Override
  public Map<String, GoldenTensor> run(GoldenCase golden, Operands operands) {
    Flavour flavour = FLAVOURS.get(golden.params().get("flavor"));
    int block = ((Long) golden.params().get("topk")).intValue();
    StaticTree shape = StaticTree.ofPaths(paths(golden.input("choices_sorted")));
    DraftTree tree = shape.tree();
    int n = tree.size();
    return Map.of(
        "attn_mask",
        HostArrays.tensor(tree.mask(), n, n),
        "tree_indices",
        HostArrays.vector(shape.treeIndices(flavour, block)),
        "position_ids",
        HostArrays.vector(tree.depths()),
        "retrieve_indices",
        HostArrays.tensor(
            shape.retrieveIndices(flavour), tree.leaves().length, tree.maxDepth() + 1),
        "parents",
        HostArrays.vector(tree.parents()));
  }

  private static List<int[]> paths(GoldenTensor padded) {
    int[] ranks = HostArrays.ints(padded);
    int width = (int) padded.shape().last();
    List<int[]> paths = new ArrayList<>();
    for (int row = 0; row < ranks.length; row += width) {
      paths.add(Arrays.stream(ranks, row, row + width).takeWhile(rank -> rank >= 0).toArray());
    }
    return paths;
  }
}
