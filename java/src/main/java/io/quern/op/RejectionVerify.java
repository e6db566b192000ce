package io.quern.op;

import io.quern.Buffer;
import io.quern.DType;
import io.quern.Device;
import io.quern.Shape;
import io.quern.Stream;
import io.quern.internal.device.QueueStream;
import io.quern.internal.kernel.KernelProvider;
import io.quern.internal.kernel.RejectionVerifyKernel;
import java.util.Objects;

/**
 * Verification of draft trees and chains by rejection: which drafted tokens the target model
 * accepts, and the token that it continues with.
 *
 * <p>Request {@code b} owns the nodes {@code offsets[b] ≤ i < offsets[b + 1]}; its node ids and
 * links count from 0 within it. Node 0 is the root, the last token that was decided, and is always
 * accepted. Row {@code i} of target and draft says what follows node {@code i}: children are judged
 * by their parent's rows, in the order of the links, which has to be the order in which they were
 * drawn. Without links a request is a chain. Only rows that the walk visits are read.
 *
 * <p>Outputs: {@code accepted[b, :]} is the accepted path from the root on, padded with −1; {@code
 * counts[b]} its length without the root; {@code next[b]} the token after its last node. The path
 * has at most {@code width} nodes; where it is that long its last node counts as a leaf.
 *
 * <p>p and q are the target's and the draft's probabilities: given ones count as 0 unless positive;
 * of logits p = e / Σe with e = exp((x − max) · (1 / temperature)), where entries equal to the
 * maximum weigh 1 and NaN weighs 0. All sums over the vocabulary are canonical. A coin u is in [0,
 * 1). The rules ({@link RejectionRule}), at a node with child x:
 *
 * <ul>
 *   <li>WITHOUT_REPLACEMENT, WITH_REPLACEMENT: with C = 0, c = 1, r(v) = max(p[v] − C·q[v], 0)
 *       accept x if r(x) > 0 and u · (c · q[x]) &lt; r(x). Else C += c; without replacement p[x] =
 *       q[x] = 0; c = Σr / W, where W = Σq without and 1 with replacement, and c = 0 if W is not
 *       positive. This is the published R = norm(max(R − D, 0)), D = norm(D), because maxima at 0
 *       telescope. None accepted: next is drawn from r. A q[x] that is NaN is never accepted.
 *   <li>POINT_DRAFTS: with z = 1 accept x if u · z &lt; p[x]; else z −= p[x], p[x] = 0. None
 *       accepted: next is drawn from what is left of p. Of equal siblings only the first is tested.
 *   <li>K_SEQ: with k children, β(ρ) = Σ min(q, p · (1 / ρ)), ρ is the root in [1, k] of Σ_{i &lt;
 *       k} (1 − β)^i = ρ; accept x if p[x] > 0 and u · (ρ · q[x]) &lt; p[x]. None accepted: next is
 *       drawn from max(p − ρ·q, 0).
 *   <li>BLOCK: with π = 1 at the root, at node i with token x π = min(1, π · p[x] / q[x]) by its
 *       parent's rows; h = Z / (Z + (1 − π)) with Z = Σ max(π·p − q, 0) by its own rows, at the
 *       last node h = π; π = 0 ends the chain. The last node whose coin is less than its h ends the
 *       path, and next is drawn from max(π·p − q, 0) of its rows, at the last node from p.
 *   <li>RELAXED: with z = 1, S the greatest sum p[n1] + … + p[nj] over the first j ≤ k neighbours
 *       of x that is ≤ delta · z (delta ≤ 1) or ≤ (delta − 1) · p[x] (delta > 1), accept x if u ·
 *       (q[x] · z) &lt; p[x] + S, where q = 1 without draft rows and a child with q[x] = 0 is
 *       passed over. Else p[x] = 0, if j > 0 also p[n1] = … = p[n(k + 1)] = 0, and z = Σp; if that
 *       is not positive p is uniform. None accepted: next is drawn from p. Of equal siblings only
 *       the first is tested.
 *   <li>RELAXED_GREEDY: x matches if it is the row's argmax, or if with j > 0 as above p[x] + S is
 *       greater than the argmax's probability, or equal and x lower. The deepest node whose path
 *       matches wins, the first of equals in the order of the links; next is its row's argmax.
 * </ul>
 *
 * <p>With the first five rules the emitted tokens have the target's law. To draw from f with coin u
 * = finalUniforms[b]: the first index with f > 0 whose prefix sum exceeds u · Σf (totals of pieces
 * of 4096 in ascending order until it is passed, then element by element), the last index with f >
 * 0 if rounding leaves none. Where f has no mass, on a tree p itself is drawn from; if that has
 * none, or on a chain, next is vocab − 1, as in SGLang. A request whose temperature is given and
 * not positive is greedy: it follows the first child whose token is the argmax of its parent's
 * target row (NaN below −∞, ties to the lowest index), without coins, and next is the last row's
 * argmax. A token outside [0, vocab) is passed over.
 *
 * <p>Differences to the published codes: comparisons are strict everywhere, which is exact for
 * coins in [0, 1) and never accepts a token without probability; MCSD's and EAGLE's {@code ≤}
 * differs where both sides are equal.
 *
 * <p>A malformed request gets a {@link TreeStatus} other than OK, −1 in {@code accepted} and {@code
 * next}, 0 in {@code counts}, {@code distribution} and {@code rho}; the others are not affected.
 * Offsets and the links that the walk meets are checked; it takes at most as many steps as the tree
 * has nodes. A request without nodes is well-formed, accepts nothing and has no next token (−1).
 *
 * <p>A plan is immutable and thread-safe. {@code run} allocates nothing, does not wait on CUDA, and
 * can be captured into a {@link io.quern.Graph}. Sources: RSD (arXiv 2402.14160), MCSD, SpecInfer,
 * Sequoia {@code accept_step}, EAGLE {@code evaluate_posterior}, SpecTr (2310.15141), block
 * verification (2403.10444), LANTERN {@code evaluate_posterior}, SGLang.
 */
