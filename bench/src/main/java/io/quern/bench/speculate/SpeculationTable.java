package io.quern.bench.speculate;

import io.quern.Device;
import io.quern.Stream;
import io.quern.bench.Progress;
import io.quern.io.TreeTopologies;
import io.quern.tree.DraftTree;
import io.quern.tree.PromptLookup;
import io.quern.tree.SequoiaTree;
import io.quern.tree.StaticTree;
import java.io.PrintStream;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;

/**
 * Every kind of tree, then every kind of verification, on one text, on one device after another.
 */
public final class SpeculationTable {
  /** Rows of both tables. */
  public static final int ROWS = 19;

  private static final int TARGET_ORDER = 5;
  private static final int DRAFT_ORDER = 2;
  private static final int REQUESTS = 4;
  private static final int PROMPT = 400;
  private static final int BUDGET = 63;
  private static final int LEVELS = 8;
  private static final int RANKS = 10;
  private static final String RECYCLED = "token_recycling/2.2.2";
  private static final String MEDUSA = "medusa/mc_sim_7b_63";

  /** How many places of the text tell how good the draft model's candidates are. */
  private static final int SAMPLES = 2000;

  private final Speculation.Requests requests;
  private final StaticTree sequoia;
  private final Progress progress;
  private final int textLength;
  private final Map<String, Tally> tallies = new LinkedHashMap<>();
  private final List<String> devices = new ArrayList<>();
  private final List<String> complaints = new ArrayList<>();

  private SpeculationTable(
      Speculation.Requests requests, StaticTree sequoia, int textLength, Progress progress) {
    this.requests = requests;
    this.sequoia = sequoia;
    this.textLength = textLength;
    this.progress = progress;
  }

  /**
   * Learns both models.
   *
   * @param text tokens of a vocabulary of any size
   * @param tokens that each request generates
   */
  public static SpeculationTable of(int[] text, int tokens, Progress progress) {
    // The tokens that occur, so that rows of logits are no longer than they need be.
    int[] known = Arrays.stream(text).distinct().sorted().toArray();
    int[] dense = Arrays.stream(text).map(token -> Arrays.binarySearch(known, token)).toArray();
    NGramModel target = new NGramModel(dense, known.length, TARGET_ORDER);
    NGramModel draft = new NGramModel(dense, known.length, DRAFT_ORDER);
    List<int[]> prompts =
        IntStream.rangeClosed(1, REQUESTS)
            .map(b -> b * (dense.length - PROMPT) / (REQUESTS + 1))
            .mapToObj(from -> Arrays.copyOfRange(dense, from, from + PROMPT))
            .toList();
    SequoiaTree best = new SequoiaTree(acceptance(dense, target, draft), BUDGET + 1, LEVELS);
    return new SpeculationTable(
        new Speculation.Requests(target, draft, prompts, tokens),
        StaticTree.of(best.tree(BUDGET + 1)),
        text.length,
        progress);
  }

  /** How often the target's best token is the draft's candidate of each rank. */
  private static float[] acceptance(int[] text, NGramModel target, NGramModel draft) {
    float[] acceptance = new float[RANKS];
    for (int i = 0; i < SAMPLES; i++) {
      int end = (int) ((long) (i + 1) * text.length / (SAMPLES + 1));
      int[] context = Arrays.copyOfRange(text, Math.max(0, end - TARGET_ORDER), end);
      int wanted = Candidates.of(target.logProbabilities(context), 1).tokens()[0];
      int[] offered = Candidates.of(draft.logProbabilities(context), RANKS).tokens();
      for (int r = 0; r < RANKS; r++) {
        acceptance[r] += offered[r] == wanted ? 1f / SAMPLES : 0;
      }
    }
    return acceptance;
  }

