package io.quern.tree;

import static io.quern.tree.DraftTreeTest.refuses;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import java.util.Random;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.constraints.IntRange;
import org.junit.jupiter.api.Test;

class DdTreeTest {
  @Test
  void takesTheMostProbablePaths() {
    // Depth 1: A 0.5, B 0.25; depth 2: C 0.75, D 0.25.
    float[] logProbs = {log(0.5), log(0.25), log(0.75), log(0.25)};
    DraftTree tree = DdTree.build(9, new int[] {1, 2, 3, 4}, logProbs, 2, 5);
    // A 0.5, AC 0.375, B 0.25, BC 0.1875, AD 0.125.
    assertArrayEquals(new int[] {9, 1, 3, 2, 3, 4}, tree.tokens());
    assertArrayEquals(new int[] {-1, 0, 1, 0, 3, 1}, tree.parents());
  }

  private static float log(double p) {
    return (float) Math.log(p);
  }

  /** Multiples of 1/4, so that sums are exact and ties are frequent. */
  @Property
  void agreesWithSortingAllPaths(
      @ForAll long seed,
      @ForAll @IntRange(min = 0, max = 4) int depths,
      @ForAll @IntRange(min = 1, max = 4) int candidates,
      @ForAll @IntRange(min = 0, max = 60) int budget) {
    Random random = new Random(seed);
    float[] logProbs = new float[depths * candidates];
    int[] tokens = random.ints(logProbs.length).toArray();
    for (int i = 0; i < logProbs.length; i++) {
      float better = i % candidates == 0 ? 0 : logProbs[i - 1];
      logProbs[i] =
          random.nextInt(8) == 0 ? Float.NEGATIVE_INFINITY : better - random.nextInt(3) / 4f;
    }
    List<int[]> paths = new ArrayList<>();
    addPaths(paths, new int[0], depths, candidates);
    paths.removeIf(path -> sum(path, logProbs, candidates) == Double.NEGATIVE_INFINITY);
    paths.sort(
        Comparator.<int[]>comparingDouble(path -> -sum(path, logProbs, candidates))
            .thenComparing(Arrays::compare));
    StaticTree expected = StaticTree.inGivenOrder(paths.subList(0, Math.min(budget, paths.size())));
    DraftTree tree = DdTree.build(7, tokens, logProbs, candidates, budget);
    assertArrayEquals(expected.tree().parents(), tree.parents());
    for (int i = 1; i < tree.size(); i++) {
      assertEquals(tokens[(tree.depth(i) - 1) * candidates + expected.rank(i)], tree.token(i));
    }
  }

  private static void addPaths(List<int[]> paths, int[] path, int depths, int candidates) {
    for (int rank = 0; rank < candidates && path.length < depths; rank++) {
      int[] longer = Arrays.copyOf(path, path.length + 1);
      longer[path.length] = rank;
      paths.add(longer);
      addPaths(paths, longer, depths, candidates);
    }
  }

  private static double sum(int[] path, float[] logProbs, int candidates) {
    double sum = 0;
    for (int d = 0; d < path.length; d++) {
      sum += logProbs[d * candidates + path[d]];
    }
    return sum;
  }

  @Test
  void whatHasNoOrderIsRefused() {
    float nan = Float.NaN;
    refuses("log p of depth 1, rank 0 is NaN", () -> build(new float[] {nan, -1}, 2));
    refuses("log p of depth 2, rank 1 is NaN", () -> build(new float[] {-1, -2, -1, nan}, 2));
    refuses("is 0.5, expected at most 0.0", () -> build(new float[] {0.5f}, 1));
    refuses("is -1.0, expected at most -2.0", () -> build(new float[] {-2, -1}, 2));
    refuses("expected depths × 2", () -> build(new float[3], 2));
    refuses("expected depths × 0", () -> build(new float[0], 0));
    refuses("1 tokens and 2 log p", () -> DdTree.build(0, new int[1], new float[2], 1, 3));
    refuses("budget is -1", () -> DdTree.build(0, new int[1], new float[1], 1, -1));
  }

  private static DraftTree build(float[] logProbs, int candidates) {
    return DdTree.build(0, new int[logProbs.length], logProbs, candidates, 10);
  }
}
