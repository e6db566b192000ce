package io.quern.tree;

import java.util.Arrays;

/**
 * The static tree that accepts the most tokens on average, given how likely the child of each rank
 * is the accepted one (Sequoia, arXiv 2402.12374, section 4.1). With p[r] for the child of rank r,
 * a tree of m nodes, at most l levels and b children of its root accepts, the root counted,
 *
 * <pre>
 * T[1][l][0] = 1
 * T[m][l][b] = max over y of T[y][l][b − 1] + p[b − 1] · max over c of T[m − y][l − 1][c]
 * </pre>
 *
 * tokens at best: the last child of the root has m − y nodes below and including it. F32, product
 * then sum; of equal values the smallest y, number of children and number of levels win. O(m²·l·b)
 * time, O(m·l·b) memory. Immutable and thread-safe.
 */
public final class SequoiaTree {
  private static final float UNREACHABLE = Float.NEGATIVE_INFINITY;

  private final int budget;
  private final int levels;
  private final int branches;

  /** T, and the y that gave it, [budget + 1][levels + 1][branches + 1]. */
  private final float[] expected;

  private final int[] split;

  /** The first best number of children, and its value, [budget + 1][levels + 1]. */
  private final int[] bestBranches;

  private final float[] bestExpected;

  /**
   * Computes the trees of all sizes up to a budget.
   *
   * @param acceptance by rank: the probability that the child of that rank is accepted, which does
   *     not depend on the node
   * @param budget the most nodes, the root counted
   * @param levels the most levels, the root's counted
   * @throws IllegalArgumentException if budget or levels are below 1, or a probability is NaN or
   *     outside [0, 1]
   * @throws OutOfMemoryError if the tables do not fit into memory
   */
  public SequoiaTree(float[] acceptance, int budget, int levels) {
    if (budget < 1 || levels < 1) {
      throw new IllegalArgumentException(
          "budget %d, levels %d, expected at least 1".formatted(budget, levels));
    }
    for (int r = 0; r < acceptance.length; r++) {
      if (!(acceptance[r] >= 0 && acceptance[r] <= 1)) {
        throw new IllegalArgumentException(
            "the acceptance of rank %d is %s, expected 0 to 1".formatted(r, acceptance[r]));
      }
    }
    this.budget = budget;
    this.levels = levels;
    this.branches = acceptance.length;
    int rows = Math.multiplyExact(budget + 1, levels + 1);
    expected = new float[Math.multiplyExact(rows, branches + 1)];
    split = new int[expected.length];
    bestBranches = new int[rows];
    bestExpected = new float[rows];
    Arrays.fill(expected, UNREACHABLE);
    Arrays.fill(bestExpected, UNREACHABLE);
    for (int m = 1; m <= budget; m++) {
      for (int l = 1; l <= levels; l++) {
        fill(acceptance, m, l);
      }
    }
  }

  private void fill(float[] acceptance, int m, int l) {
    if (m == 1) {
      expected[at(1, l, 0)] = 1;
    }
    for (int b = 1; b <= branches; b++) {
      for (int y = 1; y < m; y++) {
        float value =
            expected[at(y, l, b - 1)] + acceptance[b - 1] * bestExpected[row(m - y, l - 1)];
        // 0 · −∞ is NaN, which is not larger either.
        if (value > expected[at(m, l, b)]) {
          expected[at(m, l, b)] = value;
          split[at(m, l, b)] = y;
        }
      }
    }
    for (int b = 0; b <= branches; b++) {
      if (expected[at(m, l, b)] > bestExpected[row(m, l)]) {
        bestExpected[row(m, l)] = expected[at(m, l, b)];
        bestBranches[row(m, l)] = b;
      }
    }
  }

  private int row(int m, int l) {
    return m * (levels + 1) + l;
  }

  private int at(int m, int l, int b) {
    return row(m, l) * (branches + 1) + b;
  }

  /**
   * How many tokens the best tree accepts on average, the root counted.
   *
   * @param nodes exactly so many, the root counted; 0 to the budget
   * @param levels at most so many; 0 to the levels planned for
   * @return −∞ if there is no such tree
   */
  public float expectedLength(int nodes, int levels) {
    requireInRange(nodes, levels, 0);
    return bestExpected[row(nodes, levels)];
  }

  /**
   * The best tree of so many nodes.
   *
   * @param nodes the root counted; 1 to the budget
   * @throws IllegalArgumentException if no tree of the levels and ranks planned for has so many
   */
  public DraftTree tree(int nodes) {
    requireInRange(nodes, levels, 1);
    int l = levels;
    for (int fewer = levels - 1; fewer >= 1; fewer--) {
      if (bestExpected[row(nodes, fewer)] == bestExpected[row(nodes, levels)]) {
        l = fewer;
      }
    }
    if (bestExpected[row(nodes, l)] == UNREACHABLE) {
      throw new IllegalArgumentException(
          "no tree of %d levels and %d children a node has %d nodes"
              .formatted(levels, branches, nodes));
    }
    return expand(nodes, l);
  }

  /** Numbers the nodes level by level. */
  private DraftTree expand(int nodes, int allLevels) {
    int[] parent = new int[nodes];
    int[] below = new int[nodes]; // nodes below and including each
    int[] height = new int[nodes]; // levels it may use
    parent[0] = -1;
    below[0] = nodes;
    height[0] = allLevels;
    int next = 1;
    for (int i = 0; i < nodes; i++) {
      int m = below[i];
      int children = bestBranches[row(m, height[i])];
      for (int b = children; b > 0; b--) {
        int y = split[at(m, height[i], b)];
        parent[next + b - 1] = i;
        below[next + b - 1] = m - y;
        height[next + b - 1] = height[i] - 1;
        m = y;
      }
      next += children;
    }
    return DraftTree.of(parent);
  }

  private void requireInRange(int nodes, int levels, int least) {
    if (nodes < least || nodes > budget || levels < least || levels > this.levels) {
      throw new IllegalArgumentException(
          "%d nodes, %d levels, expected %d to %d and to %d"
              .formatted(nodes, levels, least, budget, this.levels));
    }
  }
}
