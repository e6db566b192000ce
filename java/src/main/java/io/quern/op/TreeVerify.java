package io.quern.op;

import io.quern.Buffer;
import io.quern.DType;
import io.quern.Device;
import io.quern.Shape;
import io.quern.Stream;
import io.quern.internal.device.QueueStream;
import io.quern.internal.kernel.KernelProvider;
import io.quern.internal.kernel.TreeVerifyKernel;
import java.util.Objects;

/**
 * Verification of draft trees: which path of each tree the target model accepts, and the token that
 * it continues with.
 *
 * <p>Request {@code b} owns the nodes {@code offsets[b] ≤ i < offsets[b + 1]}; its node ids, links
 * and paths count from 0 within it. Node 0 is the root, the last token that was decided, and is
 * always accepted. Row {@code i} of the target says what follows node {@code i}, so a child is
 * judged by its parent's row. Only rows that the walk visits are read: one for each accepted node,
 * and where siblings share a token, or several are typical, one for each node that is considered.
 * One launch takes the whole batch, however ragged.
 *
 * <p>Outputs: {@code accepted[b, :]} is the accepted path from the root on, padded with −1; {@code
 * counts[b]} its length without the root; {@code next[b]} the token after its last node (the bonus
 * or correction), so that a step emits {@code counts[b] + 1} tokens. The path has at most {@code
 * width} nodes: where it is that long the walk stops, and the next token comes from the last row.
 *
 * <p>The rules ({@link VerifyRule}), with a row's token = its argmax (NaN below −∞, ties to the
 * lowest index; of {@link VerifyTarget#IDS} the given id, which matches nothing if negative):
 *
 * <ul>
 *   <li>GREEDY_LINKED: from the root on, the first child in the order of the links whose token is
 *       the row's; next = the last row's token.
 *   <li>GREEDY_PATH: the run of a leaf path counts its leading tokens that are the token of the row
 *       before; the first path with the longest run wins. Padding matches nothing.
 *   <li>GREEDY_DEEPEST: the same, but of equal runs the one whose last node has the lowest id wins.
 *   <li>TYPICAL: p = softmax(row / temperature); token x is accepted if p[x] > min(epsilon, alpha ·
 *       exp(−H)), H = −Σ p·log(p + 1e−5). Of the longest runs the one with the greatest sum of log
 *       p wins, the first of equals; next = the last row's argmax.
 *   <li>TARGET_ONLY: at each level one coin u = uniforms[node]; over the children x in the order of
 *       the links a += p[x], and x is accepted if u ≤ a / max(acc, 1e−9) or p[x] ≥ single. If none
 *       is, next is drawn from the row without the rejected tokens (at full width from the row as
 *       it is): with t the sum of what is left, the first index with positive mass whose prefix sum
 *       exceeds finalUniforms[b] · t; if rounding leaves none, the last index with positive mass,
 *       and if there is no mass, the last index. With both thresholds 1 the emitted tokens have the
 *       target's law. Coins are in [0, 1).
 * </ul>
 *
 * <p>Probabilities: p = e / Σe with e = exp((x − max) · (1 / temperature)), the sum in canonical
 * order; entries equal to the maximum weigh 1, NaN weighs 0. A temperature that is not positive
 * makes TARGET_ONLY the same as GREEDY_LINKED, without coins, and TYPICAL's p one at the argmax.
 * Given probabilities count as 0 unless positive. A draft token outside [0, vocab) is never
 * accepted. Prefix sums: totals of pieces of 4096 in ascending order until the target is passed,
 * then element by element inside that piece, so a coin leads to the same token on every back end.
 *
 * <p>A malformed request gets a {@link TreeStatus} other than OK, −1 in {@code accepted} and {@code
 * next}, 0 in {@code counts}; the others are not affected. OFFSETS: they descend or leave the
 * nodes. EMPTY: there is no root. LINK: the walk met a link or path entry outside 1 … n − 1 (a path
 * begins with 0), or more children than the tree has nodes; what it does not meet is not checked.
 *
 * <p>A plan is immutable and thread-safe. {@code run} allocates nothing, does not wait on CUDA, and
 * can be captured into a {@link io.quern.Graph}. Sources: Medusa and EAGLE {@code
 * evaluate_posterior}, SGLang {@code verify_tree_greedy} and {@code
 * tree_speculative_sampling_target_only}, OPT-Tree.
 */
public final class TreeVerify {
  /** The most leaf paths of a request. */
  public static final int MAX_PATHS = 2048;

  /** The longest row of logits or probabilities. */
  public static final long MAX_VOCAB = 1L << 22;

  private static final String OP = "TreeVerify";

