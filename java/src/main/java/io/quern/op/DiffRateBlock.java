package io.quern.op;

import io.quern.Buffer;
import io.quern.DType;
import io.quern.Device;
import io.quern.Stream;
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
 * <p>A plan is immutable and thread-safe. {@code run} allocates nothing, does not wait on CUDA, and
 * can be captured into a {@link io.quern.Graph}. Source: Chen et al., DiffRate (2023).
 */
public final class DiffRateBlock {
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

  private final Spec spec;
  private final TokenPrune prune;
  private final TokenMatch match;
  private final TokenMerge merge;

  private DiffRateBlock(Device device, Spec spec) {
    this.spec = spec;
    prune =
        TokenPrune.plan(
            device, new TokenPrune.Spec(spec.tokens, spec.heads, spec.prune, spec.classToken));
    match =
        TokenMatch.plan(
            device,
            TokenMatch.Spec.headTail(
                spec.dtype, spec.tokens, spec.dim, spec.prune, spec.keep, spec.classToken));
    merge =
        TokenMerge.plan(
            device,
            TokenMerge.Spec.of(spec.dtype, spec.tokens, spec.keptTokens(), spec.dim, Combine.MEAN)
                .withLeastSize(spec.leastSize));
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

  /** Bytes of scratch that a call needs; 0 on a CPU, whose streams keep it. */
  public long workspaceBytes(long batch) {
    return Math.max(prune.workspaceBytes(batch), match.workspaceBytes(batch));
  }

  /** A call's parts, made once. */
  public final class Call {
    private final TokenPrune.Operands ordered;
    private final TokenMatch.Operands matched;
    private final TokenMerge.Operands merged;

    private Call(Operands operands) {
      ordered =
          new TokenPrune.Operands(operands.attention, operands.order, null, operands.workspace);
      matched =
          TokenMatch.Operands.of(operands.x, operands.slot)
              .withOrder(operands.order)
              .withOutputs(operands.similarity, null)
              .withWorkspace(operands.workspace);
      merged =
          TokenMerge.Operands.of(operands.x, operands.slot, operands.out)
              .withSizes(operands.size, operands.sizeOut)
              .withScale(operands.similarity);
    }

    /**
     * Compresses.
     *
     * @param stream a stream of the plan's device
     * @throws IllegalArgumentException if an operand does not fit; what parts before have computed
     *     is written then
     * @throws IllegalStateException if an operand or the stream is closed
     */
    public void run(Stream stream) {
      prune.run(stream, ordered);
      match.run(stream, matched);
      merge.run(stream, merged);
    }
  }

  /** Binds operands, which are checked when the call is run. */
  public Call call(Operands operands) {
    return new Call(Objects.requireNonNull(operands, "operands"));
  }
}
