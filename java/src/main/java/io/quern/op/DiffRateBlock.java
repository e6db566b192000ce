package io.quern.op;

import io.quern.Buffer;
import io.quern.DType;
import io.quern.Device;
import io.quern.Stream;
import io.quern.internal.device.QueueStream;
import io.quern.internal.kernel.KernelProvider;
import io.quern.internal.kernel.MergeStepKernel;
import java.util.Objects;

/**
 * DiffRate's compression of a block in one plan: tokens are ordered by importance ({@link
 * TokenPrune}), the first {@code prune} are kept, and those behind the first {@code keep} are
 * merged into these by the similarity of their features ({@link TokenMatch}, {@link TokenMerge}):
 * plain means, and sizes multiplied by the similarity. Tokens are put in order of importance even
 * where nothing is removed.
 *
 * <p>A similarity may be negative and a size fall to 0 or below, whose logarithm the published
 * inference takes all the same; {@code leastSize} 1, as in the published training, prevents that.
 *
 * <p>On CUDA a block of up to 1024 tokens is one launch and needs no workspace, as a {@link
 * MergeStep} is; {@link #isOneLaunch()} says whether it is.
 *
 * <p>A plan is immutable and thread-safe. {@code run} allocates nothing, does not wait on CUDA, and
 * can be captured into a {@link io.quern.Graph}. Source: Chen et al., DiffRate (2023).
 */
public final class DiffRateBlock {
  private static final String OP = "DiffRateBlock";

  /**
   * What is compressed.
   *
   * @param dtype of the tokens: F32, F16 or BF16
   * @param tokens tokens of a batch row
   * @param dim elements of a token
   * @param heads of the attention
   * @param prune tokens to keep by importance
   * @param keep tokens to be left by merging
   * @param classToken whether token 0 stays first and nothing is merged into it
   * @param leastSize a smaller size becomes it; −∞ for none
   */
  public record Spec(
      DType dtype,
      long tokens,
      long dim,
      long heads,
      long prune,
      long keep,
      boolean classToken,
      float leastSize) {
    /** Checks as its parts do. */
    public Spec {
      TokenMatch.Spec.headTail(dtype, tokens, dim, prune, keep, classToken);
      new TokenPrune.Spec(tokens, heads, prune, classToken);
    }

    /** As published for inference with a class token. */
    public static Spec of(DType dtype, long tokens, long dim, long heads, long prune, long keep) {
      return new Spec(dtype, tokens, dim, heads, prune, keep, true, Float.NEGATIVE_INFINITY);
    }

    /** Tokens that are left of a batch row. */
    public long keptTokens() {
      return Math.min(tokens, Math.min(prune, keep));
    }
  }

  /**
   * What a call reads and writes. Make it once and use it for every call.
   *
   * @param x [batch, tokens, dim], or [batch · tokens, dim] with any row stride
   * @param attention F32 [batch, heads, tokens], or [batch · heads, tokens]: what the class token
   *     attends to
   * @param size F32 [batch, tokens] or null: 1
   * @param order I32 [batch, tokens]: the tokens in order of importance
   * @param slot I32 [batch, tokens]: where each token went, −1 where it was pruned
   * @param similarity F32 [batch, tokens]: that of {@link TokenMatch}
   * @param out [batch, kept, dim], or [batch · kept, dim] with any row stride
   * @param sizeOut F32 [batch, kept]
   * @param workspace U8, of at least {@link DiffRateBlock#workspaceBytes} bytes; null where that is
   *     0
   */
  public record Operands(
      Buffer x,
      Buffer attention,
      Buffer size,
      Buffer order,
      Buffer slot,
      Buffer similarity,
      Buffer out,
      Buffer sizeOut,
      Buffer workspace) {}

  private final Device device;
  private final Spec spec;
  private final TokenPrune.Spec prune;
  private final MergeStep.Spec step;
  private final MergeStepKernel kernel;