  /**
   * Parameters of {@link VerifyRule#TYPICAL}: threshold = min(epsilon, alpha · exp(−H)). Medusa's
   * code calls them {@code posterior_threshold} and {@code posterior_alpha}, and its function and
   * its model have each other's defaults.
   *
   * @param epsilon the hard threshold
   * @param alpha the factor of exp(−H)
   */
  public record Typical(float epsilon, float alpha) {
    /** Defaults of Medusa's function {@code evaluate_posterior}. */
    public static final Typical MEDUSA_FUNCTION = new Typical(0.3f, 0.09f);

    /** Defaults of Medusa's model and command line. */
    public static final Typical MEDUSA_MODEL = new Typical(0.09f, 0.3f);
  }

  /**
   * Parameters of {@link VerifyRule#TARGET_ONLY}, SGLang's {@code threshold_single} and {@code
   * threshold_acc}.
   *
   * @param single a child of at least this probability is accepted whatever the coin
   * @param acc what the accumulated probability is divided by
   */
  public record Thresholds(float single, float acc) {
    /** Exact sampling. */
    public static final Thresholds EXACT = new Thresholds(1, 1);

    /** Checks that both are in [0, 1]. */
    public Thresholds {
      if (!(single >= 0 && single <= 1 && acc >= 0 && acc <= 1)) {
        throw new IllegalArgumentException(
            "thresholds are %s and %s, expected values in [0, 1]".formatted(single, acc));
      }
    }
  }

  /**
   * What is verified.
   *
   * @param rule how tokens are accepted
   * @param target what is given of the target model: LOGITS for every rule, IDS for the greedy
   *     ones, PROBABILITIES for TARGET_ONLY
   * @param dtype dtype of the target: F32, F16 or BF16; of IDS I32
   * @param vocab elements of a target row, 1 to {@link #MAX_VOCAB}; of IDS 1
   * @param width the longest accepted path, root included; 1 or more
   * @param typical parameters of TYPICAL; else null
   * @param thresholds parameters of TARGET_ONLY; else null
   */
  public record Spec(
      VerifyRule rule,
      VerifyTarget target,
      DType dtype,
      long vocab,
      int width,
      Typical typical,
      Thresholds thresholds) {
    /** Checks the combination. */
    public Spec {
      Objects.requireNonNull(rule, "rule");
      Objects.requireNonNull(target, "target");
      boolean fits =
          switch (target) {
            case LOGITS -> true;
            case PROBABILITIES -> rule == VerifyRule.TARGET_ONLY;
            case IDS -> rule != VerifyRule.TARGET_ONLY && rule != VerifyRule.TYPICAL;
          };
      if (!fits) {
        throw new IllegalArgumentException("target is %s with %s".formatted(target, rule));
      }
      if (target != VerifyTarget.IDS) {
        Check.floating("target dtype", dtype);
      } else if (dtype != DType.I32) {
        throw new IllegalArgumentException("target dtype is " + dtype + ", expected I32");
      }
      if (vocab < 1 || vocab > MAX_VOCAB || (target == VerifyTarget.IDS && vocab != 1)) {
        throw new IllegalArgumentException(
            "vocab is %d, expected 1 to %d, and 1 with IDS".formatted(vocab, MAX_VOCAB));
      }
      if (width < 1) {
        throw new IllegalArgumentException("width is " + width + ", expected 1 or more");
      }
      if ((typical != null) != (rule == VerifyRule.TYPICAL)) {
        throw new IllegalArgumentException("typical is %s with %s".formatted(typical, rule));
      }
      if ((thresholds != null) != (rule == VerifyRule.TARGET_ONLY)) {
        throw new IllegalArgumentException("thresholds are %s with %s".formatted(thresholds, rule));
      }
    }

    /** One of the greedy rules on logits. */
    public static Spec greedy(VerifyRule rule, DType dtype, long vocab, int width) {
      return new Spec(rule, VerifyTarget.LOGITS, dtype, vocab, width, null, null);
    }

    /** One of the greedy rules on predicted ids. */
    public static Spec greedyIds(VerifyRule rule, int width) {
      return new Spec(rule, VerifyTarget.IDS, DType.I32, 1, width, null, null);
    }

    /** Typical acceptance. */
    public static Spec typical(DType dtype, long vocab, int width, Typical typical) {
      return new Spec(VerifyRule.TYPICAL, VerifyTarget.LOGITS, dtype, vocab, width, typical, null);
    }

    /** Target-only sampling from logits or probabilities. */
    public static Spec targetOnly(
        VerifyTarget target, DType dtype, long vocab, int width, Thresholds thresholds) {
      return new Spec(VerifyRule.TARGET_ONLY, target, dtype, vocab, width, null, thresholds);
    }

    /** Whether the tree is given by leaf paths; else by links. */
    public boolean byPaths() {
      return rule != VerifyRule.GREEDY_LINKED && rule != VerifyRule.TARGET_ONLY;
    }

    /** Shape of the target: [nodes, vocab], of IDS [nodes]. */
    public Shape targetShape(long nodes) {
      return target == VerifyTarget.IDS ? Shape.of(nodes) : Shape.of(nodes, vocab);
    }

    /** Shape of {@code accepted}: [batch, width]. */
    public Shape acceptedShape(long batch) {
      return Shape.of(batch, width);
    }
  }

