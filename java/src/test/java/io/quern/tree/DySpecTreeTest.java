package io.quern.tree;

import static io.quern.tree.DraftTreeTest.refuses;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Arrays;
import java.util.Random;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.constraints.IntRange;
import org.junit.jupiter.api.Test;

class DySpecTreeTest {
  /** Half, a quarter, a quarter, after every token. */
  private static final float[] HALVES = {0.5f, 0.25f, 0.25f};

  @Test
  void theBudgetGoesWhereAcceptanceIsLikeliest() {
    DySpecTree tree = DySpecTree.ofBudget(0, 4);
    assertEquals(0, step(tree, 0)); // token 0: 1/2 for it, 1/2 left at the root
    assertEquals(1, step(tree, 0.99)); // the older place of 1/2; token 2: 1/8, and 3/8 left
    assertEquals(0, step(tree, 0)); // at the root token 1 of 1/2, 1/2: 1/4, and 1/4 left
    assertEquals(1, step(tree, 0.7)); // of 2/3, 1/3 token 1: 1/8
    assertEquals(-1, tree.next());
    assertArrayEquals(new int[] {-1, 0, 1, 0, 1}, tree.tree().parents());
    assertArrayEquals(new int[] {0, 0, 2, 1, 1}, tree.tree().tokens());
    assertEquals(0.5, tree.estimate(1));
    assertEquals(0.125, tree.estimate(2));
    assertEquals(0.25, tree.estimate(3));
    assertEquals(0.125, tree.estimate(4), 1e-15);
    assertArrayEquals(new int[] {0, 0, 2}, tree.tokens(2));
  }

  private static int step(DySpecTree tree, double uniform) {
    int node = tree.next();
    if (tree.needsDistribution()) {
      tree.distribution(HALVES);
    }
    tree.draw(uniform);
    return node;
  }

  @Test
  void theThresholdTakesAllPlacesLevelByLevel() {
    DySpecTree tree = DySpecTree.ofThreshold(0, 0.25, 8, 100);
    int steps = 0;
    for (int node = tree.next(); node >= 0; node = tree.next(), steps++) {
      if (tree.needsDistribution()) {
        tree.distribution(HALVES);
      }
      tree.draw(0);
    }
    // Root: 0 (1/2), 1 (1/4), 2 (1/4). Below 0 with 1/2: 0 (1/4), 1 (1/8), then 1/8 is left. Below
    // the three nodes of 1/4: one child of 1/8 each, and then 1/8 is left.
    assertArrayEquals(new int[] {-1, 0, 0, 0, 1, 1, 2, 3, 4}, tree.tree().parents());
    assertArrayEquals(new int[] {0, 0, 1, 2, 0, 1, 0, 0, 0}, tree.tree().tokens());
    assertEquals(8, steps);
  }

  @Test
  void depthAndBudgetBoundAThreshold() {
    DySpecTree shallow = DySpecTree.ofThreshold(0, 0.001, 1, 100);
    while (shallow.next() >= 0) {
      if (shallow.needsDistribution()) {
        shallow.distribution(HALVES);
      }
      shallow.draw(0.5);
    }
    assertEquals(4, shallow.tree().size());
    assertEquals(-1, DySpecTree.ofThreshold(0, 0.1, 0, 100).next());
    assertEquals(-1, DySpecTree.ofThreshold(0, 0.1, 8, 0).next());
    assertEquals(-1, DySpecTree.ofBudget(0, 0).next());
  }

  @Test
  void aNodeWithoutTokensLeftIsClosed() {
    DySpecTree tree = DySpecTree.ofBudget(5, 100);
    assertEquals(0, tree.next());
    tree.distribution(new float[] {0, 1, 0});
    assertEquals(1, tree.draw(0));
    assertEquals(1, tree.next()); // the child, since nothing is left at the root
    assertArrayEquals(new int[] {5, 1}, tree.tokens(1));
  }

  @Property
  void siblingsDifferAndEstimatesFall(
      @ForAll long seed,
      @ForAll @IntRange(min = 1, max = 6) int vocab,
      @ForAll @IntRange(min = 0, max = 40) int budget,
      @ForAll boolean threshold) {
    Random random = new Random(seed);
    DySpecTree tree =
        threshold ? DySpecTree.ofThreshold(0, 0.02, 5, budget) : DySpecTree.ofBudget(0, budget);
    for (int node = tree.next(); node >= 0; node = tree.next()) {
      if (tree.needsDistribution()) {
        float[] p = new float[vocab];
        for (int i = 0; i < vocab; i++) {
          p[i] = random.nextInt(3) == 0 ? 0 : random.nextFloat();
        }
        p[random.nextInt(vocab)] += 0.1f;
        tree.distribution(p);
      }
      tree.draw(random.nextDouble());
    }
    DraftTree built = tree.tree();
    assertTrue(built.size() <= budget + 1);
    for (int i = 0; i < built.size(); i++) {
      int[] tokens = Arrays.stream(built.children(i)).map(built::token).toArray();
      assertEquals(tokens.length, Arrays.stream(tokens).distinct().count());
      double sum = 0;
      for (int child : built.children(i)) {
        sum += tree.estimate(child);
      }
      assertTrue(sum <= tree.estimate(i) * (1 + 1e-12), "children are accepted with their parent");
    }
  }

  @Test
  void stepsOutOfOrderAndBadNumbersAreRefused() {
    DySpecTree tree = DySpecTree.ofBudget(0, 3);
    assertThrows(IllegalStateException.class, tree::needsDistribution);
    assertThrows(IllegalStateException.class, () -> tree.draw(0));
    assertThrows(IllegalStateException.class, () -> tree.distribution(HALVES));
    tree.next();
    assertThrows(IllegalStateException.class, tree::next);
    assertThrows(IllegalStateException.class, () -> tree.draw(0), "no distribution");
    for (float bad : new float[] {Float.NaN, -0.5f, Float.POSITIVE_INFINITY}) {
      refuses(
          "the probability of token 1 is " + bad, () -> tree.distribution(new float[] {1, bad}));
    }
    refuses("no token has a probability", () -> tree.distribution(new float[] {0, 0}));
    refuses("no token has a probability", () -> tree.distribution(new float[0]));
    assertTrue(tree.needsDistribution());
    tree.distribution(HALVES);
    assertFalse(tree.needsDistribution());
    for (double bad : new double[] {Double.NaN, -0.1, 1}) {
      refuses("uniform is " + bad, () -> tree.draw(bad));
    }
    assertEquals(1, tree.draw(0.999));
    refuses("budget is -1", () -> DySpecTree.ofBudget(0, -1));
    refuses("depth is -1", () -> DySpecTree.ofThreshold(0, 0.5, -1, 1));
    for (double bad : new double[] {Double.NaN, 0, 1.1}) {
      refuses("threshold is " + bad, () -> DySpecTree.ofThreshold(0, bad, 1, 1));
    }
  }
}
