package io.quern.tree;

import static io.quern.tree.DraftTreeTest.refuses;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import org.junit.jupiter.api.Test;

class PromptLookupTest {
  private static final PromptLookup LOOKUP = new PromptLookup(2, 2);

  @Test
  void theLeftmostMatchOfTheLongestNgramWins() {
    assertArrayEquals(new int[] {7, 8}, LOOKUP.draft(1, 2, 7, 8, 1, 2, 9, 9, 1, 2));
    assertArrayEquals(new int[] {5, 5}, LOOKUP.draft(2, 7, 8, 1, 2, 5, 5, 1, 2), "2 grams first");
    assertArrayEquals(new int[] {7, 8}, LOOKUP.draft(2, 7, 8, 3, 2), "then one");
  }

  @Test
  void aContinuationHasToFit() {
    assertArrayEquals(new int[] {}, LOOKUP.draft(2, 2), "only one token follows");
    assertArrayEquals(new int[] {2, 2}, LOOKUP.draft(2, 2, 2), "it may overlap what is looked up");
    assertArrayEquals(new int[] {}, LOOKUP.draft(1, 2, 3));
    assertArrayEquals(new int[] {}, LOOKUP.draft());
  }

  @Test
  void aDraftIsAChainBelowTheLastToken() {
    assertEquals(DraftTree.chain(2).withTokens(2, 7, 8), LOOKUP.tree(2, 7, 8, 3, 2));
    assertEquals(DraftTree.root().withTokens(3), LOOKUP.tree(1, 2, 3));
    refuses("no tokens", LOOKUP::tree);
    refuses("n-grams of 0", () -> new PromptLookup(0, 1));
    refuses("drafts of 0", () -> new PromptLookup(1, 0));
  }
}