  /**
   * What a call reads and writes. Make it once and use it for every call. Outputs overlap no other
   * operand; everything but the target and {@code accepted} is dense.
   *
   * @param offsets I32 [B + 1]: where the nodes of each request begin, and where the last one's end
   * @param tokens I32 [N]: the token at each node
   * @param firstChild I32 [N], with links: the first child, or −1
   * @param nextSibling I32 [N], with links: the next child of the same parent, or −1
   * @param paths I32 [B, L, D], with paths, L up to {@link #MAX_PATHS}: node ids from the root to a
   *     leaf, padded with −1; a path of −1 alone is absent. A request without paths is its root
   * @param target [N, vocab], any row stride; of IDS [N]
   * @param temperatures F32 [B], with TYPICAL and with TARGET_ONLY on logits, or null for 1
   * @param uniforms F32 [N], with TARGET_ONLY: the coin of each node's children; else null
   * @param finalUniforms F32 [B], with TARGET_ONLY: the coin of the next token; else null
   * @param accepted I32 [B, width], any row stride
   * @param counts I32 [B]
   * @param next I32 [B]
   * @param status I32 [B]: ordinals of {@link TreeStatus}
   */
  public record Operands(
      Buffer offsets,
      Buffer tokens,
      Buffer firstChild,
      Buffer nextSibling,
      Buffer paths,
      Buffer target,
      Buffer temperatures,
      Buffer uniforms,
      Buffer finalUniforms,
      Buffer accepted,
      Buffer counts,
      Buffer next,
      Buffer status) {
    /** Trees given by links. */
    public static Operands ofLinks(
        Buffer offsets,
        Buffer tokens,
        Buffer firstChild,
        Buffer nextSibling,
        Buffer target,
        Outputs outputs) {
      return new Operands(
          offsets,
          tokens,
          firstChild,
          nextSibling,
          null,
          target,
          null,
          null,
          null,
          outputs.accepted,
          outputs.counts,
          outputs.next,
          outputs.status);
    }

    /** Trees given by leaf paths. */
    public static Operands ofPaths(
        Buffer offsets, Buffer tokens, Buffer paths, Buffer target, Outputs outputs) {
      return new Operands(
          offsets,
          tokens,
          null,
          null,
          paths,
          target,
          null,
          null,
          null,
          outputs.accepted,
          outputs.counts,
          outputs.next,
          outputs.status);
    }

    /** The same with a temperature for each request. */
    public Operands withTemperatures(Buffer temperatures) {
      return new Operands(
          offsets,
          tokens,
          firstChild,
          nextSibling,
          paths,
          target,
          temperatures,
          uniforms,
          finalUniforms,
          accepted,
          counts,
          next,
          status);
    }

    /** The same with coins. */
    public Operands withUniforms(Buffer uniforms, Buffer finalUniforms) {
      return new Operands(
          offsets,
          tokens,
          firstChild,
          nextSibling,
          paths,
          target,
          temperatures,
          uniforms,
          finalUniforms,
          accepted,
          counts,
          next,
          status);
    }
  }

  /**
   * The outputs among the {@link Operands}.
   *
   * @param accepted I32 [B, width]
   * @param counts I32 [B]
   * @param next I32 [B]
   * @param status I32 [B]
   */
  public record Outputs(Buffer accepted, Buffer counts, Buffer next, Buffer status) {}

  private final Device device;
  private final Spec spec;
  private final TreeVerifyKernel kernel;

  private TreeVerify(Device device, Spec spec) {
    this.device = device;
    this.spec = spec;
    this.kernel = KernelProvider.of(device).treeVerify().prepare(device, spec);
  }

  /**
   * Prepares the operator for a device; loads every kernel it may launch.
   *
   * @throws IllegalStateException if the device is closed
   */
  public static TreeVerify plan(Device device, Spec spec) {
    return new TreeVerify(
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
      queue.hold(operands.paths);
      queue.hold(operands.target);
      queue.hold(operands.temperatures);
      queue.hold(operands.uniforms);
      queue.hold(operands.finalUniforms);
      queue.hold(operands.accepted);
      queue.hold(operands.counts);
      queue.hold(operands.next);
      queue.hold(operands.status);
      if (operands.status.shape().size() > 0) {
        kernel.run(queue, operands);
      }
    } finally {
      queue.end();
    }
  }