  /** Fills all rows on a device; those of an earlier device have to be the same. */
  public void run(Device device) {
    devices.add(device.name());
    NGramModel draft = requests.draft();
    TreeTopologies published = TreeTopologies.published();
    Tally plain =
        row("plain decoding", device, fixed("plain", DraftTree.root()), VerifyMode.GREEDY);
    greedy(plain, "prompt lookup, 10", device, new LookupDrafter(new PromptLookup(3, 10)));
    greedy(plain, "chain of 5", device, fixed("chain", DraftTree.chain(5)));
    greedy(plain, "k-ary, 4·2·2", device, fixed("k-ary", DraftTree.kAry(4, 2, 2)));
    greedy(plain, "Medusa's 64", device, new StaticDrafter(MEDUSA, published.tree(MEDUSA), draft));
    greedy(plain, "Sequoia", device, new StaticDrafter("Sequoia", sequoia, draft));
    greedy(plain, "OPT-Tree", device, new OptTreeDrafter(draft, BUDGET, 0.1f, LEVELS));
    greedy(plain, "DDTree", device, new DdTreeDrafter(draft, LEVELS, BUDGET));
    greedy(plain, "DySpec", device, new DySpecDrafter(draft, BUDGET, 1));
    try (Stream stream = device.openStream();
        EagleDrafter eagle = new EagleDrafter(device, stream, draft, BUDGET + 1, 8, 6)) {
      greedy(plain, "EAGLE-2", device, eagle);
    }
    progress.step(device.name() + ", Token Recycling");
    try (Speculation recycling =
        Speculation.recycling(device, requests, published.tree(RECYCLED))) {
      Tally tally = recycling.generate(requests.tokens());
      note("Token Recycling, no draft model", device, tally);
      requireSameText(plain, "Token Recycling", device, tally);
    }

    Drafter best = new StaticDrafter("Sequoia", sequoia, draft);
    int[] tree = {4, 2, 2, 1};
    int[] chain = {1, 1, 1, 1, 1};
    row("typical acceptance, Sequoia", device, best, VerifyMode.TYPICAL);
    row("target-only sampling, Sequoia", device, best, VerifyMode.TARGET_ONLY);
    row("rejection without chance, Sequoia", device, best, VerifyMode.POINT_DRAFTS);
    row(
        "recursive, without replacement, 4·2·2·1",
        device,
        new SampledDrafter("draws", draft, false, 2, tree),
        VerifyMode.WITHOUT_REPLACEMENT);
    row(
        "recursive, with replacement, 4·2·2·1",
        device,
        new SampledDrafter("draws", draft, true, 3, tree),
        VerifyMode.WITH_REPLACEMENT);
    row(
        "K-SEQ, 4·2·2·1",
        device,
        new SampledDrafter("draws", draft, true, 4, tree),
        VerifyMode.K_SEQ);
    row(
        "chain of 5, classic",
        device,
        new SampledDrafter("draws", draft, true, 5, chain),
        VerifyMode.WITH_REPLACEMENT);
    row(
        "chain of 5, block",
        device,
        new SampledDrafter("draws", draft, true, 5, chain),
        VerifyMode.BLOCK);
  }

  private Drafter fixed(String name, DraftTree shape) {
    return new StaticDrafter(name, StaticTree.of(shape), requests.draft());
  }

  private void greedy(Tally plain, String row, Device device, Drafter drafter) {
    requireSameText(plain, row, device, row(row, device, drafter, VerifyMode.GREEDY));
  }

  private void requireSameText(Tally plain, String row, Device device, Tally tally) {
    if (!tally.hasTextsOf(plain)) {
      complaints.add(row + " on " + device.name() + ": not the text of plain decoding");
    }
  }

  private Tally row(String row, Device device, Drafter drafter, VerifyMode mode) {
    progress.step(device.name() + ", " + row);
    try (Speculation speculation = Speculation.drafting(device, requests, drafter, mode)) {
      Tally tally = speculation.generate(requests.tokens());
      note(row, device, tally);
      return tally;
    }
  }

  private void note(String row, Device device, Tally tally) {
    Tally before = tallies.putIfAbsent(row, tally);
    if (before != null && !(tally.hasTextsOf(before) && tally.calls() == before.calls())) {
      complaints.add(row + " on " + device.name() + ": not what it was on " + devices.getFirst());
    }
  }

  /**
   * Prints both tables.
   *
   * @return whether every text is the one it has to be
   */
  public boolean print(PrintStream out) {
    out.printf(
        "%d tokens of text, %d different; target: %d-grams, draft: %d-grams; %d requests × %d tokens%n",
        textLength,
        requests.target().vocab(),
        TARGET_ORDER,
        DRAFT_ORDER,
        REQUESTS,
        requests.tokens());
    out.println("on " + String.join(", ", devices));
    out.printf("%n%-42s %8s %12s %9s %7s%n", "", "nodes", "tokens/call", "calls", "saved");
    tallies.forEach(
        (row, tally) -> {
          if (row.startsWith("typical")) {
            out.println();
          }
          out.printf(
              "%-42s %8.1f %12.2f %9d %6.0f%%%n",
              row, tally.nodesPerCall(), tally.tokensPerCall(), tally.calls(), 100 * tally.saved());
        });
    out.println();
    complaints.forEach(line -> out.println("DIFFERENT: " + line));
    if (complaints.isEmpty()) {
      out.println(
          "Every greedy row gave the text of plain decoding"
              + (devices.size() > 1 ? ", every device the same numbers." : "."));
    }
    return complaints.isEmpty();
  }
}