  private DiffRateBlock(Device device, Spec spec) {
    this.device = device;
    this.spec = spec;
    prune = new TokenPrune.Spec(spec.tokens, spec.heads, spec.prune, spec.classToken);
    step =
        new MergeStep.Spec(
            TokenMatch.Spec.headTail(
                spec.dtype, spec.tokens, spec.dim, spec.prune, spec.keep, spec.classToken),
            TokenMerge.Spec.of(spec.dtype, spec.tokens, spec.keptTokens(), spec.dim, Combine.MEAN)
                .withLeastSize(spec.leastSize));
    kernel = KernelProvider.of(device).mergeStep().prepare(device, prune, step);
  }

  /**
   * Prepares the block for a device; loads every kernel it may launch.
   *
   * @throws IllegalStateException if the device is closed
   */
  public static DiffRateBlock plan(Device device, Spec spec) {
    return new DiffRateBlock(
        Objects.requireNonNull(device, "device"), Objects.requireNonNull(spec, "spec"));
  }

  /** What this plan compresses. */
  public Spec spec() {
    return spec;
  }

  /** Whether a call is one kernel launch, and so one node of a CUDA graph. */
  public boolean isOneLaunch() {
    return kernel.isOneLaunch();
  }

  /** Bytes of scratch that a call needs; 0 in one launch, and on a CPU, whose streams keep it. */
  public long workspaceBytes(long batch) {
    return kernel.workspaceBytes(batch);
  }

  /** A call's parts, made once. */
  public final class Call {
    private final TokenPrune.Operands ordered;
    private final MergeStep.Operands merged;

    private Call(Operands operands) {
      ordered =
          new TokenPrune.Operands(operands.attention, operands.order, null, operands.workspace);
      merged =
          new MergeStep.Operands(
              TokenMatch.Operands.of(operands.x, operands.slot)
                  .withOrder(operands.order)
                  .withOutputs(operands.similarity, null)
                  .withWorkspace(operands.workspace),
              TokenMerge.Operands.of(operands.x, operands.slot, operands.out)
                  .withSizes(operands.size, operands.sizeOut)
                  .withScale(operands.similarity));
    }

    /**
     * Compresses.
     *
     * @param stream a stream of the plan's device
     * @throws IllegalArgumentException if an operand does not fit; nothing is written then
     * @throws IllegalStateException if an operand or the stream is closed
     */
    public void run(Stream stream) {
      QueueStream queue = QueueStream.of(stream, device, OP);
      check();
      queue.begin();
      try {
        TokenPrune.hold(queue, ordered);
        MergeStep.hold(queue, merged);
        if (merged.match().batch() > 0) {
          kernel.run(queue, ordered, merged);
        }
      } finally {
        queue.end();
      }
    }

    private void check() {
      TokenMatch.Operands match = merged.match();
      TokenMerge.Operands merge = merged.merge();
      Buffer x = merge.x();
      Check.output(OP, "similarity", match.similarity(), DType.F32, device);
      TokenPrune.check(OP, device, prune, ordered);
      Check.operand(OP, "x", x, spec.dtype, device);
      Check.tokens(OP, "x", x, ordered.order().shape().dim(0), spec.tokens, spec.dim);
      Check.disjoint(OP, "order", ordered.order(), "x", x);
      TokenMatch.disjointFromOutputs(OP, match, "x", x); // before it is called the metric
      MergeStep.check(OP, device, step, merged);
      Check.disjoint(OP, "order", ordered.order(), "size", merge.size());
      TokenMatch.disjointFromOutputs(OP, match, "attention", ordered.attention());
      TokenMerge.disjointFromOutputs(OP, merge, "attention", ordered.attention());
      long bytes = workspaceBytes(match.batch());
      TokenPrune.checkWorkspace(OP, device, bytes, ordered);
      MergeStep.checkWorkspace(OP, device, bytes, merged);
    }
  }

  /** Binds operands, which are checked when the call is run. */
  public Call call(Operands operands) {
    return new Call(Objects.requireNonNull(operands, "operands"));
  }
}
