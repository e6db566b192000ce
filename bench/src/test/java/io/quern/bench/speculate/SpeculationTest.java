package io.quern.bench.speculate;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.quern.Backend;
import io.quern.CpuDevice;
import io.quern.Device;
import io.quern.Stream;
import io.quern.io.TreeTopologies;
import io.quern.tree.DraftTree;
import io.quern.tree.PromptLookup;
import io.quern.tree.StaticTree;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;

/** Every step also checks its statuses and, at the end, that the cache holds the text. */
class SpeculationTest {
  private static final int VOCAB = 40;
  private static final int TOKENS = 12;
  private static final Speculation.Requests REQUESTS = requests();

  /** A text with structure: each token depends on the two before it, most of the time. */
  private static Speculation.Requests requests() {
    Random random = new Random(3);
    int[] text = new int[3000];
    for (int i = 2; i < text.length; i++) {
      int usual = (3 * text[i - 1] + 5 * text[i - 2] + 1) % VOCAB;
      text[i] = random.nextInt(4) == 0 ? random.nextInt(VOCAB) : usual;
    }
    return new Speculation.Requests(
        new NGramModel(text, VOCAB, 4),
        new NGramModel(text, VOCAB, 2),
        List.of(Arrays.copyOf(text, 60), Arrays.copyOfRange(text, 1000, 1075)),
        TOKENS);
  }

  private static Tally generate(Device device, Drafter drafter, VerifyMode mode) {
    try (Speculation speculation = Speculation.drafting(device, REQUESTS, drafter, mode)) {
      return speculation.generate(TOKENS);
    }
  }

  @Test
  void greedyVerificationGivesTheTextOfPlainDecodingWhateverIsDrafted() {
    NGramModel draft = REQUESTS.draft();
    try (Device device = CpuDevice.open(Backend.SCALAR, 1);
        Stream stream = device.openStream();
        EagleDrafter eagle = new EagleDrafter(device, stream, draft, 16, 4, 3)) {
      Tally plain =
          generate(
              device,
              new StaticDrafter("plain", StaticTree.of(DraftTree.root()), draft),
              VerifyMode.GREEDY);
      assertArrayEquals(greedy(0), plain.texts().get(0));
      assertArrayEquals(greedy(1), plain.texts().get(1));
      assertEquals(1, plain.tokensPerCall());
      for (Drafter drafter :
          List.of(
              new LookupDrafter(new PromptLookup(3, 4)),
              new StaticDrafter("k-ary", StaticTree.of(DraftTree.kAry(3, 2)), draft),
              new DdTreeDrafter(draft, 3, 12),
              new OptTreeDrafter(draft, 12, 0.1f, 4),
              new DySpecDrafter(draft, 12, 1),
              eagle)) {
        Tally tally = generate(device, drafter, VerifyMode.GREEDY);
        assertTrue(tally.hasTextsOf(plain), drafter.name());
        assertTrue(tally.calls() <= plain.calls(), drafter.name());
      }
      StaticTree tree = TreeTopologies.published().tree("token_recycling/2.2.2");
      try (Speculation recycling = Speculation.recycling(device, REQUESTS, tree)) {
        assertTrue(recycling.generate(TOKENS).hasTextsOf(plain));
      }
    }
  }

  /** The target's best token again and again, without any of the library. */
  private static int[] greedy(int request) {
    int[] context = REQUESTS.prompts().get(request);
    for (int i = 0; i < TOKENS; i++) {
      float[] row = REQUESTS.target().logProbabilities(context);
      int best = 0;
      for (int w = 1; w < row.length; w++) {
        best = row[w] > row[best] ? w : best;
      }
      context = Contexts.longer(context, best);
    }
    return Arrays.copyOfRange(context, context.length - TOKENS, context.length);
  }

  @Test
  void everyModeRunsAndBackEndsAgree() {
    NGramModel draft = REQUESTS.draft();
    try (Device scalar = CpuDevice.open(Backend.SCALAR, 1);
        Device parallel = CpuDevice.open(Backend.SCALAR, 3)) {
      for (VerifyMode mode : VerifyMode.values()) {
        boolean replacement = mode != VerifyMode.WITHOUT_REPLACEMENT;
        int[] branching = mode == VerifyMode.BLOCK ? new int[] {1, 1, 1} : new int[] {3, 2};
        Tally first =
            generate(scalar, new SampledDrafter("draws", draft, replacement, 1, branching), mode);
        Tally second =
            generate(parallel, new SampledDrafter("draws", draft, replacement, 1, branching), mode);
        assertTrue(first.hasTextsOf(second), mode::toString);
        assertEquals(first.calls(), second.calls(), mode::toString);
        assertTrue(first.tokensPerCall() >= 1, mode::toString);
      }
    }
  }
}
