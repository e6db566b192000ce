package io.quern.bench.verify;

import io.quern.tree.PromptLookup;
import java.util.Arrays;
import java.util.Map;
import java.util.Optional;

/** {@code in.tokens, in.indptr} → one draft per context, padded with −1. */
final class PromptLookupGolden implements GoldenOp {
  @Override
  public String name() {
    return "prompt_lookup";
  }

  @Override
  public Optional<String> missingVariant(GoldenCase golden) {
    return Optional.empty();
  }

  @Override
  public Map<String, GoldenTensor> run(GoldenCase golden, Operands operands) {
    int length = ((Long) golden.params().get("num_pred")).intValue();
    PromptLookup lookup =
        new PromptLookup(((Long) golden.params().get("max_ngram")).intValue(), length);
    int[] tokens = HostArrays.ints(golden.input("tokens"));
    int[] offsets = HostArrays.ints(golden.input("indptr"));
    int requests = offsets.length - 1;
    int[] drafts = new int[requests * length];
    int[] lengths = new int[requests];
    Arrays.fill(drafts, -1);
    for (int b = 0; b < requests; b++) {
      int[] draft = lookup.draft(Arrays.copyOfRange(tokens, offsets[b], offsets[b + 1]));
      System.arraycopy(draft, 0, drafts, b * length, draft.length);
      lengths[b] = draft.length;
    }
    return Map.of(
        "draft",
        HostArrays.tensor(drafts, requests, length),
        "draft_len",
        HostArrays.vector(lengths));
  }
}
