package io.quern.tree;

import static io.quern.tree.DraftTreeTest.refuses;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.quern.tree.StaticTree.Flavour;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashSet;
import java.util.List;
import java.util.Random;
import java.util.Set;
import net.jqwik.api.Arbitrary;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.Provide;
import org.junit.jupiter.api.Test;

class StaticTreeTest {
  private static final List<int[]> PATHS =
      List.of(
          new int[] {1, 0},
          new int[] {0},
          new int[] {0, 0, 3},
          new int[] {1},
          new int[] {0, 0},
          new int[] {0, 2});

  @Provide
  Arbitrary<DraftTree> trees() {
    return Trees.any();
  }

  @Test
  void pathsAreSortedByLengthThenRank() {
    StaticTree tree = StaticTree.ofPaths(PATHS);
    // 1: [0], 2: [1], 3: [0, 0], 4: [0, 2], 5: [1, 0], 6: [0, 0, 3]
    assertArrayEquals(new int[] {-1, 0, 0, 1, 1, 2, 3}, tree.tree().parents());
    assertArrayEquals(new int[] {0, 0, 1, 0, 2, 0, 3}, tree.ranks());
    assertArrayEquals(new int[] {0, 0, 3}, tree.path(6));
    assertArrayEquals(new int[] {}, tree.path(0));
    assertEquals(4, tree.candidates());
    assertEquals(2, tree.rank(4));
  }

  @Test
  void medusaTakesOneBlockPerDepth() {
    StaticTree tree = StaticTree.ofPaths(PATHS);
    assertArrayEquals(new int[] {0, 1, 2, 11, 13, 11, 24}, tree.treeIndices(Flavour.MEDUSA, 10));
    assertArrayEquals(
        new int[] {0, 1, 3, 6, 0, 2, 5, -1, 0, 1, 4, -1}, tree.retrieveIndices(Flavour.MEDUSA));
  }

  @Test
  void eagleTakesOneMoreBlockPerChangeOfParent() {
    StaticTree tree = StaticTree.ofPaths(PATHS);
    // Only from node 4 to node 5 does the parent change inside a level.
    assertArrayEquals(new int[] {0, 1, 2, 11, 13, 21, 34}, tree.treeIndices(Flavour.EAGLE, 10));
    assertArrayEquals(
        new int[] {0, 1, 3, 6, 0, 1, 4, -1, 0, 2, 5, -1}, tree.retrieveIndices(Flavour.EAGLE));
  }

  @Test
  void tokenRecyclingTakesRanksAndLeavesInOrder() {
    StaticTree tree = StaticTree.ofPaths(PATHS);
    assertArrayEquals(
        new int[] {-1, 0, 1, 0, 2, 0, 3}, tree.treeIndices(Flavour.TOKEN_RECYCLING, 4));
    assertArrayEquals(
        new int[] {0, 1, 4, -1, 0, 2, 5, -1, 0, 1, 3, 6},
        tree.retrieveIndices(Flavour.TOKEN_RECYCLING));
  }

  @Test
  void aGivenOrderIsKept() {
    StaticTree tree =
        StaticTree.inGivenOrder(List.of(new int[] {1}, new int[] {1, 0}, new int[] {0}));
    assertArrayEquals(new int[] {-1, 0, 1, 0}, tree.tree().parents());
    assertArrayEquals(new int[] {0, 1, 0, 0}, tree.ranks());
    assertNotEquals(StaticTree.of(tree.tree()), tree);
  }

  @Test
  void theRootAloneIsATree() {
    StaticTree tree = StaticTree.ofPaths(List.of());
    assertEquals(DraftTree.root(), tree.tree());
    assertEquals(0, tree.candidates());
    for (Flavour flavour : Flavour.values()) {
      assertArrayEquals(new int[] {0}, tree.retrieveIndices(flavour));
    }
  }

  @Test
  void whatIsNoTreeIsRefused() {
    refuses("a path is empty", () -> StaticTree.ofPaths(List.of(new int[0])));
    refuses("[-1] has a negative rank", () -> StaticTree.ofPaths(List.of(new int[] {-1})));
    refuses("[0] is given twice", () -> StaticTree.ofPaths(List.of(new int[] {0}, new int[] {0})));
    refuses(
        "[0, 1, 2] is not preceded by its prefix of length 2",
        () -> StaticTree.ofPaths(List.of(new int[] {0}, new int[] {0, 1, 2})));
    refuses(
        "[0, 0] is not preceded by its prefix of length 1",
        () -> StaticTree.inGivenOrder(List.of(new int[] {0, 0}, new int[] {0})));
    refuses("… of 100", () -> StaticTree.ofPaths(List.of(new int[100])));
    StaticTree tree = StaticTree.ofPaths(PATHS);
    refuses(
        "blocks of 3 candidates, expected at least 4", () -> tree.treeIndices(Flavour.EAGLE, 3));
  }

  @Property
  void pathsInAnyOrderGiveTheTreeBack(@ForAll("trees") DraftTree tree, @ForAll long seed) {
    StaticTree numbered = StaticTree.of(tree);
    assertEquals(numbered, StaticTree.inGivenOrder(numbered.paths()));
    List<int[]> shuffled = new ArrayList<>(numbered.paths());
    Collections.shuffle(shuffled, new Random(seed));
    StaticTree sorted = StaticTree.ofPaths(shuffled);
    assertEquals(sorted, StaticTree.ofPaths(sorted.paths()));
    assertEquals(texts(numbered), texts(sorted));
  }

  @Property
  void flavoursHaveTheSameLeafPathsInDifferentOrders(@ForAll("trees") DraftTree tree) {
    StaticTree shape = StaticTree.ofPaths(StaticTree.of(tree).paths());
    int width = shape.tree().maxDepth() + 1;
    Set<Set<String>> all = new HashSet<>();
    for (Flavour flavour : Flavour.values()) {
      int[] rows = shape.retrieveIndices(flavour);
      assertEquals(shape.tree().leaves().length * width, rows.length);
      Set<String> paths = new HashSet<>();
      for (int row = 0; row < rows.length; row += width) {
        StringBuilder path = new StringBuilder();
        for (int i = 0; i < width; i++) {
          path.append(rows[row + i]).append(' ');
        }
        assertTrue(paths.add(path.toString()));
      }
      all.add(paths);
    }
    assertEquals(1, all.size());
  }

  private static Set<String> texts(StaticTree tree) {
    Set<String> texts = new HashSet<>();
    tree.paths().forEach(path -> texts.add(Arrays.toString(path)));
    return texts;
  }
}
