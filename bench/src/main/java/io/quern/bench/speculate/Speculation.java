package io.quern.bench.speculate;

import io.quern.Buffer;
import io.quern.DType;
import io.quern.Device;
import io.quern.Graph;
import io.quern.Shape;
import io.quern.Stream;
import io.quern.op.AdjacencyFill;
import io.quern.op.CoinOrder;
import io.quern.op.Distribution;
import io.quern.op.IndexPolicy;
import io.quern.op.KvCompaction;
import io.quern.op.RejectionRule;
import io.quern.op.RejectionVerify;
import io.quern.op.TreeOutputs;
import io.quern.op.TreeTopology;
import io.quern.op.TreeVerify;
import io.quern.op.VerifyRule;
import io.quern.op.VerifyTarget;
import io.quern.tree.DraftTree;
import io.quern.tree.StaticTree;
import io.quern.tree.TokenRecycling;
import io.quern.tree.TreeBatch;
import java.lang.foreign.MemorySegment;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.Deque;
import java.util.List;
import java.util.Random;

/**
 * Speculative decoding of a batch of requests, step by step: draft trees, their topology, the
 * target model (on the host, since it is an n-gram model), verification, compaction of the cache of
 * keys and values, and with Token Recycling the update of its matrix. What a device does without
 * the host is two graphs, one before and one after the target model.
 */
final class Speculation implements AutoCloseable {
  /** Best tokens after each token, as Token Recycling was published. */
  private static final int RECYCLED = 8;

  private static final int HEADS = 2;
  private static final int HEAD_DIM = 4;

  private final Device device;
  private final Stream stream;
  private final NGramModel target;
  private final NGramModel draft;
  private final List<int[]> prompts;
  private final int requests;
  private final int nodes;
  private final int width;
  private final Deque<AutoCloseable> open = new ArrayDeque<>();

  private final Buffer parent;
  private final Buffer offsets;
  private final Buffer tokens;
  private final Buffer roots;
  private final Buffer lengths;
  private final Buffer logits;
  private final Buffer draftLogits;
  private final Buffer uniforms;
  private final Buffer finalUniforms;
  private final Buffer accepted;
  private final Buffer counts;
  private final Buffer next;
  private final List<Buffer> statuses = new ArrayList<>();
  private final List<Buffer> caches = new ArrayList<>();
  private final long cacheRows;

  private final Graph before;
  private final Graph after;

  private final Drafter drafter;
  private final StaticTree recycled;
  private final VerifyMode mode;
  private final Random coins;

  /** The same requests for every drafter. */
  record Requests(NGramModel target, NGramModel draft, List<int[]> prompts, int tokens) {}

  /** Drafts by a drafter. */
  static Speculation drafting(Device device, Requests of, Drafter drafter, VerifyMode mode) {
    return new Speculation(device, of, drafter, null, mode);
  }

  /** Drafts by Token Recycling, on the device. */
  static Speculation recycling(Device device, Requests of, StaticTree tree) {
    return new Speculation(device, of, null, tree, VerifyMode.GREEDY);
  }

