package io.quern.bench.speculate;

import io.quern.tree.DraftTree;
import io.quern.tree.PromptLookup;

/** What followed the last tokens earlier in the context. */
record LookupDrafter(PromptLookup lookup) implements Drafter {
  @Override
  public String name() {
    return "prompt lookup";
  }

  @Override
  public int mostNodes() {
    return lookup.length() + 1;
  }

  @Override
  public DraftTree draft(int[] context) {
    return lookup.tree(context);
  }
}
