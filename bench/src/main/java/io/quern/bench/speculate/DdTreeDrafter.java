package io.quern.bench.speculate;

import io.quern.tree.DdTree;
import io.quern.tree.DraftTree;

/**
 * Best first over one distribution per depth: those that the draft model has along its own greedy
 * continuation, where a block drafter would give them in one pass.
 */
record DdTreeDrafter(NGramModel model, int depth, int budget) implements Drafter {
  @Override
  public String name() {
    return "DDTree";
  }

  @Override
  public int mostNodes() {
    return budget + 1;
  }

  @Override
  public DraftTree draft(int[] context) {
    int k = Math.min(budget, model.vocab());
    int[] tokens = new int[depth * k];
    float[] logProbs = new float[depth * k];
    int[] longer = context;
    for (int d = 0; d < depth; d++) {
      Candidates best = Candidates.of(model.logProbabilities(longer), k);
      System.arraycopy(best.tokens(), 0, tokens, d * k, k);
      System.arraycopy(best.logProbs(), 0, logProbs, d * k, k);
      longer = Contexts.longer(longer, best.tokens()[0]);
    }
    return DdTree.build(context[context.length - 1], tokens, logProbs, k, budget);
  }
}
