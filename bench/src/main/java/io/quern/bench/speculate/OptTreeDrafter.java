package io.quern.bench.speculate;

import io.quern.tree.DraftTree;
import io.quern.tree.OptTree;

/** The highest products of draft probabilities. */
record OptTreeDrafter(NGramModel model, int budget, float threshold, int depth) implements Drafter {
  @Override
  public String name() {
    return "OPT-Tree";
  }

  @Override
  public int mostNodes() {
    return budget + 1;
  }

  @Override
  public DraftTree draft(int[] context) {
    OptTree tree = new OptTree(context[context.length - 1], budget, threshold, depth);
    int k = Math.min(budget, model.vocab());
    while (!tree.isComplete()) {
      int[] tokens = new int[tree.frontier() * k];
      float[] probabilities = new float[tokens.length];
      for (int i = 0; i < tree.frontier(); i++) {
        float[] row = model.logProbabilities(Contexts.below(context, tree.tokens(i)));
        Candidates best = Candidates.of(row, k);
        System.arraycopy(best.tokens(), 0, tokens, i * k, k);
        System.arraycopy(best.probabilities(), 0, probabilities, i * k, k);
      }
      tree.add(tokens, probabilities);
    }
    return tree.tree();
  }
}