public final class RejectionVerify {
  /** The longest row. */
  public static final int MAX_VOCAB = 1 << 19;

  /** The longest path with {@link RejectionRule#RELAXED_GREEDY}, root included. */
  public static final int MAX_GREEDY_WIDTH = 4096;

  private static final String OP = "RejectionVerify";

  /**
   * How the relaxed rules look at neighbours.
   *
   * @param delta up to 1: the most probability that neighbours may add; above 1: the token's own
   *     probability times delta − 1 bounds it
   * @param neighbours k, how many are looked at, at least 1
   * @param nearest dtype of the table of neighbours: U16 or I32
   */
  public record Relaxation(float delta, int neighbours, DType nearest) {
    /** Checks the ranges. */
    public Relaxation {
      if (!(delta >= 0) || delta == Float.POSITIVE_INFINITY) {
        throw new IllegalArgumentException("delta is " + delta + ", expected a number, 0 or more");
      }
      if (neighbours < 1) {
        throw new IllegalArgumentException("neighbours is " + neighbours + ", expected 1 or more");
      }
      if (Objects.requireNonNull(nearest, "nearest") != DType.U16 && nearest != DType.I32) {
        throw new IllegalArgumentException("nearest dtype is " + nearest + ", expected U16 or I32");
      }
    }
  }