  private Speculation(
      Device device, Requests of, Drafter drafter, StaticTree recycled, VerifyMode mode) {
    this.device = device;
    this.target = of.target;
    this.draft = of.draft;
    this.prompts = of.prompts;
    this.requests = prompts.size();
    this.drafter = drafter;
    this.recycled = recycled;
    this.mode = mode;
    this.coins = new Random(mode.ordinal());
    this.nodes = drafter == null ? recycled.tree().size() : drafter.mostNodes();
    this.width = nodes;
    this.stream = keep(device.openStream());
    int all = requests * nodes;
    parent = ints(all);
    tokens = ints(all);
    offsets = ints(requests + 1);
    roots = ints(requests);
    lengths = ints(requests);
    logits = keep(device.allocate(DType.F32, Shape.of(all, target.vocab())));
    boolean drawn = mode.rejection().map(RejectionRule::needsDraft).orElse(false);
    draftLogits = drawn ? keep(device.allocate(DType.F32, logits.shape())) : null;
    uniforms = mode.isRandom() ? keep(device.allocate(DType.F32, Shape.of(all))) : null;
    finalUniforms = mode.isRandom() ? keep(device.allocate(DType.F32, Shape.of(requests))) : null;
    accepted = keep(device.allocate(DType.I32, Shape.of(requests, width)));
    counts = ints(requests);
    next = ints(requests);
    // The longest text that a step each token could give.
    int longest = prompts.stream().mapToInt(prompt -> prompt.length).max().getAsInt();
    cacheRows = longest + (long) of.tokens * width + nodes;
    for (int i = 0; i < 2; i++) { // keys and values
      Shape shape = Shape.of(requests, HEADS, cacheRows, HEAD_DIM);
      caches.add(keep(device.allocate(DType.F32, shape)));
    }

    Buffer firstChild = ints(all);
    Buffer nextSibling = ints(all);
    Buffer paths = null;
    TreeOutputs outputs = TreeOutputs.of(status()).withLinks(firstChild, nextSibling);
    if (mode == VerifyMode.TYPICAL) {
      paths = keep(device.allocate(DType.I32, Shape.of(requests, nodes, width)));
      outputs = outputs.withPaths(paths, ints(requests));
    }
    Runnable topology = topology(outputs);
    Runnable verify = verify(firstChild, nextSibling, paths);
    Runnable compact = compact();
    Runnable fill = () -> {};
    Runnable update = () -> {};
    if (recycled != null) {
      TokenRecycling plan =
          TokenRecycling.plan(
              device,
              new TokenRecycling.Spec(target.vocab(), RECYCLED, DType.F32, IndexPolicy.FAIL));
      Buffer adjacency = keep(device.allocate(DType.I32, plan.spec().adjacencyShape()));
      Buffer best = keep(device.allocate(DType.I32, plan.spec().bestShape(all)));
      long bytes = plan.workspaceBytes(all);
      Buffer workspace = bytes == 0 ? null : keep(device.allocate(DType.U8, Shape.of(bytes)));
      AdjacencyFill.Operands operands =
          new AdjacencyFill.Operands(adjacency, roots, parent, ranks(), offsets, tokens, status());
      plan.clear(stream, adjacency);
      fill = () -> plan.fill(stream, operands);
      update = () -> plan.update(stream, logits, tokens, best, adjacency, workspace);
    }
    before = keep(captured(fill, topology));
    after = keep(captured(verify, compact, update));
  }

  private Graph captured(Runnable... calls) {
    return stream.capture(
        () -> {
          for (Runnable call : calls) {
            call.run();
          }
        });
  }

  private Runnable topology(TreeOutputs outputs) {
    TreeTopology plan = TreeTopology.plan(device, TreeTopology.Spec.DEFAULT);
    int words = (nodes + Long.SIZE - 1) / Long.SIZE;
    Buffer bits = keep(device.allocate(DType.U64, Shape.of(requests * (long) nodes, words)));
    TreeTopology.Operands operands =
        TreeTopology.Operands.of(
                parent,
                offsets,
                outputs.withBits(bits).withPositions(ints(requests * nodes))) // for attention
            .withPrefix(lengths);
    return () -> plan.run(stream, operands);
  }

  private Runnable verify(Buffer firstChild, Buffer nextSibling, Buffer paths) {
    Buffer status = status();
    long vocab = target.vocab();
    if (mode.rejection().isPresent()) {
      RejectionRule rule = mode.rejection().get();
      RejectionVerify.Spec spec =
          RejectionVerify.Spec.of(rule, vocab, width)
              .withCoins(CoinOrder.NODE)
              .withTarget(Distribution.LOGITS, DType.F32);
      if (draftLogits != null) {
        spec = spec.withDraft(Distribution.LOGITS, DType.F32);
      }
      RejectionVerify plan = RejectionVerify.plan(device, spec);
      RejectionVerify.Operands operands =
          RejectionVerify.Operands.ofChains(
              offsets,
              tokens,
              logits,
              draftLogits,
              uniforms,
              finalUniforms,
              RejectionVerify.Outputs.of(accepted, counts, next, status));
      RejectionVerify.Operands linked =
          rule == RejectionRule.BLOCK ? operands : operands.withLinks(firstChild, nextSibling);
      return () -> plan.run(stream, linked);
    }
    TreeVerify.Outputs outputs = new TreeVerify.Outputs(accepted, counts, next, status);
    TreeVerify.Spec spec =
        switch (mode) {
          case TYPICAL ->
              TreeVerify.Spec.typical(DType.F32, vocab, width, TreeVerify.Typical.MEDUSA_MODEL);
          case TARGET_ONLY ->
              TreeVerify.Spec.targetOnly(
                  VerifyTarget.LOGITS, DType.F32, vocab, width, TreeVerify.Thresholds.EXACT);
          default -> TreeVerify.Spec.greedy(VerifyRule.GREEDY_LINKED, DType.F32, vocab, width);
        };
    TreeVerify plan = TreeVerify.plan(device, spec);
    TreeVerify.Operands operands =
        spec.byPaths()
            ? TreeVerify.Operands.ofPaths(offsets, tokens, paths, logits, outputs)
            : TreeVerify.Operands.ofLinks(
                offsets, tokens, firstChild, nextSibling, logits, outputs);
    TreeVerify.Operands complete =
        mode == VerifyMode.TARGET_ONLY ? operands.withUniforms(uniforms, finalUniforms) : operands;
    return () -> plan.run(stream, complete);
  }

