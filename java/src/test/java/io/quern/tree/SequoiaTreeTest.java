package io.quern.tree;

import static io.quern.tree.DraftTreeTest.refuses;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Random;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.constraints.IntRange;
import org.junit.jupiter.api.Test;

class SequoiaTreeTest {
  @Test
  void aGoodFirstChoiceMakesAChainAndAPoorOneABush() {
    SequoiaTree good = new SequoiaTree(new float[] {0.9f, 0.05f}, 4, 4);
    assertArrayEquals(new int[] {-1, 0, 1, 2}, good.tree(4).parents());
    assertEquals(1 + 0.9f * (1 + 0.9f * (1 + 0.9f)), good.expectedLength(4, 4), 1e-6);
    SequoiaTree poor = new SequoiaTree(new float[] {0.3f, 0.2f, 0.15f}, 4, 4);
    assertArrayEquals(new int[] {-1, 0, 0, 0}, poor.tree(4).parents());
    assertEquals(1.65f, poor.expectedLength(4, 4), 1e-6);
  }

  @Test
  void sizesThatNoTreeHasAreUnreachable() {
    SequoiaTree tree = new SequoiaTree(new float[] {0.5f, 0.25f}, 9, 3);
    assertEquals(Float.NEGATIVE_INFINITY, tree.expectedLength(0, 3));
    assertEquals(Float.NEGATIVE_INFINITY, tree.expectedLength(2, 1));
    assertEquals(Float.NEGATIVE_INFINITY, tree.expectedLength(8, 3), "1 + 2 + 4 are the most");
    assertEquals(7, tree.tree(7).size());
    refuses("no tree of 3 levels and 2 children a node has 8 nodes", () -> tree.tree(8));
    SequoiaTree alone = new SequoiaTree(new float[0], 1, 1);
    assertEquals(DraftTree.root(), alone.tree(1));
  }

  @Property(tries = 200)
  void noOtherTreeIsExpectedToAcceptMore(
      @ForAll long seed,
      @ForAll @IntRange(min = 1, max = 7) int nodes,
      @ForAll @IntRange(min = 1, max = 4) int levels) {
    Random random = new Random(seed);
    float[] acceptance = new float[1 + random.nextInt(3)];
    for (int r = 0; r < acceptance.length; r++) {
      acceptance[r] = random.nextInt(4) == 0 ? 0 : random.nextFloat() / (r + 1);
    }
    SequoiaTree planned = new SequoiaTree(acceptance, nodes, levels);
    double best = best(new int[nodes], 1, acceptance, levels);
    assertEquals(best, planned.expectedLength(nodes, levels), 1e-5);
    if (best > 0) {
      DraftTree tree = planned.tree(nodes);
      assertTrue(tree.maxDepth() < levels);
      assertEquals(best, expected(tree, acceptance), 1e-5);
    }
  }

  /** The best of all trees whose first {@code known} parents are given. */
  private static double best(int[] parent, int known, float[] acceptance, int levels) {
    parent[0] = -1;
    if (known == parent.length) {
      DraftTree tree = DraftTree.of(parent);
      boolean fits = tree.maxDepth() < levels;
      for (int i = 0; i < tree.size(); i++) {
        fits &= tree.children(i).length <= acceptance.length;
      }
      return fits ? expected(tree, acceptance) : Double.NEGATIVE_INFINITY;
    }
    double best = Double.NEGATIVE_INFINITY;
    for (parent[known] = 0; parent[known] < known; parent[known]++) {
      best = Math.max(best, best(parent, known + 1, acceptance, levels));
    }
    return best;
  }

  /** The probabilities, summed over nodes, that a node and everything above it is accepted. */
  private static double expected(DraftTree tree, float[] acceptance) {
    StaticTree ranked = StaticTree.of(tree);
    double sum = 0;
    for (int i = 0; i < tree.size(); i++) {
      double accepted = 1;
      for (int node = i; node > 0; node = tree.parent(node)) {
        accepted *= acceptance[ranked.rank(node)];
      }
      sum += accepted;
    }
    return sum;
  }

  @Test
  void badNumbersAreRefused() {
    for (float bad : new float[] {Float.NaN, -0.1f, 1.1f}) {
      refuses(
          "the acceptance of rank 1 is " + bad, () -> new SequoiaTree(new float[] {1, bad}, 3, 3));
    }
    refuses("budget 0", () -> new SequoiaTree(new float[] {1}, 0, 3));
    refuses("levels 0", () -> new SequoiaTree(new float[] {1}, 3, 0));
    SequoiaTree tree = new SequoiaTree(new float[] {1}, 3, 3);
    refuses("4 nodes", () -> tree.tree(4));
    refuses("0 nodes", () -> tree.tree(0));
    refuses("4 levels", () -> tree.expectedLength(1, 4));
  }
}
