package io.quern.op;

import java.util.Arrays;
import java.util.SplittableRandom;

/** What draft trees look like. */
public enum TreeKind {
  /** Every node is the child of the one before. */
  CHAIN,
  /** All nodes are children of the root. */
  STAR,
  /** Any earlier node is the parent: siblings lie far apart, depths are small. */
  SCATTERED,
  /** Level by level, as drafters make them: children of one node lie side by side. */
  LEVELS,
  /** The parent is one of the three nodes before: almost a chain. */
  DEEP,
  /** Scattered, and one parent is not before its child. */
  BROKEN,
  /** Scattered, and the root has a parent. */
  ROOTLESS,
  /** Any numbers, most of them near the ids of nodes. */
  GARBAGE;

  /** The parents of {@code n} nodes. */
  public int[] parents(int n, SplittableRandom random) {
    int[] parents = new int[n];
    for (int i = 0; i < n; i++) {
      parents[i] =
          switch (this) {
            case CHAIN -> i - 1;
            case STAR -> Math.min(i - 1, 0);
            case SCATTERED, BROKEN, ROOTLESS -> i == 0 ? -1 : random.nextInt(i);
            case LEVELS -> i == 0 ? -1 : (i - 1) / 3;
            case DEEP -> i == 0 ? -1 : random.nextInt(Math.max(0, i - 3), i);
            case GARBAGE ->
                random.nextInt(8) == 0 ? random.nextInt() : random.nextInt(-2, Math.max(3, i + 1));
          };
    }
    if (this == LEVELS) {
      Arrays.sort(parents);
    }
    if (n > 0 && this == ROOTLESS) {
      parents[0] = random.nextBoolean() ? 0 : -2;
    }
    if (n > 1 && this == BROKEN) {
      int i = random.nextInt(1, n);
      parents[i] = random.nextBoolean() ? i : -1 - random.nextInt(2);
    }
    return parents;
  }
}
