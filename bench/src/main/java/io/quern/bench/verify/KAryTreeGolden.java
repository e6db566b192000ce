package io.quern.bench.verify;

import io.quern.tree.DraftTree;
import java.util.Map;
import java.util.Optional;

/** {@code in.k_config} → the mask without the root's row and column. */
final class KAryTreeGolden implements GoldenOp {
  @Override
  public String name() {
    return "kconfig_tree_mask";
  }

  @Override
  public Optional<String> missingVariant(GoldenCase golden) {
    return Optional.empty();
  }

  @Override
  public Map<String, GoldenTensor> run(GoldenCase golden, Operands operands) {
    DraftTree tree = DraftTree.kAry(HostArrays.ints(golden.input("k_config")));
    int n = tree.size() - 1;
    boolean[] mask = new boolean[n * n];
    for (int i = 0; i < mask.length; i++) {
      mask[i] = tree.isVisible(i / n + 1, i % n + 1);
    }
    return Map.of("mask", HostArrays.tensor(mask, n, n));
  }
}