  /**
   * What is verified.
   *
   * @param rule how tokens are accepted
   * @param coins which uniform a test takes
   * @param target how target rows are given
   * @param targetDtype dtype of target rows: F32, F16 or BF16
   * @param draft how draft rows are given, or null where there are none
   * @param draftDtype dtype of draft rows: F32, F16 or BF16; null where there are none
   * @param vocab elements of a row, 1 to {@link #MAX_VOCAB}
   * @param width the longest accepted path, root included; 1 or more
   * @param relaxation of the relaxed rules; else null
   */
  public record Spec(
      RejectionRule rule,
      CoinOrder coins,
      Distribution target,
      DType targetDtype,
      Distribution draft,
      DType draftDtype,
      long vocab,
      int width,
      Relaxation relaxation) {
    /** Checks the combination. */
    public Spec {
      Objects.requireNonNull(rule, "rule");
      Objects.requireNonNull(coins, "coins");
      Objects.requireNonNull(target, "target");
      Check.floating("target dtype", targetDtype);
      if (draft != null) {
        Check.floating("draft dtype", draftDtype);
      }
      if ((draft == null) != (draftDtype == null)
          || (rule != RejectionRule.RELAXED && (draft != null) != rule.needsDraft())) {
        throw new IllegalArgumentException(
            "draft is %s of %s with %s".formatted(draft, draftDtype, rule));
      }
      if (vocab < 1 || vocab > MAX_VOCAB) {
        throw new IllegalArgumentException(
            "vocab is %d, expected 1 to %d".formatted(vocab, MAX_VOCAB));
      }
      int most = rule == RejectionRule.RELAXED_GREEDY ? MAX_GREEDY_WIDTH : Integer.MAX_VALUE;
      if (width < 1 || width > most) {
        throw new IllegalArgumentException(
            "width is %d, expected 1 to %d with %s".formatted(width, most, rule));
      }
      if ((relaxation != null) != rule.isRelaxed()) {
        throw new IllegalArgumentException("relaxation is %s with %s".formatted(relaxation, rule));
      }
    }

    /** F32 probabilities of target and, where the rule has it, draft; a coin for each test. */
    public static Spec of(RejectionRule rule, long vocab, int width) {
      Distribution draft = rule.needsDraft() ? Distribution.PROBABILITIES : null;
      return new Spec(
          rule,
          CoinOrder.TEST,
          Distribution.PROBABILITIES,
          DType.F32,
          draft,
          draft == null ? null : DType.F32,
          vocab,
          width,
          null);
    }

    /** One of the relaxed rules on F32 logits, without draft rows; a coin for each test. */
    public static Spec relaxed(RejectionRule rule, long vocab, int width, Relaxation relaxation) {
      return new Spec(
          rule,
          CoinOrder.TEST,
          Distribution.LOGITS,
          DType.F32,
          null,
          null,
          vocab,
          width,
          relaxation);
    }

    /** The same with other coins. */
    public Spec withCoins(CoinOrder coins) {
      return new Spec(
          rule, coins, target, targetDtype, draft, draftDtype, vocab, width, relaxation);
    }

    /** The same with other target rows. */
    public Spec withTarget(Distribution target, DType dtype) {
      return new Spec(rule, coins, target, dtype, draft, draftDtype, vocab, width, relaxation);
    }

    /** The same with other draft rows. */
    public Spec withDraft(Distribution draft, DType dtype) {
      return new Spec(rule, coins, target, targetDtype, draft, dtype, vocab, width, relaxation);
    }

    /** Shape of target and draft: [nodes, vocab]. */
    public Shape rowsShape(long nodes) {
      return Shape.of(nodes, vocab);
    }

    /** Shape of {@code accepted}: [batch, width]. */
    public Shape acceptedShape(long batch) {
      return Shape.of(batch, width);
    }
  }

  /**
   * What a call reads and writes. Make it once and use it for every call. Outputs overlap no other
   * operand; everything but {@code target}, {@code draft}, {@code nearest}, {@code accepted} and
   * {@code distribution}, which may have any row stride, is dense.
   *
   * @param offsets I32 [B + 1]: where the nodes of each request begin, and where the last one's end
   * @param tokens I32 [N]: the token at each node
   * @param firstChild I32 [N]: the first child, or −1; null for chains
   * @param nextSibling I32 [N]: the next child of the same parent, or −1; null for chains
   * @param target [N, vocab]
   * @param draft [N, vocab]: what the children of each node were drawn from; null without draft
   * @param temperatures F32 [B], of all rows given as logits; null for 1, and with RELAXED_GREEDY
   * @param uniforms F32 [N]: coins of the tests; null with RELAXED_GREEDY
   * @param finalUniforms F32 [B]: coin of the next token; null with RELAXED_GREEDY
   * @param nearest with the relaxed rules: U16 or I32 [vocab, at least k], ids of the neighbours of
   *     each token, nearest first; ids outside [0, vocab) count as tokens without probability
   * @param outputs what is written
   */
  public record Operands(
      Buffer offsets,
      Buffer tokens,
      Buffer firstChild,
      Buffer nextSibling,
      Buffer target,
      Buffer draft,
      Buffer temperatures,
      Buffer uniforms,
      Buffer finalUniforms,
      Buffer nearest,
      Outputs outputs) {
    /** Checks that there are outputs. */
    public Operands {
      Objects.requireNonNull(outputs, OP + ": outputs is null");
    }

    /** Chains; draft may be null. */
    public static Operands ofChains(
        Buffer offsets,
        Buffer tokens,
        Buffer target,
        Buffer draft,
        Buffer uniforms,
        Buffer finalUniforms,
        Outputs outputs) {
      return new Operands(
          offsets, tokens, null, null, target, draft, null, uniforms, finalUniforms, null, outputs);
    }

    /** The same for trees. */
    public Operands withLinks(Buffer firstChild, Buffer nextSibling) {
      return new Operands(
          offsets,
          tokens,
          firstChild,
          nextSibling,
          target,
          draft,
          temperatures,
          uniforms,
          finalUniforms,
          nearest,
          outputs);
    }

    /** The same with a temperature for each request. */
    public Operands withTemperatures(Buffer temperatures) {
      return new Operands(
          offsets,
          tokens,
          firstChild,
          nextSibling,
          target,
          draft,
          temperatures,
          uniforms,
          finalUniforms,
          nearest,
          outputs);
    }

    /** The same with a table of neighbours. */
    public Operands withNearest(Buffer nearest) {
      return new Operands(
          offsets,
          tokens,
          firstChild,
          nextSibling,
          target,
          draft,
          temperatures,
          uniforms,
          finalUniforms,
          nearest,
          outputs);
    }
  }

