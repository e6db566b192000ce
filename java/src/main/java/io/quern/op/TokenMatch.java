package io.quern.op;

import io.quern.Buffer;
import io.quern.DType;
import io.quern.Device;
import io.quern.Shape;
import io.quern.Stream;
import io.quern.internal.device.QueueStream;
import io.quern.internal.kernel.KernelProvider;
import io.quern.internal.kernel.TokenMatchKernel;
import java.util.Objects;

/**
 * The whole plan of a merge: {@code slot[b, n]}, the row in which token n of batch row b goes on,
 * or −1 where it is dropped. {@link TokenMerge} and {@link TokenUnmerge} carry it out.
 *
 * <p>The similarity of a source and a destination is that of their metrics' directions, {@code Σ_k
 * a_k b_k / (‖a‖ ‖b‖)}. A source goes to its most similar destination, the first of equals. Where
 * the scheme selects, the {@code merges} most similar sources are merged, of equals the first, and
 * only those whose similarity is above the threshold; where it does not, all are.
 *
 * <p>Canonical order: F32; the squared norm by 64 partial sums, one square root, {@code 1 / norm}
 * once; the product one chain of fma over k ascending from +0, times the destination's {@code 1 /
 * norm}; the greatest of these times the source's. A norm of zero makes NaN. A similarity that is
 * not above −2 (NaN, as with a token of norm zero or with NaN among its elements) counts as −2:
 * such tokens are merged last, into the first destination that may be merged into. A protected
 * token never merges and is never merged into. The published references produce NaN there, which
 * sorts first.
 *
 * <p>Every batch row is by itself, so that windows of an image are batch rows; {@code limits} gives
 * each its own number of merges. With a threshold or limits the number of rows that are left
 * depends on the data: {@code count} says it, and {@link Spec#mergedTokens()} is the most there can
 * be. A batch row whose limit is 0 or less stays as it is.
 *
 * <p>An order that is no permutation of the tokens is bad data: its batch row gets −1 everywhere,
 * similarity 0 and count 0. An offset outside its cell counts as 0.
 *
 * <p>A plan is immutable and thread-safe. {@code run} allocates nothing, does not wait on CUDA, and
 * can be captured into a {@link io.quern.Graph}. Sources: Bolya et al., Token Merging (2023); Bolya
 * and Hoffman, Token Merging for Fast Stable Diffusion (2023); Chen et al., DiffRate (2023).
 */
public final class TokenMatch {
  private static final String OP = "TokenMatch";

