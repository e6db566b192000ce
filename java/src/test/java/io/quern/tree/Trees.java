package io.quern.tree;

import net.jqwik.api.Arbitraries;
import net.jqwik.api.Arbitrary;

/** Random trees. */
final class Trees {
  private Trees() {}

  /** Trees in canonical form, without tokens. */
  static Arbitrary<DraftTree> any() {
    return Arbitraries.integers()
        .between(0, Integer.MAX_VALUE)
        .list()
        .ofMaxSize(40)
        .map(
            numbers -> {
              int[] parent = new int[numbers.size() + 1];
              parent[0] = -1;
              for (int i = 1; i < parent.length; i++) {
                parent[i] = numbers.get(i - 1) % i;
              }
              return DraftTree.of(parent);
            });
  }
}
