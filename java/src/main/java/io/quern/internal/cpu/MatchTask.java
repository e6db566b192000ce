package io.quern.internal.cpu;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static java.lang.foreign.ValueLayout.JAVA_INT;

import io.quern.Buffer;
import io.quern.internal.device.TypedMemory;
import io.quern.internal.kernel.Operator;
import io.quern.op.MergeScheme;
import io.quern.op.TokenMatch;
import io.quern.op.TokenOrder;
import java.lang.foreign.MemorySegment;
import java.util.Arrays;

/**
 * A call of TokenMatch: which tokens are sources and destinations, and what the best destinations
 * become. Between the two a back end finds them. Batch rows are those from {@code first} on; all
 * scratch counts from there.
 */
public abstract class MatchTask extends RowTask {
  /** What counts for a similarity that is not above it: NaN, as with a token of norm zero. */
  private static final float LEAST = -2;

  /** Scratch of all batch rows, and of each worker. Kept by the stream. */
  public static final class Lists {
    private final Worker[] workers;

    /** Source and then destination tokens of each batch row. */
    private int[] lists = {};

    private boolean[] valid = {};
    private float[] best = {};
    private int[] index = {};

    public Lists(int workers) {
      this.workers = new Worker[workers];
      Arrays.setAll(this.workers, i -> new Worker());
    }

    private void reserve(int batches, int tokens) {
      int all = Math.multiplyExact(batches, tokens);
      if (lists.length < all) {
        lists = new int[all];
        best = new float[all];
        index = new int[all];
      }
      if (valid.length < batches) {
        valid = new boolean[batches];
      }
      for (Worker worker : workers) {
        worker.reserve(tokens);
      }
    }
  }

  private static final class Worker {
    private final DescendingOrder descending = new DescendingOrder();
    private int[] marks = {};
    private int[] slots = {};
    private float[] similarities = {};

    private void reserve(int tokens) {
      if (marks.length < tokens) {
        descending.reserve(tokens);
        marks = new int[tokens];
        slots = new int[tokens];
        similarities = new float[tokens];
      }
    }
  }

  private TokenMatch.Spec spec;
  private Lists scratch;
  private MemorySegment order;
  private MemorySegment limits;
  private MemorySegment slot;
  private MemorySegment similarity;
  private MemorySegment count;
  private int first;
  private int tokens;
  private int sources;
  private int destinations;

  @Override
  protected final Operator operator() {
    return Operator.TOKEN_MATCH;
  }

  /** Takes a call, or the part of it from batch row {@code first} on. */
  public final void take(
      TokenMatch.Spec spec, TokenMatch.Operands operands, Lists scratch, int first, int batches) {
    this.spec = spec;
    this.scratch = scratch;
    this.first = first;
    tokens = (int) spec.tokens();
    sources = (int) spec.scheme().sources(tokens);
    destinations = (int) spec.scheme().destinations(tokens);
    order = segment(operands.order());
    limits = segment(operands.limits());
    slot = segment(operands.slot());
    similarity = segment(operands.similarity());
    count = segment(operands.count());
    scratch.reserve(batches, tokens);
  }

  private static MemorySegment segment(Buffer buffer) {
    return buffer == null ? null : HostDevice.segment(TypedMemory.of(buffer));
  }

  @Override
  protected void clear() {
    order = null;
    limits = null;
    slot = null;
    similarity = null;
    count = null;
  }

  /** The first batch row of this part. */
  protected final int first() {
    return first;
  }

  /** Sources of a batch row. */
  protected final int sources() {
    return sources;
  }

  /** Destinations of a batch row. */
  protected final int destinations() {
    return destinations;
  }

  /** The token of a source. */
  protected final int source(int batch, int i) {
    return scratch.lists[batch * tokens + i];
  }

  /** The token of a destination. */
  protected final int destination(int batch, int j) {
    return scratch.lists[batch * tokens + sources + j];
  }

  /** Whether the batch row's order is a permutation. */
  protected final boolean isValid(int batch) {
    return scratch.valid[batch];
  }

  /** The first destination that may be merged into. */
  protected final int firstDestination() {
    return switch (spec.scheme()) {
      case MergeScheme.Bipartite(boolean classToken, boolean distillToken) -> distillToken ? 1 : 0;
      case MergeScheme.HeadTail tail -> tail.classToken() ? 1 : 0;
      default -> 0;
    };
  }

  /** Notes the best destination of a source. */
  protected final void setBest(int batch, int i, float similarity, int destination) {
    boolean counts = similarity > LEAST;
    // Zeros of both signs are equal.
    scratch.best[batch * tokens + i] = counts ? similarity + 0.0f : LEAST;
    scratch.index[batch * tokens + i] = counts ? destination : firstDestination();
  }

  /** What a product is multiplied by for each of its tokens: 1 / norm, NaN where that is zero. */
  protected static float inverseNorm(float squaredNorm) {
    float norm = (float) Math.sqrt(squaredNorm);
    return norm == 0 ? Float.NaN : 1 / norm;
  }

  /** Lists the sources and destinations of a batch row. */
  protected final void list(int worker, int batch) {
    int[] lists = scratch.lists;
    int at = batch * tokens;
    scratch.valid[batch] = true;
    switch (spec.scheme()) {
      case MergeScheme.Bipartite bipartite -> {
        for (int i = 0; i < sources; i++) {
          lists[at + i] = 2 * i;
        }
        for (int j = 0; j < destinations; j++) {
          lists[at + sources + j] = 2 * j + 1;
        }
      }
      case MergeScheme.EveryKth every -> {
        int k = (int) Math.min(every.k(), tokens + 1L);
        for (int i = 0; i < sources; i++) {
          lists[at + i] = i / (k - 1) * k + i % (k - 1);
        }
        for (int j = 0; j < destinations; j++) {
          lists[at + sources + j] = j * k + k - 1;
        }
      }
      case MergeScheme.Permuted permuted -> listOrdered(worker, batch, 0, sources);
      case MergeScheme.HeadTail tail -> listOrdered(worker, batch, destinations, 0);
      case MergeScheme.Grid grid -> listGrid(grid, scratch.workers[worker].marks, at);
    }
  }