  /**
   * The outputs among the {@link Operands}.
   *
   * @param accepted I32 [B, width]
   * @param counts I32 [B]
   * @param next I32 [B]
   * @param status I32 [B]: ordinals of {@link TreeStatus}
   * @param distribution F32 [B, vocab], what {@code next} was drawn from: f / Σf, or 1 at {@code
   *     next} where nothing was drawn; null if not wanted
   * @param rho F32 [B], with K_SEQ: ρ of the last node whose children were judged, 0 if there was
   *     none; null if not wanted
   */
  public record Outputs(
      Buffer accepted, Buffer counts, Buffer next, Buffer status, Buffer distribution, Buffer rho) {
    /** Without the optional ones. */
    public static Outputs of(Buffer accepted, Buffer counts, Buffer next, Buffer status) {
      return new Outputs(accepted, counts, next, status, null, null);
    }
  }

  private final Device device;
  private final Spec spec;
  private final RejectionVerifyKernel kernel;

  private RejectionVerify(Device device, Spec spec) {
    this.device = device;
    this.spec = spec;
    this.kernel = KernelProvider.of(device).rejectionVerify().prepare(device, spec);
  }

  /**
   * Prepares the operator for a device; loads every kernel it may launch.
   *
   * @throws IllegalStateException if the device is closed
   */
  public static RejectionVerify plan(Device device, Spec spec) {
    return new RejectionVerify(
        Objects.requireNonNull(device, "device"), Objects.requireNonNull(spec, "spec"));
  }

  /** What this plan verifies. */
  public Spec spec() {
    return spec;
  }

  /**
   * Verifies.
   *
   * @param stream a stream of the plan's device
   * @throws IllegalArgumentException if an operand does not fit; nothing is written then
   * @throws IllegalStateException if an operand or the stream is closed
   */
  public void run(Stream stream, Operands operands) {
    QueueStream queue = QueueStream.of(stream, device, OP);
    check(operands);
    queue.begin();
    try {
      queue.hold(operands.offsets);
      queue.hold(operands.tokens);
      queue.hold(operands.firstChild);
      queue.hold(operands.nextSibling);
      queue.hold(operands.target);
      queue.hold(operands.draft);
      queue.hold(operands.temperatures);
      queue.hold(operands.uniforms);
      queue.hold(operands.finalUniforms);
      queue.hold(operands.nearest);
      queue.hold(operands.outputs.accepted);
      queue.hold(operands.outputs.counts);
      queue.hold(operands.outputs.next);
      queue.hold(operands.outputs.status);
      queue.hold(operands.outputs.distribution);
      queue.hold(operands.outputs.rho);
      if (operands.outputs.status.shape().size() > 0) {
        kernel.run(queue, operands);
      }
    } finally {
      queue.end();
    }
  }

