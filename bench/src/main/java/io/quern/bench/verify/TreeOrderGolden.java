package io.quern.bench.verify;

import io.quern.tree.DraftTree;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/** {@code in.parents} → both orders, the trees they give, and how many blocks their masks have. */
final class TreeOrderGolden implements GoldenOp {
  @Override
  public String name() {
    return "tree_reorder";
  }

  @Override
  public Optional<String> missingVariant(GoldenCase golden) {
    return Optional.empty();
  }

  @Override
  public Map<String, GoldenTensor> run(GoldenCase golden, Operands operands) {
    DraftTree tree = DraftTree.of(HostArrays.ints(golden.input("parents")));
    int[] depthFirst = tree.depthFirstOrder();
    int[] heavyPath = tree.heavyPathOrder();
    List<DraftTree> trees = List.of(tree, tree.reorder(depthFirst), tree.reorder(heavyPath));
    List<?> blocks = (List<?>) golden.params().get("blocks");
    int[] counts = new int[blocks.size() * trees.size()];
    for (int i = 0; i < counts.length; i++) {
      int block = ((Long) blocks.get(i / trees.size())).intValue();
      counts[i] = (int) trees.get(i % trees.size()).maskBlocks(block);
    }
    return Map.of(
        "dfs_order",
        HostArrays.vector(depthFirst),
        "hpd_order",
        HostArrays.vector(heavyPath),
        "parents_dfs",
        HostArrays.vector(trees.get(1).parents()),
        "parents_hpd",
        HostArrays.vector(trees.get(2).parents()),
        "subtree_size",
        HostArrays.vector(tree.subtreeSizes()),
        "block_counts",
        HostArrays.tensor(counts, blocks.size(), trees.size()));
  }
}