  /** Sources and destinations from those places of the order on. */
  private void listOrdered(int worker, int batch, int source, int destination) {
    int[] seen = scratch.workers[worker].marks;
    Arrays.fill(seen, 0, tokens, 0);
    boolean valid = true;
    for (int i = 0; i < tokens; i++) {
      int token = ordered(batch, i);
      valid &= token >= 0 && token < tokens && seen[token]++ == 0;
    }
    scratch.valid[batch] = valid;
    int at = batch * tokens;
    for (int i = 0; valid && i < sources; i++) {
      scratch.lists[at + i] = ordered(batch, source + i);
    }
    for (int j = 0; valid && j < destinations; j++) {
      scratch.lists[at + sources + j] = ordered(batch, destination + j);
    }
  }

  private int ordered(int batch, int i) {
    return order == null
        ? i
        : order.get(JAVA_INT, ((first + (long) batch) * tokens + i) * Integer.BYTES);
  }

  private void listGrid(MergeScheme.Grid grid, int[] isDestination, int at) {
    Arrays.fill(isDestination, 0, tokens, 0);
    for (int cell = 0; cell < destinations; cell++) {
      long offset = order == null ? 0 : order.get(JAVA_INT, (long) cell * Integer.BYTES);
      if (offset < 0 || offset >= (long) grid.strideX() * grid.strideY()) {
        offset = 0;
      }
      int y = cell / grid.columns() * grid.strideY() + (int) (offset / grid.strideX());
      int x = cell % grid.columns() * grid.strideX() + (int) (offset % grid.strideX());
      isDestination[y * grid.width() + x] = 1;
    }
    int source = at;
    int destination = at + sources;
    for (int token = 0; token < tokens; token++) {
      scratch.lists[isDestination[token] == 1 ? destination++ : source++] = token;
    }
  }

  /** Chooses what is merged in a batch row, and writes its slots. */
  protected final void place(int worker, int batch) {
    Worker scratch = this.scratch.workers[worker];
    int[] slots = scratch.slots;
    float[] similarities = scratch.similarities;
    int limit = (int) spec.merges();
    if (limits != null) {
      limit = Math.min(limit, limits.get(JAVA_INT, (first + (long) batch) * Integer.BYTES));
    }
    int left;
    if (spec.isIdentity() || (spec.scheme().selects() && limit <= 0)) {
      for (int n = 0; n < tokens; n++) {
        slots[n] = n;
        similarities[n] = 1;
      }
      left = tokens;
    } else if (!isValid(batch)) {
      Arrays.fill(slots, 0, tokens, -1);
      Arrays.fill(similarities, 0, tokens, 0);
      left = 0;
    } else {
      left = place(scratch, batch, limit);
    }
    long row = (first + (long) batch) * tokens;
    MemorySegment.copy(slots, 0, slot, JAVA_INT, row * Integer.BYTES, tokens);
    if (similarity != null) {
      MemorySegment.copy(similarities, 0, similarity, JAVA_FLOAT, row * Float.BYTES, tokens);
    }
    if (count != null) {
      count.set(JAVA_INT, (first + (long) batch) * Integer.BYTES, left);
    }
  }

  private int place(Worker scratch, int batch, int limit) {
    int at = batch * tokens;
    float[] best = this.scratch.best;
    int[] index = this.scratch.index;
    boolean classToken =
        spec.scheme() instanceof MergeScheme.Bipartite bipartite && bipartite.classToken();
    int merged = sources;
    int[] ranked = null;
    if (spec.scheme().selects()) {
      if (classToken) {
        best[at] = Float.NEGATIVE_INFINITY;
      }
      ranked = scratch.descending.of(best, at, sources);
      merged = 0;
      while (merged < limit && best[at + ranked[merged]] > spec.threshold()) {
        merged++;
      }
      for (int rank = merged; rank < sources; rank++) {
        index[at + ranked[rank]] = -1;
      }
    }
    int unmerged = sources - merged;

    int[] slots = scratch.slots;
    float[] similarities = scratch.similarities;
    Arrays.fill(slots, 0, tokens, -1);
    Arrays.fill(similarities, 0, tokens, 0);
    // Where the distillation token stands second, one unmerged source is before it.
    int before =
        spec.scheme() instanceof MergeScheme.Bipartite(boolean c, boolean distill) && distill
            ? Math.min(1, unmerged)
            : unmerged;
    for (int j = 0; j < destinations; j++) {
      int token = destination(batch, j);
      slots[token] = j == 0 ? before : unmerged + j;
      similarities[token] = 1;
    }
    for (int place = 0, u = 0; place < sources; place++) {
      // By token, or from the most similar to the least.
      int i = classToken || !spec.scheme().selects() ? place : ranked[place];
      similarities[source(batch, i)] = best[at + i];
      if (index[at + i] < 0) {
        slots[source(batch, i)] = u < before ? u : u + 1;
        u++;
      }
    }
    if (spec.order() == TokenOrder.TOKENS) {
      int next = 0;
      for (int token = 0; token < tokens; token++) {
        if (slots[token] >= 0) {
          slots[token] = next++;
        }
      }
    }
    for (int i = 0; i < sources; i++) {
      if (index[at + i] >= 0) {
        slots[source(batch, i)] = slots[destination(batch, index[at + i])];
      }
    }
    return unmerged + destinations;
  }
}