  private void check(Operands operands) {
    Outputs outputs = operands.outputs;
    Check.operand(OP, "accepted", outputs.accepted, DType.I32, device);
    Check.rows(OP, "accepted", outputs.accepted, spec.width);
    Check.writable(OP, "accepted", outputs.accepted);
    long batch = outputs.accepted.shape().dim(0);
    output("counts", outputs.counts, DType.I32, batch);
    output("next", outputs.next, DType.I32, batch);
    output("status", outputs.status, DType.I32, batch);
    if (outputs.distribution != null) {
      Check.operand(OP, "distribution", outputs.distribution, DType.F32, device);
      Check.shape(OP, "distribution", outputs.distribution, batch, spec.vocab);
      Check.writable(OP, "distribution", outputs.distribution);
    }
    if (outputs.rho != null) {
      unexpected("rho", outputs.rho, spec.rule == RejectionRule.K_SEQ);
      output("rho", outputs.rho, DType.F32, batch);
    }

    vector("offsets", operands.offsets, DType.I32, batch + 1);
    Check.operand(OP, "tokens", operands.tokens, DType.I32, device);
    long nodes = operands.tokens.shape().size();
    Check.vector(OP, "tokens", operands.tokens, nodes);
    if (operands.firstChild != null || operands.nextSibling != null) {
      unexpected("firstChild", operands.firstChild, spec.rule != RejectionRule.BLOCK);
      needed("firstChild", operands.firstChild);
      needed("nextSibling", operands.nextSibling);
      vector("firstChild", operands.firstChild, DType.I32, nodes);
      vector("nextSibling", operands.nextSibling, DType.I32, nodes);
    }
    rows("target", operands.target, spec.targetDtype, nodes);
    if (spec.draft != null) {
      needed("draft", operands.draft);
      rows("draft", operands.draft, spec.draftDtype, nodes);
    } else {
      unexpected("draft", operands.draft, false);
    }
    boolean chance = spec.rule != RejectionRule.RELAXED_GREEDY;
    if (operands.temperatures != null) {
      unexpected("temperatures", operands.temperatures, chance);
      vector("temperatures", operands.temperatures, DType.F32, batch);
    }
    if (chance) {
      needed("uniforms", operands.uniforms);
      needed("finalUniforms", operands.finalUniforms);
      vector("uniforms", operands.uniforms, DType.F32, nodes);
      vector("finalUniforms", operands.finalUniforms, DType.F32, batch);
    } else {
      unexpected("uniforms", operands.uniforms, false);
      unexpected("finalUniforms", operands.finalUniforms, false);
    }
    if (spec.relaxation != null) {
      needed("nearest", operands.nearest);
      Check.operand(OP, "nearest", operands.nearest, spec.relaxation.nearest, device);
      Shape shape = operands.nearest.shape();
      if (shape.rank() != 2
          || shape.dim(0) != spec.vocab
          || shape.dim(1) < spec.relaxation.neighbours) {
        throw new IllegalArgumentException(
            "%s: nearest has shape %s, expected [%d, %d or more]"
                .formatted(OP, shape, spec.vocab, spec.relaxation.neighbours));
      }
    } else {
      unexpected("nearest", operands.nearest, false);
    }
    disjoint("accepted", outputs.accepted, operands);
    disjoint("counts", outputs.counts, operands);
    disjoint("next", outputs.next, operands);
    disjoint("status", outputs.status, operands);
    disjoint("distribution", outputs.distribution, operands);
    disjoint("rho", outputs.rho, operands);
  }

  private void vector(String name, Buffer buffer, DType dtype, long size) {
    Check.operand(OP, name, buffer, dtype, device);
    Check.vector(OP, name, buffer, size);
  }

  private void output(String name, Buffer buffer, DType dtype, long size) {
    vector(name, buffer, dtype, size);
    Check.writable(OP, name, buffer);
  }

  private void rows(String name, Buffer buffer, DType dtype, long nodes) {
    Check.operand(OP, name, buffer, dtype, device);
    Check.shape(OP, name, buffer, nodes, spec.vocab);
  }

  private void needed(String name, Buffer buffer) {
    if (buffer == null) {
      throw new IllegalArgumentException(
          "%s: %s is null, expected a buffer with %s".formatted(OP, name, spec.rule));
    }
  }

  private void unexpected(String name, Buffer buffer, boolean belongs) {
    if (buffer != null && !belongs) {
      throw new IllegalArgumentException(
          "%s: %s given, expected none with %s".formatted(OP, name, spec.rule));
    }
  }

  private static void disjoint(String name, Buffer output, Operands operands) {
    Check.disjoint(OP, name, output, "offsets", operands.offsets);
    Check.disjoint(OP, name, output, "tokens", operands.tokens);
    Check.disjoint(OP, name, output, "firstChild", operands.firstChild);
    Check.disjoint(OP, name, output, "nextSibling", operands.nextSibling);
    Check.disjoint(OP, name, output, "target", operands.target);
    Check.disjoint(OP, name, output, "draft", operands.draft);
    Check.disjoint(OP, name, output, "temperatures", operands.temperatures);
    Check.disjoint(OP, name, output, "uniforms", operands.uniforms);
    Check.disjoint(OP, name, output, "finalUniforms", operands.finalUniforms);
    Check.disjoint(OP, name, output, "nearest", operands.nearest);
    Outputs outputs = operands.outputs;
    other(name, output, "accepted", outputs.accepted);
    other(name, output, "counts", outputs.counts);
    other(name, output, "next", outputs.next);
    other(name, output, "status", outputs.status);
    other(name, output, "distribution", outputs.distribution);
    other(name, output, "rho", outputs.rho);
  }

  private static void other(String name, Buffer output, String otherName, Buffer other) {
    if (!name.equals(otherName)) {
      Check.disjoint(OP, name, output, otherName, other);
    }
  }
}