  /** Also makes the new lengths and roots those of the next step. */
  private Runnable compact() {
    KvCompaction plan =
        KvCompaction.plan(device, KvCompaction.Spec.contiguous(DType.F32, HEADS, HEAD_DIM));
    Buffer newLengths = ints(requests);
    KvCompaction.Operands operands =
        KvCompaction.Operands.contiguous(caches, accepted, counts, lengths, newLengths, status());
    return () -> {
      plan.run(stream, operands);
      newLengths.copyTo(lengths, stream);
      next.copyTo(roots, stream);
    };
  }

  /**
   * Generates until every request has so many tokens.
   *
   * @throws IllegalStateException if a status is not OK, or the cache does not hold the text
   */
  Tally generate(int wanted) {
    List<int[]> contexts = new ArrayList<>(prompts);
    long calls = 0;
    long emitted = 0;
    long verified = 0;
    begin();
    while (unfinished(contexts, wanted) > 0) {
      List<DraftTree> trees = draft(contexts);
      forward(contexts, trees);
      after.launch(stream);
      requireOk();
      int[] count = fetch(counts);
      int[] path = fetch(accepted);
      int[] last = fetch(next);
      for (int b = 0; b < requests; b++) {
        int[] more = new int[count[b] + 1];
        for (int j = 0; j < count[b]; j++) {
          more[j] = trees.get(b).token(path[b * width + j + 1]);
        }
        more[count[b]] = last[b];
        if (isUnfinished(b, contexts.get(b), wanted)) {
          calls++;
          emitted += more.length;
          verified += trees.get(b).size();
        }
        contexts.set(b, Contexts.longer(contexts.get(b), more));
      }
    }
    requireCacheOf(contexts);
    List<int[]> texts = new ArrayList<>();
    for (int b = 0; b < requests; b++) {
      int from = prompts.get(b).length;
      texts.add(Arrays.copyOfRange(contexts.get(b), from, from + wanted));
    }
    return new Tally(texts, calls, emitted, verified);
  }

  private boolean isUnfinished(int b, int[] context, int wanted) {
    return context.length - prompts.get(b).length < wanted;
  }

  private int unfinished(List<int[]> contexts, int wanted) {
    int count = 0;
    for (int b = 0; b < requests; b++) {
      count += isUnfinished(b, contexts.get(b), wanted) ? 1 : 0;
    }
    return count;
  }

  /** Roots, lengths and the cache as after the prompt; the root is not in the cache yet. */
  private void begin() {
    int[] root = new int[requests];
    int[] length = new int[requests];
    for (int b = 0; b < requests; b++) {
      int[] prompt = prompts.get(b);
      length[b] = prompt.length - 1;
      root[b] = prompt[length[b]];
      writeCache(b, 0, Arrays.copyOf(prompt, length[b]), 0, null);
    }
    roots.copyFrom(MemorySegment.ofArray(root), stream);
    lengths.copyFrom(MemorySegment.ofArray(length), stream);
    if (recycled != null) {
      TreeBatch batch = TreeBatch.of(Collections.nCopies(requests, recycled.tree()));
      batch.copyParents(parent, stream);
      batch.copyOffsets(offsets, stream);
    }
  }

  /** Trees with tokens, on the device and here. */
  private List<DraftTree> draft(List<int[]> contexts) {
    List<DraftTree> trees = new ArrayList<>();
    if (recycled != null) {
      before.launch(stream);
      int[] filled = fetch(tokens);
      for (int b = 0; b < requests; b++) {
        trees.add(
            recycled.tree().withTokens(Arrays.copyOfRange(filled, b * nodes, (b + 1) * nodes)));
      }
      return trees;
    }
    contexts.forEach(context -> trees.add(drafter.draft(context)));
    TreeBatch batch = TreeBatch.of(trees);
    Shape used = Shape.of(batch.nodes());
    batch.copyOffsets(offsets, stream);
    batch.copyParents(parent.view(0, used, batch.nodes()), stream);
    batch.copyTokens(tokens.view(0, used, batch.nodes()), stream);
    before.launch(stream);
    return trees;
  }

