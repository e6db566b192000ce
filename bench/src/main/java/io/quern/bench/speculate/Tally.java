package io.quern.bench.speculate;

import java.util.Arrays;
import java.util.List;

/**
 * What came out of generating with one drafter.
 *
 * @param texts the tokens that each request was asked for
 * @param calls runs of the target model, each request's counted
 * @param emitted tokens that those gave
 * @param nodes that were verified in them, roots included
 */
@SuppressWarnings("ArrayRecordComponent") // compared by sameTexts
record Tally(List<int[]> texts, long calls, long emitted, long nodes) {
  /** Tokens per run of the target model. */
  double tokensPerCall() {
    return (double) emitted / calls;
  }

  /** Nodes per run of the target model. */
  double nodesPerCall() {
    return (double) nodes / calls;
  }

  /** The share of runs of the target model that plain decoding needs and this does not. */
  double saved() {
    long plain = texts.stream().mapToLong(text -> text.length).sum();
    return 1 - (double) calls / plain;
  }

  /** Whether the same tokens were generated. */
  boolean hasTextsOf(Tally other) {
    for (int b = 0; b < texts.size(); b++) {
      if (!Arrays.equals(texts.get(b), other.texts.get(b))) {
        return false;
      }
    }
    return texts.size() == other.texts.size();
  }
}
