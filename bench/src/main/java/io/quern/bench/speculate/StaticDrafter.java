package io.quern.bench.speculate;

import io.quern.tree.DraftTree;
import io.quern.tree.StaticTree;
import java.util.Arrays;

/** A tree of fixed shape: each node takes the draft model's candidate of its rank. */
record StaticDrafter(String name, StaticTree shape, NGramModel model) implements Drafter {
  @Override
  public int mostNodes() {
    return shape.tree().size();
  }

  @Override
  public DraftTree draft(int[] context) {
    DraftTree tree = shape.tree();
    int[] tokens = new int[tree.size()];
    int[][] candidates = new int[tree.size()][];
    tokens[0] = context[context.length - 1];
    for (int i = 1; i < tree.size(); i++) {
      int parent = tree.parent(i);
      if (candidates[parent] == null) {
        int[] path = Arrays.stream(tree.path(parent)).skip(1).map(node -> tokens[node]).toArray();
        float[] row = model.logProbabilities(Contexts.longer(context, path));
        candidates[parent] = Candidates.of(row, shape.candidates()).tokens();
      }
      tokens[i] = candidates[parent][shape.rank(i)];
    }
    return tree.withTokens(tokens);
  }
}
