package io.quern.tree;

import static io.quern.tree.DraftTreeTest.refuses;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Random;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.constraints.IntRange;
import org.junit.jupiter.api.Test;

class OptTreeTest {
  @Test
  void growsWhileALevelIsWorthIt() {
    OptTree tree = new OptTree(9, 2, 0.25f, 10);
    assertEquals(1, tree.frontier());
    assertArrayEquals(new int[] {9}, tree.tokens(0));
    tree.add(new int[] {1, 2}, new float[] {0.5f, 0.125f}); // sum 0.625
    assertFalse(tree.isComplete());
    assertEquals(2, tree.frontier());
    assertArrayEquals(new int[] {9, 2}, tree.tokens(1));
    // Below 1: 3 with 0.5; below 2: nothing that matters. 0.5 + 0.5 − 0.625 = 0.375 > 0.25.
    tree.add(new int[] {3, 4, 5, 6}, new float[] {1, 0, 0.5f, 0.5f});
    assertFalse(tree.isComplete());
    assertArrayEquals(new int[] {9, 1, 3}, tree.tokens(0));
    // 0.5, 0.5 and now 0.25: no gain.
    tree.add(new int[] {7, 8, 7, 8}, new float[] {0.5f, 0.5f, 1, 0});
    assertTrue(tree.isComplete());
    assertArrayEquals(new int[] {9, 1, 3}, tree.tree().tokens());
    assertArrayEquals(new int[] {-1, 0, 1}, tree.tree().parents());
  }

  @Test
  void equalProductsGoToTheEarlierNode() {
    OptTree tree = new OptTree(0, 3, 0, 2);
    tree.add(new int[] {1, 2}, new float[] {0.5f, 0.5f});
    tree.add(new int[] {3, 4, 5, 6}, new float[] {0.5f, 0.5f, 0.5f, 0.5f});
    assertTrue(tree.isComplete(), "the depth is reached");
    assertArrayEquals(new int[] {0, 1, 2, 3}, tree.tree().tokens());
    assertArrayEquals(new int[] {-1, 0, 0, 1}, tree.tree().parents());
  }

  /** Without a threshold the tree has the highest products of all paths there are. */
  @Property
  void holdsTheHighestProducts(
      @ForAll long seed,
      @ForAll @IntRange(min = 1, max = 12) int nodes,
      @ForAll @IntRange(min = 1, max = 4) int depth) {
    Random random = new Random(seed);
    int k = 3;
    OptTree tree = new OptTree(0, nodes, Float.NEGATIVE_INFINITY, depth);
    // The draft model: a probability for each (path, token), remembered by the path.
    long salt = random.nextLong();
    while (!tree.isComplete()) {
      int[] tokens = new int[tree.frontier() * k];
      float[] probs = new float[tokens.length];
      for (int i = 0; i < tokens.length; i++) {
        tokens[i] = i % k;
        probs[i] = probability(tree.tokens(i / k), i % k, salt);
      }
      tree.add(tokens, probs);
    }
    List<Float> all = new ArrayList<>();
    collect(all, new int[] {0}, 1, depth, k, salt);
    all.sort(Collections.reverseOrder());
    List<Float> got = new ArrayList<>();
    DraftTree built = tree.tree();
    float[] product = new float[built.size()];
    product[0] = 1;
    for (int i = 1; i < built.size(); i++) {
      int[] path = new int[built.depth(i)];
      for (int p = built.parent(i); p >= 0; p = built.parent(p)) {
        path[built.depth(p)] = built.token(p);
      }
      product[i] = probability(path, built.token(i), salt) * product[built.parent(i)];
      got.add(product[i]);
    }
    got.sort(Collections.reverseOrder());
    assertEquals(all.subList(0, Math.min(nodes, all.size())), got);
  }

  private static void collect(
      List<Float> all, int[] path, float product, int depth, int k, long salt) {
    for (int token = 0; token < k && path.length <= depth; token++) {
      float longer = probability(path, token, salt) * product;
      all.add(longer);
      int[] next = Arrays.copyOf(path, path.length + 1);
      next[path.length] = token;
      collect(all, next, longer, depth, k, salt);
    }
  }

  private static float probability(int[] path, int token, long salt) {
    return new Random(salt * 31 + Arrays.hashCode(path) * 7L + token).nextInt(8) / 8f;
  }

  @Test
  void badNumbersAndSizesAreRefused() {
    OptTree tree = new OptTree(0, 4, 0.1f, 1);
    for (float bad : new float[] {Float.NaN, -0.5f, 1.5f}) {
      refuses(
          "the probability of candidate 1 of node 0 is " + bad,
          () -> tree.add(new int[2], new float[] {0.5f, bad}));
    }
    refuses("0 tokens and 0 probabilities", () -> tree.add(new int[0], new float[0]));
    refuses("2 tokens and 1 probabilities", () -> tree.add(new int[2], new float[1]));
    assertEquals(DraftTree.root().withTokens(0), tree.tree());
    tree.add(new int[] {5}, new float[] {1});
    assertThrows(IllegalStateException.class, () -> tree.add(new int[] {5}, new float[] {1}));
    refuses("nodes 0", () -> new OptTree(0, 0, 0, 1));
    refuses("depth 0", () -> new OptTree(0, 1, 0, 0));
    refuses("threshold NaN", () -> new OptTree(0, 1, Float.NaN, 1));
  }
}