  /** The target model's row of every node, what it would leave in the cache, and coins. */
  private void forward(List<int[]> contexts, List<DraftTree> trees) {
    TreeBatch batch = TreeBatch.of(trees);
    int vocab = target.vocab();
    float[] rows = new float[batch.nodes() * vocab];
    float[] draftRows = draftLogits == null ? null : new float[rows.length];
    int row = 0;
    for (int b = 0; b < requests; b++) {
      int[] context = contexts.get(b);
      DraftTree tree = trees.get(b);
      for (int i = 0; i < tree.size(); i++, row++) {
        int[] path = tree.path(i);
        for (int d = 0; d < path.length; d++) {
          path[d] = tree.token(path[d]);
        }
        int[] longer = Contexts.below(context, path);
        target.logProbabilities(longer, rows, row * vocab);
        if (draftRows != null) {
          draft.logProbabilities(longer, draftRows, row * vocab);
        }
      }
      writeCache(b, context.length - 1, tree.tokens(), context.length - 1, tree.depths());
    }
    copyRows(rows, batch.nodes(), logits);
    if (draftRows != null) {
      copyRows(draftRows, batch.nodes(), draftLogits);
    }
    if (mode.isRandom()) {
      flip(uniforms);
      flip(finalUniforms);
    }
  }

  private void copyRows(float[] rows, long count, Buffer to) {
    long vocab = target.vocab();
    to.view(0, Shape.of(count, vocab), vocab).copyFrom(MemorySegment.ofArray(rows), stream);
  }

  private void flip(Buffer buffer) {
    float[] drawn = new float[(int) buffer.shape().size()];
    for (int i = 0; i < drawn.length; i++) {
      drawn[i] = coins.nextFloat();
    }
    buffer.copyFrom(MemorySegment.ofArray(drawn), stream);
  }

  /**
   * Writes rows of the cache from which can be told what they belong to: token, position, head, and
   * whether they are keys or values.
   *
   * @param depths added to the position; null for consecutive positions
   */
  private void writeCache(int b, int row, int[] of, int position, int[] depths) {
    if (of.length == 0) {
      return;
    }
    for (int c = 0; c < caches.size(); c++) {
      for (int h = 0; h < HEADS; h++) {
        float[] values = new float[of.length * HEAD_DIM];
        for (int i = 0; i < of.length; i++) {
          values[i * HEAD_DIM] = of[i];
          values[i * HEAD_DIM + 1] = position + (depths == null ? i : depths[i]);
          values[i * HEAD_DIM + 2] = h;
          values[i * HEAD_DIM + 3] = c;
        }
        cacheRows(c, b, h, row, of.length).copyFrom(MemorySegment.ofArray(values), stream);
      }
    }
  }

  private Buffer cacheRows(int cache, int b, int head, int row, int count) {
    long first = (((long) b * HEADS + head) * cacheRows + row) * HEAD_DIM;
    return caches.get(cache).view(first, Shape.of(count, HEAD_DIM), HEAD_DIM);
  }

  private void requireCacheOf(List<int[]> contexts) {
    int[] length = fetch(lengths);
    for (int b = 0; b < requests; b++) {
      int[] context = contexts.get(b);
      boolean holds = length[b] == context.length - 1;
      for (int c = 0; holds && c < caches.size(); c++) {
        for (int h = 0; h < HEADS; h++) {
          float[] values = new float[length[b] * HEAD_DIM];
          cacheRows(c, b, h, 0, length[b]).copyTo(MemorySegment.ofArray(values), stream);
          for (int i = 0; i < length[b]; i++) {
            holds &= values[i * HEAD_DIM] == context[i] && values[i * HEAD_DIM + 1] == i;
            holds &= values[i * HEAD_DIM + 2] == h && values[i * HEAD_DIM + 3] == c;
          }
        }
      }
      if (!holds) {
        throw new IllegalStateException("the cache of request " + b + " does not hold its text");
      }
    }
  }

  private void requireOk() {
    for (Buffer status : statuses) {
      int[] found = fetch(status);
      if (Arrays.stream(found).anyMatch(ordinal -> ordinal != 0)) {
        throw new IllegalStateException("statuses " + Arrays.toString(found));
      }
    }
  }

  private int[] fetch(Buffer buffer) {
    int[] values = new int[(int) buffer.shape().size()];
    buffer.copyTo(MemorySegment.ofArray(values), stream);
    return values;
  }

  private Buffer ranks() {
    Buffer rank = ints(requests * nodes);
    int[] all = new int[requests * nodes];
    for (int i = 0; i < all.length; i++) {
      all[i] = recycled.rank(i % nodes);
    }
    rank.copyFrom(MemorySegment.ofArray(all), stream);
    return rank;
  }

  private Buffer ints(int size) {
    return keep(device.allocate(DType.I32, Shape.of(size)));
  }

  private Buffer status() {
    Buffer status = ints(requests);
    statuses.add(status);
    return status;
  }

  private <T extends AutoCloseable> T keep(T resource) {
    open.push(resource);
    return resource;
  }

  @Override
  public void close() {
    for (AutoCloseable resource : open) {
      try {
        resource.close();
      } catch (Exception e) {
        throw new IllegalStateException(e);
      }
    }
  }
}