  /**
   * What is matched.
   *
   * @param metric dtype of the metric: F32, F16 or BF16
   * @param tokens tokens of a batch row, at most 2^31 − 1
   * @param dim elements of a token's metric, at least 1; tokens · dim at most 2^31 − 1
   * @param scheme which tokens may merge
   * @param r sources to merge where the scheme selects; more than there can be merges as many as
   *     can
   * @param threshold merge only pairs whose similarity is above it; −∞ for all
   * @param limited whether each batch row has its own limit, at most r
   * @param order of the rows that are left
   */
  public record Spec(
      DType metric,
      long tokens,
      long dim,
      MergeScheme scheme,
      long r,
      float threshold,
      boolean limited,
      TokenOrder order) {
    /** Checks dtypes and sizes. */
    public Spec {
      Check.floating("metric dtype", metric);
      Objects.requireNonNull(scheme, "scheme");
      Objects.requireNonNull(order, "order");
      if (tokens < 0 || dim < 1 || tokens > Integer.MAX_VALUE / dim) {
        throw new IllegalArgumentException(
            "%d tokens of dim %d, expected a dim of 1 or more and at most %d elements"
                .formatted(tokens, dim, Integer.MAX_VALUE));
      }
      if (Float.isNaN(threshold)) {
        throw new IllegalArgumentException("threshold is NaN");
      }
      if (!scheme.selects() && (limited || threshold != Float.NEGATIVE_INFINITY)) {
        throw new IllegalArgumentException(
            "threshold or limits given, expected none with %s, which merges all".formatted(scheme));
      }
      switch (scheme) {
        case MergeScheme.Grid grid when (long) grid.width() * grid.height() != tokens ->
            throw new IllegalArgumentException(
                "%d tokens, expected %d × %d".formatted(tokens, grid.width(), grid.height()));
        case MergeScheme.Permuted permuted
            when permuted.merged() > 0 && permuted.merged() >= tokens ->
            throw new IllegalArgumentException(
                "%d of %d tokens merged, expected fewer".formatted(permuted.merged(), tokens));
        case MergeScheme.HeadTail tail -> {
          long least = tail.classToken() ? 2 : 1;
          if (tail.prune() < 0
              || tail.keep() < 0
              || (tail.sources(tokens) > 0 && tail.keep() < least)) {
            throw new IllegalArgumentException(
                "prune %d, keep %d of %d tokens, expected at least %d to merge into"
                    .formatted(tail.prune(), tail.keep(), tokens, least));
          }
        }
        default -> {}
      }
    }

    private static Spec of(DType metric, long tokens, long dim, MergeScheme scheme, long r) {
      return new Spec(
          metric, tokens, dim, scheme, r, Float.NEGATIVE_INFINITY, false, TokenOrder.PUBLISHED);
    }

    /** ToMe: r even tokens are merged into odd ones. */
    public static Spec bipartite(
        DType metric, long tokens, long dim, boolean classToken, boolean distillToken, long r) {
      return of(metric, tokens, dim, new MergeScheme.Bipartite(classToken, distillToken), r);
    }

    /** ToMe: of each k tokens the last is left. */
    public static Spec everyKth(DType metric, long tokens, long dim, long k) {
      return of(metric, tokens, dim, new MergeScheme.EveryKth(k), 0);
    }

    /** ToMe: the first r tokens of a permutation are merged into the others. */
    public static Spec permuted(DType metric, long tokens, long dim, long r) {
      return of(metric, tokens, dim, new MergeScheme.Permuted(r), r);
    }

    /** ToMeSD: r tokens of a grid are merged into the destinations of its cells. */
    public static Spec grid(DType metric, long dim, MergeScheme.Grid grid, long r) {
      return of(metric, (long) grid.width() * grid.height(), dim, grid, r);
    }

    /**
     * DiffRate: keep the first {@code prune} tokens of an order and merge them into the first
     * {@code keep}.
     */
    public static Spec headTail(
        DType metric, long tokens, long dim, long prune, long keep, boolean classToken) {
      return of(metric, tokens, dim, new MergeScheme.HeadTail(prune, keep, classToken), 0);
    }

    /** The same, merging only pairs above a similarity. */
    public Spec withThreshold(float threshold) {
      return new Spec(metric, tokens, dim, scheme, r, threshold, limited, order);
    }

    /** The same with a limit for each batch row. */
    public Spec withLimits() {
      return new Spec(metric, tokens, dim, scheme, r, threshold, true, order);
    }

    /** The same with the rows that are left in another order. */
    public Spec withOrder(TokenOrder order) {
      return new Spec(metric, tokens, dim, scheme, r, threshold, limited, order);
    }

    /** Sources that are merged at most. */
    public long merges() {
      return scheme.merges(tokens, r);
    }

    /** Whether nothing is merged and every token stays where it is. */
    public boolean isIdentity() {
      return scheme.isIdentity(tokens, merges());
    }

    /** Whether the number of rows that are left depends on the data. */
    public boolean isAdaptive() {
      return limited || threshold != Float.NEGATIVE_INFINITY;
    }

    /** Rows that are left of a batch row; where {@link #isAdaptive()}, at most. */
    public long mergedTokens() {
      if (isIdentity()) {
        return tokens;
      }
      long all = scheme.sources(tokens) + scheme.destinations(tokens);
      return isAdaptive() ? all : all - merges();
    }

    /** Shape of the metric: [batch, tokens, dim]. */
    public Shape metricShape(long batch) {
      return Shape.of(batch, tokens, dim);
    }

    /** Shape of the slots and similarities: [batch, tokens]. */
    public Shape slotShape(long batch) {
      return Shape.of(batch, tokens);
    }

    /**
     * Shape of the order the scheme needs: [batch, tokens] or, in a grid, [rows, columns] of cells;
     * null if none.
     */
    public Shape orderShape(long batch) {
      return switch (scheme) {
        case MergeScheme.Grid grid -> Shape.of(grid.rows(), grid.columns());
        case MergeScheme.Permuted permuted -> slotShape(batch);
        case MergeScheme.HeadTail tail -> slotShape(batch);
        default -> null;
      };
    }
  }

