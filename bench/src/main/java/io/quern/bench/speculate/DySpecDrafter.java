package io.quern.bench.speculate;

import io.quern.tree.DraftTree;
import io.quern.tree.DySpecTree;
import java.util.Random;

/** Draws from the draft model where acceptance is estimated to be likeliest. */
final class DySpecDrafter implements Drafter {
  private final NGramModel model;
  private final int budget;
  private final Random random;

  DySpecDrafter(NGramModel model, int budget, long seed) {
    this.model = model;
    this.budget = budget;
    this.random = new Random(seed);
  }

  @Override
  public String name() {
    return "DySpec";
  }

  @Override
  public int mostNodes() {
    return budget + 1;
  }

  @Override
  public DraftTree draft(int[] context) {
    DySpecTree tree = DySpecTree.ofBudget(context[context.length - 1], budget);
    for (int node = tree.next(); node >= 0; node = tree.next()) {
      if (tree.needsDistribution()) {
        float[] row = model.logProbabilities(Contexts.below(context, tree.tokens(node)));
        for (int w = 0; w < row.length; w++) {
          row[w] = (float) StrictMath.exp(row[w]);
        }
        tree.distribution(row);
      }
      tree.draw(random.nextDouble());
    }
    return tree.tree();
  }
}
