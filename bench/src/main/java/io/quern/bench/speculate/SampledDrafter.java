package io.quern.bench.speculate;

import io.quern.tree.DraftTree;
import java.util.Random;

/** A tree whose nodes are drawn from the draft model: as many children a node as its depth says. */
final class SampledDrafter implements Drafter {
  private final String name;
  private final NGramModel model;
  private final DraftTree shape;
  private final boolean replacement;
  private final Random random;

  /**
   * @param replacement whether the children of a node are drawn independently of each other
   * @param branching children of each node at depth 0, 1, …
   */
  SampledDrafter(String name, NGramModel model, boolean replacement, long seed, int... branching) {
    this.name = name;
    this.model = model;
    this.shape = DraftTree.kAry(branching);
    this.replacement = replacement;
    this.random = new Random(seed);
  }

  @Override
  public String name() {
    return name;
  }

  @Override
  public int mostNodes() {
    return shape.size();
  }

  @Override
  public DraftTree draft(int[] context) {
    int[] tokens = new int[shape.size()];
    tokens[0] = context[context.length - 1];
    for (int i = 0; i < shape.size(); i++) {
      if (shape.isLeaf(i)) {
        continue;
      }
      int[] path = shape.path(i);
      for (int d = 0; d < path.length; d++) {
        path[d] = tokens[path[d]];
      }
      float[] p = model.logProbabilities(Contexts.below(context, path));
      for (int w = 0; w < p.length; w++) {
        p[w] = (float) StrictMath.exp(p[w]);
      }
      for (int child : shape.children(i)) {
        tokens[child] = draw(p);
        if (!replacement) {
          p[tokens[child]] = 0;
        }
      }
    }
    return shape.withTokens(tokens);
  }

  private int draw(float[] p) {
    double total = 0;
    for (float share : p) {
      total += share;
    }
    double left = random.nextDouble() * total;
    int drawn = 0;
    for (int w = 0; w < p.length && left >= 0; w++) {
      if (p[w] > 0) {
        drawn = w;
        left -= p[w];
      }
    }
    return drawn;
  }
}