  /**
   * What a call reads and writes. Make it once and use it for every call.
   *
   * @param metric [batch, tokens, dim], or [batch · tokens, dim] with any row stride
   * @param order I32; of {@link MergeScheme.Permuted} and {@link MergeScheme.HeadTail} a
   *     permutation of the tokens for each batch row; of {@link MergeScheme.Grid} where in its cell
   *     each destination is, dy · strideX + dx. Null is token order, or offset 0
   * @param limits I32 [batch], of a spec that is limited; else null
   * @param slot I32 [batch, tokens]
   * @param similarity F32 [batch, tokens] or null: of a source that of its best destination, −∞
   *     where it is protected; 1 of a destination; 0 of a dropped token. Where nothing is merged 1
   * @param count I32 [batch] or null: the rows that are left
   * @param workspace U8, of at least {@link TokenMatch#workspaceBytes} bytes; null where that is 0
   */
  public record Operands(
      Buffer metric,
      Buffer order,
      Buffer limits,
      Buffer slot,
      Buffer similarity,
      Buffer count,
      Buffer workspace) {
    /** Metric and slots, nothing optional. */
    public static Operands of(Buffer metric, Buffer slot) {
      return new Operands(metric, null, null, slot, null, null, null);
    }

    long batch() {
      return slot.shape().dim(0);
    }

    /** The same with an order. */
    public Operands withOrder(Buffer order) {
      return new Operands(metric, order, limits, slot, similarity, count, workspace);
    }

    /** The same with limits. */
    public Operands withLimits(Buffer limits) {
      return new Operands(metric, order, limits, slot, similarity, count, workspace);
    }

    /** The same with more to be written. */
    public Operands withOutputs(Buffer similarity, Buffer count) {
      return new Operands(metric, order, limits, slot, similarity, count, workspace);
    }

    /** The same with scratch. */
    public Operands withWorkspace(Buffer workspace) {
      return new Operands(metric, order, limits, slot, similarity, count, workspace);
    }
  }

  private final Device device;
  private final Spec spec;
  private final TokenMatchKernel kernel;

  private TokenMatch(Device device, Spec spec) {
    this.device = device;
    this.spec = spec;
    this.kernel = KernelProvider.of(device).tokenMatch().prepare(device, spec);
  }

  /**
   * Prepares the operator for a device; loads every kernel it may launch.
   *
   * @throws IllegalStateException if the device is closed
   */
  public static TokenMatch plan(Device device, Spec spec) {
    return new TokenMatch(
        Objects.requireNonNull(device, "device"), Objects.requireNonNull(spec, "spec"));
  }

  /** What this plan matches. */
  public Spec spec() {
    return spec;
  }

  /** Bytes of scratch that a call needs; 0 on a CPU, whose streams keep it. */
  public long workspaceBytes(long batch) {
    return kernel.workspaceBytes(batch);
  }

