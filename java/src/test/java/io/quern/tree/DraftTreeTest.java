package io.quern.tree;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Random;
import net.jqwik.api.Arbitrary;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.Provide;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;

class DraftTreeTest {
  /**
   *
   *
   * <pre>
   * 0 ─ 1 ─ 3
   *   │   └ 4 ─ 6
   *   └ 2 ─ 5
   * </pre>
   */
  private static final DraftTree SMALL = DraftTree.of(-1, 0, 0, 1, 1, 2, 4);

  @Provide
  Arbitrary<DraftTree> trees() {
    return Trees.any();
  }

  @Test
  void relationsOfASmallTree() {
    assertEquals(7, SMALL.size());
    assertEquals(3, SMALL.maxDepth());
    assertArrayEquals(new int[] {0, 1, 1, 2, 2, 2, 3}, SMALL.depths());
    assertArrayEquals(new int[] {1, 3, 5, -1, 6, -1, -1}, SMALL.firstChildren());
    assertArrayEquals(new int[] {-1, 2, -1, 4, -1, -1, -1}, SMALL.nextSiblings());
    assertArrayEquals(new int[] {3, 4}, SMALL.children(1));
    assertArrayEquals(new int[] {}, SMALL.children(6));
    assertArrayEquals(new int[] {3, 5, 6}, SMALL.leaves());
    assertArrayEquals(new int[] {0, 1, 4, 6}, SMALL.path(6));
    assertArrayEquals(new int[] {7, 4, 2, 1, 2, 1, 1}, SMALL.subtreeSizes());
    assertTrue(SMALL.isVisible(6, 1));
    assertTrue(SMALL.isVisible(6, 6));
    assertFalse(SMALL.isVisible(6, 2));
    assertFalse(SMALL.isVisible(1, 6));
    assertTrue(SMALL.isLeaf(5));
    assertFalse(SMALL.hasTokens());
    assertThrows(IllegalStateException.class, () -> SMALL.token(0));
    assertThrows(IllegalStateException.class, SMALL::tokens);
  }

  @Test
  void ordersOfASmallTree() {
    assertArrayEquals(new int[] {0, 1, 3, 4, 6, 2, 5}, SMALL.depthFirstOrder());
    assertArrayEquals(new int[] {0, 1, 4, 6, 3, 2, 5}, SMALL.heavyPathOrder());
    DraftTree heavy = SMALL.withTokens(10, 11, 12, 13, 14, 15, 16).reorder(SMALL.heavyPathOrder());
    assertArrayEquals(new int[] {-1, 0, 1, 2, 1, 0, 5}, heavy.parents());
    assertArrayEquals(new int[] {10, 11, 14, 16, 13, 12, 15}, heavy.tokens());
    // 3 was drawn before 4, and still is.
    assertArrayEquals(new int[] {4, 2}, heavy.children(1));
    assertNotEquals(heavy, DraftTree.of(heavy.parents()).withTokens(heavy.tokens()));
  }

  @Test
  void chainsAndLevels() {
    assertEquals(DraftTree.root(), DraftTree.chain(0));
    assertEquals(DraftTree.of(-1, 0, 1, 2), DraftTree.chain(3));
    assertEquals(DraftTree.chain(3), DraftTree.kAry(1, 1, 1));
    assertEquals(DraftTree.root(), DraftTree.kAry());
    assertEquals(DraftTree.of(-1, 0, 0, 0, 1, 1, 2, 2, 3, 3), DraftTree.kAry(3, 2));
  }

  @Test
  void masksOfNoTreeAreRefused() {
    refuses("a mask of 3 elements", () -> DraftTree.ofMask(true, true, true));
    refuses("a mask of 0 elements", DraftTree::ofMask);
    refuses("node 0 does not see node 0", () -> DraftTree.ofMask(false));
    refuses("node 0 sees node 1", () -> DraftTree.ofMask(true, true, true, true));
    refuses("the parent of node 1 is -1", () -> DraftTree.ofMask(true, false, false, true));
    boolean[] twoParents = DraftTree.of(-1, 0, 0, 2).mask();
    twoParents[3 * 4 + 1] = true;
    refuses("node 3 sees node 1", () -> DraftTree.ofMask(twoParents));
  }

  @Test
  void whatIsNoTreeIsRefused() {
    refuses("no nodes", DraftTree::of);
    refuses("the parent of node 0 is 0, expected -1", () -> DraftTree.of(0));
    refuses("the parent of node 2 is 2, expected 0 to 1", () -> DraftTree.of(-1, 0, 2));
    refuses("the parent of node 1 is -1, expected 0 to 0", () -> DraftTree.of(-1, -1));
    refuses("length is -1", () -> DraftTree.chain(-1));
    refuses("expected 1 or more", () -> DraftTree.kAry(2, 0));
    refuses("2^31 - 1 nodes", () -> DraftTree.kAry(50_000, 50_000));
    refuses("6 tokens, expected 7", () -> SMALL.withTokens(1, 2, 3, 4, 5, 6));
    refuses("an order of 1 nodes, expected 7", () -> SMALL.reorder(0));
    refuses("place 1 of the order has node 0", () -> SMALL.reorder(0, 0, 1, 2, 3, 4, 5));
    refuses("place 6 of the order has node 7", () -> SMALL.reorder(0, 1, 2, 3, 4, 5, 7));
    refuses("node 3, before its parent 1", () -> SMALL.reorder(0, 3, 1, 2, 4, 5, 6));
    refuses("node 1, before its parent 0", () -> SMALL.reorder(1, 0, 2, 3, 4, 5, 6));
    refuses("block is 0", () -> SMALL.maskBlocks(0));
  }

