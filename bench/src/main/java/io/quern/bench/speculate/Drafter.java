package io.quern.bench.speculate;

import io.quern.tree.DraftTree;

/** Decides which tokens the target model is asked about. */
interface Drafter {
  /** As the table shows it. */
  String name();

  /**
   * A tree of candidates.
   *
   * @param context all tokens so far; the last one is the root
   * @return a tree with tokens
   */
  DraftTree draft(int[] context);

  /** The most nodes of a tree, the root included. */
  int mostNodes();
}