  private void check(Operands operands) {
    long batch = vectorSize("status", operands.status);
    long nodes = vectorSize("tokens", operands.tokens);
    vector("offsets", operands.offsets, DType.I32, batch + 1);
    if (spec.byPaths()) {
      absent("firstChild", operands.firstChild);
      absent("nextSibling", operands.nextSibling);
      paths(operands.paths, batch);
    } else {
      absent("paths", operands.paths);
      vector("firstChild", operands.firstChild, DType.I32, nodes);
      vector("nextSibling", operands.nextSibling, DType.I32, nodes);
    }
    Check.operand(OP, "target", operands.target, spec.dtype, device);
    if (spec.target == VerifyTarget.IDS) {
      Check.vector(OP, "target", operands.target, nodes);
    } else {
      rows("target", operands.target, nodes, spec.vocab);
    }

    boolean usesTemperature =
        spec.rule == VerifyRule.TYPICAL
            || (spec.rule == VerifyRule.TARGET_ONLY && spec.target == VerifyTarget.LOGITS);
    if (!usesTemperature) {
      absent("temperatures", operands.temperatures);
    } else if (operands.temperatures != null) {
      vector("temperatures", operands.temperatures, DType.F32, batch);
    }
    if (spec.rule == VerifyRule.TARGET_ONLY) {
      vector("uniforms", operands.uniforms, DType.F32, nodes);
      vector("finalUniforms", operands.finalUniforms, DType.F32, batch);
    } else {
      absent("uniforms", operands.uniforms);
      absent("finalUniforms", operands.finalUniforms);
    }

    Check.operand(OP, "accepted", operands.accepted, DType.I32, device);
    rows("accepted", operands.accepted, batch, spec.width);
    vector("counts", operands.counts, DType.I32, batch);
    vector("next", operands.next, DType.I32, batch);
    output("accepted", operands.accepted, operands);
    output("counts", operands.counts, operands);
    output("next", operands.next, operands);
    output("status", operands.status, operands);
    Check.disjoint(OP, "accepted", operands.accepted, "counts", operands.counts);
    Check.disjoint(OP, "accepted", operands.accepted, "next", operands.next);
    Check.disjoint(OP, "accepted", operands.accepted, "status", operands.status);
    Check.disjoint(OP, "counts", operands.counts, "next", operands.next);
    Check.disjoint(OP, "counts", operands.counts, "status", operands.status);
    Check.disjoint(OP, "next", operands.next, "status", operands.status);
  }

  /** The size of the I32 vector that others are measured by. */
  private long vectorSize(String name, Buffer buffer) {
    Check.operand(OP, name, buffer, DType.I32, device);
    Check.vector(OP, name, buffer, buffer.shape().size());
    return buffer.shape().size();
  }

  private void vector(String name, Buffer buffer, DType dtype, long size) {
    Check.operand(OP, name, buffer, dtype, device);
    Check.vector(OP, name, buffer, size);
  }

  private static void rows(String name, Buffer buffer, long rows, long dim) {
    Check.rows(OP, name, buffer, dim);
    if (buffer.shape().dim(0) != rows) {
      Check.shape(OP, name, buffer, Shape.of(rows, dim));
    }
  }

  private void paths(Buffer paths, long batch) {
    Check.operand(OP, "paths", paths, DType.I32, device);
    Shape shape = paths.shape();
    if (shape.rank() != 3 || shape.dim(0) != batch || shape.dim(1) > MAX_PATHS) {
      throw new IllegalArgumentException(
          "%s: paths has shape %s, expected [%d, paths up to %d, width]"
              .formatted(OP, shape, batch, MAX_PATHS));
    }
    Check.dense(OP, "paths", paths);
  }

  private void absent(String name, Buffer buffer) {
    if (buffer != null) {
      throw new IllegalArgumentException(
          "%s: %s is %s, expected none with %s on %s"
              .formatted(OP, name, buffer, spec.rule, spec.target));
    }
  }

  private static void output(String name, Buffer out, Operands operands) {
    Check.writable(OP, name, out);
    Check.disjoint(OP, name, out, "offsets", operands.offsets);
    Check.disjoint(OP, name, out, "tokens", operands.tokens);
    Check.disjoint(OP, name, out, "firstChild", operands.firstChild);
    Check.disjoint(OP, name, out, "nextSibling", operands.nextSibling);
    Check.disjoint(OP, name, out, "paths", operands.paths);
    Check.disjoint(OP, name, out, "target", operands.target);
    Check.disjoint(OP, name, out, "temperatures", operands.temperatures);
    Check.disjoint(OP, name, out, "uniforms", operands.uniforms);
    Check.disjoint(OP, name, out, "finalUniforms", operands.finalUniforms);
  }
}