  @Test
  void arraysAreCopies() {
    int[] parent = {-1, 0};
    DraftTree tree = DraftTree.of(parent);
    parent[1] = 7;
    tree.parents()[1] = 7;
    tree.depths()[1] = 7;
    tree.firstChildren()[0] = 7;
    tree.nextSiblings()[0] = 7;
    assertEquals(DraftTree.chain(1), tree);
    assertEquals(1, tree.depth(1));
  }

  @Property
  void aMaskHasOneColumnPerAncestorAndGivesTheTreeBack(@ForAll("trees") DraftTree tree) {
    boolean[] mask = tree.mask();
    int n = tree.size();
    for (int i = 0; i < n; i++) {
      int seen = 0;
      for (int j = 0; j < n; j++) {
        assertEquals(mask[i * n + j], tree.isVisible(i, j));
        seen += mask[i * n + j] ? 1 : 0;
      }
      assertEquals(tree.depth(i), seen - 1);
      assertTrue(mask[i * n] && mask[i * n + i]);
    }
    assertEquals(tree, DraftTree.ofMask(mask));
  }

  @Property
  void everyNodeButTheRootIsTheChildOfOne(@ForAll("trees") DraftTree tree) {
    int[] met = new int[tree.size()];
    for (int i = 0; i < tree.size(); i++) {
      for (int child : tree.children(i)) {
        assertEquals(i, tree.parent(child));
        met[child]++;
      }
    }
    met[0]++;
    assertTrue(Arrays.stream(met).allMatch(times -> times == 1));
  }

  @Property
  void renumberingBackGivesTheSameTree(@ForAll("trees") DraftTree tree, @ForAll long seed) {
    int n = tree.size();
    int[] tokens = new Random(seed).ints(n).toArray();
    DraftTree known = tree.withTokens(tokens);
    for (int[] order : List.of(tree.depthFirstOrder(), tree.heavyPathOrder())) {
      DraftTree other = known.reorder(order);
      int[] back = new int[n];
      for (int i = 0; i < n; i++) {
        back[order[i]] = i;
        assertEquals(known.token(order[i]), other.token(i));
        assertEquals(known.depth(order[i]), other.depth(i));
        int[] children = known.children(order[i]);
        int[] others = other.children(i);
        for (int c = 0; c < children.length; c++) {
          assertEquals(children[c], order[others[c]], "the order in which siblings were drawn");
        }
      }
      // Back in ascending order of the first numbers: parents come before children there, too.
      assertEquals(known, other.reorder(back));
    }
  }

  @Property
  void depthFirstOrdersKeepSubtreesTogether(@ForAll("trees") DraftTree tree) {
    for (int[] order : List.of(tree.depthFirstOrder(), tree.heavyPathOrder())) {
      DraftTree other = tree.reorder(order);
      int[] sizes = other.subtreeSizes();
      for (int i = 0; i < other.size(); i++) {
        for (int j = 0; j < other.size(); j++) {
          assertEquals(other.isVisible(j, i), j >= i && j < i + sizes[i]);
        }
      }
    }
  }

  @Property
  void blocksOfOneAreTheMaskAndABlockOfAllIsOne(@ForAll("trees") DraftTree tree) {
    int ones = Arrays.stream(tree.depths()).map(depth -> depth + 1).sum();
    assertEquals(ones, tree.maskBlocks(1));
    assertEquals(1, tree.maskBlocks(tree.size()));
    int n = tree.size();
    int block = 3;
    List<Boolean> blocks = new ArrayList<>(Collections.nCopies(n * n, false));
    for (int i = 0; i < n; i++) {
      for (int j = 0; j < n; j++) {
        if (tree.isVisible(i, j)) {
          blocks.set(i / block * n + j / block, true);
        }
      }
    }
    assertEquals(Collections.frequency(blocks, true), tree.maskBlocks(block));
  }

  @Test
  void aHeavyChainIsLaidOutInOnePiece() {
    // Two chains, interleaved: depth first needs fewer blocks.
    int n = 65;
    int[] parent = new int[n];
    for (int i = 0; i < n; i++) {
      parent[i] = i < 3 ? Math.min(i, 1) - 1 : i - 2;
    }
    DraftTree tree = DraftTree.of(parent);
    DraftTree heavy = tree.reorder(tree.heavyPathOrder());
    assertTrue(heavy.maskBlocks(8) < tree.maskBlocks(8));
  }

  static void refuses(String words, Executable call) {
    IllegalArgumentException thrown = assertThrows(IllegalArgumentException.class, call);
    assertTrue(thrown.getMessage().contains(words), thrown::getMessage);
  }
}