  /**
   * Matches.
   *
   * @param stream a stream of the plan's device
   * @throws IllegalArgumentException if an operand does not fit; nothing is written then
   * @throws IllegalStateException if an operand or the stream is closed
   */
  public void run(Stream stream, Operands operands) {
    QueueStream queue = QueueStream.of(stream, device, OP);
    check(OP, device, spec, operands);
    checkWorkspace(OP, device, workspaceBytes(operands.batch()), operands);
    queue.begin();
    try {
      hold(queue, operands);
      if (operands.slot.shape().dim(0) > 0) {
        kernel.run(queue, operands);
      }
    } finally {
      queue.end();
    }
  }

  static void hold(QueueStream queue, Operands operands) {
    queue.hold(operands.metric);
    queue.hold(operands.order);
    queue.hold(operands.limits);
    queue.hold(operands.slot);
    queue.hold(operands.similarity);
    queue.hold(operands.count);
    queue.hold(operands.workspace);
  }

  /** Checks all but the workspace, for an operator of which this is a part too. */
  static void check(String op, Device device, Spec spec, Operands operands) {
    Buffer slot = operands.slot;
    Check.output(op, "slot", slot, DType.I32, device);
    Check.rows(op, "slot", slot, spec.tokens);
    Check.dense(op, "slot", slot);
    long batch = slot.shape().dim(0);
    if (operands.similarity != null) {
      Check.output(op, "similarity", operands.similarity, DType.F32, device);
      Check.denseMatrix(op, "similarity", operands.similarity, batch, spec.tokens);
      Check.disjoint(op, "slot", slot, "similarity", operands.similarity);
    }
    if (operands.count != null) {
      Check.output(op, "count", operands.count, DType.I32, device);
      Check.vector(op, "count", operands.count, batch);
      Check.disjoint(op, "slot", slot, "count", operands.count);
      Check.disjoint(op, "similarity", operands.similarity, "count", operands.count);
    }

    Check.operand(op, "metric", operands.metric, spec.metric, device);
    Check.tokens(op, "metric", operands.metric, batch, spec.tokens, spec.dim);
    disjointFromOutputs(op, operands, "metric", operands.metric);

    if (operands.order != null) {
      Check.operand(op, "order", operands.order, DType.I32, device);
      switch (spec.scheme) {
        case MergeScheme.Grid grid ->
            Check.denseMatrix(op, "order", operands.order, grid.rows(), grid.columns());
        case MergeScheme.Permuted permuted ->
            Check.denseMatrix(op, "order", operands.order, batch, spec.tokens);
        case MergeScheme.HeadTail tail ->
            Check.denseMatrix(op, "order", operands.order, batch, spec.tokens);
        default ->
            throw new IllegalArgumentException(
                "%s: order given, expected none with %s".formatted(op, spec.scheme));
      }
      disjointFromOutputs(op, operands, "order", operands.order);
    }

    if ((operands.limits != null) != spec.limited) {
      throw new IllegalArgumentException(
          "%s: limits is %s, expected %s"
              .formatted(op, operands.limits, spec.limited ? "I32, one per batch row" : "none"));
    }
    if (operands.limits != null) {
      Check.operand(op, "limits", operands.limits, DType.I32, device);
      Check.vector(op, "limits", operands.limits, batch);
      disjointFromOutputs(op, operands, "limits", operands.limits);
    }
  }

  /** Checks the workspace of operands that are right otherwise. */
  static void checkWorkspace(String op, Device device, long bytes, Operands operands) {
    Check.workspace(op, operands.workspace, bytes, device);
    if (operands.workspace != null) {
      disjointFromOutputs(op, operands, "workspace", operands.workspace);
      Check.disjoint(op, "workspace", operands.workspace, "metric", operands.metric);
      Check.disjoint(op, "workspace", operands.workspace, "order", operands.order);
      Check.disjoint(op, "workspace", operands.workspace, "limits", operands.limits);
    }
  }

  static void disjointFromOutputs(String op, Operands operands, String name, Buffer other) {
    Check.disjoint(op, "slot", operands.slot, name, other);
    Check.disjoint(op, "similarity", operands.similarity, name, other);
    Check.disjoint(op, "count", operands.count, name, other);
  }
}
