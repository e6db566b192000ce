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
 * A step of token merging in one plan: {@link TokenMatch}, and {@link TokenMerge} of the slots it
 * finds. The results are theirs, bit for bit.
 *
 * <p>On CUDA a step of up to 1024 tokens is one launch and needs no workspace; a longer one runs
 * its parts, as a CPU does. {@link #isOneLaunch()} says which.
 *
 * <p>A plan is immutable and thread-safe. {@code run} allocates nothing, does not wait on CUDA, and
 * can be captured into a {@link io.quern.Graph}. Source: Bolya et al., Token Merging (2023).
 */
public final class MergeStep {
  private static final String OP = "MergeStep";

  /**
   * What is matched and merged.
   *
   * @param match which tokens go where
   * @param merge of as many tokens, to as many as the match leaves at most
   */
  public record Spec(TokenMatch.Spec match, TokenMerge.Spec merge) {
    /** Checks that the two fit. */
    public Spec {
      Objects.requireNonNull(match, "match");
      Objects.requireNonNull(merge, "merge");
      if (merge.tokens() != match.tokens() || merge.merged() != match.mergedTokens()) {
        throw new IllegalArgumentException(
            "%d tokens are merged to %d, expected %d to %d, as they are matched"
                .formatted(merge.tokens(), merge.merged(), match.tokens(), match.mergedTokens()));
      }
    }

    /** Merges what a match finds. */
    public static Spec of(TokenMatch.Spec match, DType dtype, long dim, Combine combine) {
      return new Spec(
          match, TokenMerge.Spec.of(dtype, match.tokens(), match.mergedTokens(), dim, combine));
    }
  }

  /**
   * What a call reads and writes. Make it once and use it for every call.
   *
   * @param match of the match; its workspace of at least {@link MergeStep#workspaceBytes} bytes,
   *     null where that is 0
   * @param merge of the merge: its slot is that of the match; its scale may be the similarity of
   *     the match
   */
  public record Operands(TokenMatch.Operands match, TokenMerge.Operands merge) {
    /** Both are needed. */
    public Operands {
      Objects.requireNonNull(match, "match");
      Objects.requireNonNull(merge, "merge");
    }

    /** Tokens of size 1, nothing optional. */
    public static Operands of(Buffer metric, Buffer x, Buffer slot, Buffer out) {
      return new Operands(
          TokenMatch.Operands.of(metric, slot), TokenMerge.Operands.of(x, slot, out));
    }

    /** The same with sizes before and after; either may be null. */
    public Operands withSizes(Buffer size, Buffer sizeOut) {
      return new Operands(match, merge.withSizes(size, sizeOut));
    }

    /** The same with scratch. */
    public Operands withWorkspace(Buffer workspace) {
      return new Operands(match.withWorkspace(workspace), merge);
    }
  }

  private final Device device;
  private final Spec spec;
  private final MergeStepKernel kernel;

  private MergeStep(Device device, Spec spec) {
    this.device = device;
    this.spec = spec;
    this.kernel = KernelProvider.of(device).mergeStep().prepare(device, null, spec);
  }

  /**
   * Prepares the operator for a device; loads every kernel it may launch.
   *
   * @throws IllegalStateException if the device is closed
   */
  public static MergeStep plan(Device device, Spec spec) {
    return new MergeStep(
        Objects.requireNonNull(device, "device"), Objects.requireNonNull(spec, "spec"));
  }

  /** What this plan matches and merges. */
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

  /**
   * Matches and merges.
   *
   * @param stream a stream of the plan's device
   * @throws IllegalArgumentException if an operand does not fit; nothing is written then
   * @throws IllegalStateException if an operand or the stream is closed
   */
  public void run(Stream stream, Operands operands) {
    QueueStream queue = QueueStream.of(stream, device, OP);
    check(OP, device, spec, operands);
    checkWorkspace(OP, device, workspaceBytes(operands.match.batch()), operands);
    queue.begin();
    try {
      hold(queue, operands);
      if (operands.match.batch() > 0) {
        kernel.run(queue, null, operands);
      }
    } finally {
      queue.end();
    }
  }

  static void hold(QueueStream queue, Operands operands) {
    TokenMatch.hold(queue, operands.match);
    TokenMerge.hold(queue, operands.merge);
  }

  /** Checks all but the workspace, for an operator of which this is a part too. */
  static void check(String op, Device device, Spec spec, Operands operands) {
    TokenMatch.Operands match = operands.match;
    TokenMerge.Operands merge = operands.merge;
    TokenMatch.check(op, device, spec.match, match);
    if (merge.slot() != match.slot()) {
      throw new IllegalArgumentException(
          "%s: slot of the merge is %s, expected that of the match, %s"
              .formatted(op, merge.slot(), match.slot()));
    }
    TokenMerge.check(op, device, spec.merge, merge);
    TokenMatch.disjointFromOutputs(op, match, "x", merge.x());
    TokenMatch.disjointFromOutputs(op, match, "size", merge.size());
    if (merge.scale() != match.similarity()) {
      TokenMatch.disjointFromOutputs(op, match, "scale", merge.scale());
    }
    TokenMatch.disjointFromOutputs(op, match, "out", merge.out());
    TokenMatch.disjointFromOutputs(op, match, "sizeOut", merge.sizeOut());
    TokenMerge.disjointFromOutputs(op, merge, "metric", match.metric());
    TokenMerge.disjointFromOutputs(op, merge, "order", match.order());
    TokenMerge.disjointFromOutputs(op, merge, "limits", match.limits());
  }

  /** Checks the workspace of operands that are right otherwise. */
  static void checkWorkspace(String op, Device device, long bytes, Operands operands) {
    Buffer workspace = operands.match.workspace();
    TokenMerge.Operands merge = operands.merge;
    TokenMatch.checkWorkspace(op, device, bytes, operands.match);
    TokenMerge.disjointFromOutputs(op, merge, "workspace", workspace);
    Check.disjoint(op, "workspace", workspace, "x", merge.x());
    Check.disjoint(op, "workspace", workspace, "size", merge.size());
    Check.disjoint(op, "workspace", workspace, "scale", merge.scale());
  }
}
