package io.quern.tree;

import java.util.Arrays;

/**
 * Drafts by looking the last tokens up in the context itself: what followed them the first time is
 * the draft. The longest n-gram that has a match with a whole continuation wins, and of its matches
 * the leftmost; without one there is no draft, nor a shorter one (prompt lookup decoding, as in
 * Spec-Bench's {@code find_candidate_pred_tokens}).
 *
 * @param longest tokens of the longest n-gram that is looked up; 3 in what was published
 * @param length tokens of a draft; 10 in what was published
 */
public record PromptLookup(int longest, int length) {
  /**
   * Checks both.
   *
   * @throws IllegalArgumentException if one is below 1
   */
  public PromptLookup {
    if (longest < 1 || length < 1) {
      throw new IllegalArgumentException(
          "n-grams of %d, drafts of %d tokens, expected at least 1".formatted(longest, length));
    }
  }

  /**
   * The draft.
   *
   * @param context all tokens so far
   * @return {@code length} tokens, or none
   */
  public int[] draft(int... context) {
    for (int n = Math.min(longest, context.length); n > 0; n--) {
      int last = context.length - n;
      for (int i = 0; i <= last - length; i++) {
        if (Arrays.equals(context, i, i + n, context, last, context.length)) {
          return Arrays.copyOfRange(context, i + n, i + n + length);
        }
      }
    }
    return new int[0];
  }

  /**
   * The draft as a chain below the last token; the root alone if there is none.
   *
   * @param context all tokens so far, at least one
   * @throws IllegalArgumentException if there is none
   */
  public DraftTree tree(int... context) {
    if (context.length == 0) {
      throw new IllegalArgumentException("no tokens, expected at least the last one");
    }
    int[] draft = draft(context);
    int[] tokens = new int[draft.length + 1];
    tokens[0] = context[context.length - 1];
    System.arraycopy(draft, 0, tokens, 1, draft.length);
    return DraftTree.chain(draft.length).withTokens(tokens);
  }
}
