package io.quern.tree;

import java.util.Arrays;
import java.util.PriorityQueue;

/**
 * The most probable nodes under one distribution per depth, as block and diffusion drafters give
 * them in a single pass: best first by the sum of log p along the path (DDTree). The node that is
 * taken puts its next sibling (the next rank at its depth) and its first child (rank 0 at the next
 * depth) among the candidates; tokens of probability 0 are no candidates. Nodes are numbered as
 * they are taken; where sums are equal the lower path of ranks comes first.
 *
 * <p>Reference: {@code build_ddtree_tree} of the published DDTree code; sums are F64.
 */
public final class DdTree {
  /** Log p of a token that is never taken. */
  private static final double IMPOSSIBLE = Double.NEGATIVE_INFINITY;

  private final float[] logProbs;
  private final int candidates;

  private record Candidate(double logProb, int[] ranks, int parent) {
    int last() {
      return ranks[ranks.length - 1];
    }
  }

  private DdTree(float[] logProbs, int candidates) {
    this.logProbs = logProbs;
    this.candidates = candidates;
  }

  /**
   * Builds the tree.
   *
   * @param root the last decided token
   * @param tokens [depths, candidates] row-major: the best tokens at each depth, best first
   * @param logProbs their log p, the same shape, not ascending within a depth
   * @param candidates tokens per depth
   * @param budget nodes to take, the root not counted
   * @return a tree with tokens, of {@code budget} + 1 nodes or fewer if there are no more
   * @throws IllegalArgumentException if sizes do not fit, a log p is NaN, above 0, or ascends
   */
  public static DraftTree build(
      int root, int[] tokens, float[] logProbs, int candidates, int budget) {
    if (budget < 0) {
      throw new IllegalArgumentException("budget is " + budget + ", expected at least 0");
    }
    if (candidates < 1 || tokens.length % candidates != 0 || tokens.length != logProbs.length) {
      throw new IllegalArgumentException(
          "%d tokens and %d log p, expected depths × %d of both"
              .formatted(tokens.length, logProbs.length, candidates));
    }
    for (int i = 0; i < logProbs.length; i++) {
      if (!(logProbs[i] <= (i % candidates == 0 ? 0 : logProbs[i - 1]))) {
        throw new IllegalArgumentException(
            "log p of depth %d, rank %d is %s, expected at most %s"
                .formatted(
                    i / candidates + 1,
                    i % candidates,
                    logProbs[i],
                    i % candidates == 0 ? 0f : logProbs[i - 1]));
      }
    }
    return new DdTree(logProbs, candidates).take(root, tokens, budget);
  }

  private DraftTree take(int root, int[] tokens, int budget) {
    int[] parent = new int[Math.min(budget, 1024) + 1];
    int[] token = new int[parent.length];
    parent[0] = -1;
    token[0] = root;
    int nodes = 1;
    int depths = logProbs.length / candidates;
    PriorityQueue<Candidate> heap = new PriorityQueue<>(DdTree::compare);
    if (depths > 0 && logProb(1, 0) > IMPOSSIBLE) {
      heap.add(new Candidate(logProb(1, 0), new int[] {0}, 0));
    }
    while (nodes <= budget && !heap.isEmpty()) {
      Candidate best = heap.remove();
      if (nodes == parent.length) {
        parent = Arrays.copyOf(parent, Math.min(budget + 1, 2 * nodes));
        token = Arrays.copyOf(token, parent.length);
      }
      int depth = best.ranks.length;
      int node = nodes++;
      parent[node] = best.parent;
      token[node] = tokens[(depth - 1) * candidates + best.last()];
      int next = best.last() + 1;
      if (next < candidates && logProb(depth, next) > IMPOSSIBLE) {
        int[] ranks = best.ranks.clone();
        ranks[depth - 1] = next;
        double sum = best.logProb - logProb(depth, best.last()) + logProb(depth, next);
        heap.add(new Candidate(sum, ranks, best.parent));
      }
      if (depth < depths && logProb(depth + 1, 0) > IMPOSSIBLE) {
        double sum = best.logProb + logProb(depth + 1, 0);
        heap.add(new Candidate(sum, Arrays.copyOf(best.ranks, depth + 1), node));
      }
    }
    return DraftTree.of(Arrays.copyOf(parent, nodes)).withTokens(Arrays.copyOf(token, nodes));
  }

  /** Of the token with a rank at a depth, counted from 1. */
  private double logProb(int depth, int rank) {
    return logProbs[(depth - 1) * candidates + rank];
  }

  private static int compare(Candidate a, Candidate b) {
    int order = Double.compare(b.logProb, a.logProb);
    return order != 0 ? order : Arrays.compare(a.ranks, b.ranks);
  }
}
