package io.quern.op;

import io.quern.Buffer;
import io.quern.Device;
import io.quern.Stream;
import java.util.Objects;

/**
 * MrT5's hard deletion in one plan: a gate decides which tokens stay ({@link DeleteGate}), their
 * places are found ({@link Partition}), and their rows are moved to the front of their sequence, in
 * order, with zeros behind them ({@link TokenUnmerge}). {@code offsets[b, 1]} is how many are left,
 * {@code perm} where each came from, for its position, and {@code inverse} where each went.
 *
 * <p>A ragged batch goes another way: the gate with the sequences' numbers as groups, a {@link
 * Partition} with as many keys, and an {@link EmbeddingGather} by {@code perm}; {@code offsets} is
 * then the new batch's.
 *
 * <p>A plan is immutable and thread-safe. {@code run} allocates nothing, does not wait on CUDA, and
 * can be captured into a {@link io.quern.Graph}. Source: Kallini et al., MrT5 (2024).
 */
public final class TokenDelete {
  /**
   * What a call reads and writes. Make it once and use it for every call.
   *
   * @param x [batch, tokens, dim], or [batch · tokens, dim] with any row stride
   * @param weight F32 [dim]
   * @param group I32 [batch, tokens], 0 for tokens and −1 for padding, or null: 0; any other number
   *     is dropped too
   * @param gate F32 [batch, tokens] or null
   * @param key I32 [batch, tokens]: 0 of what is left, else the group or −1
   * @param perm I32 [batch, tokens]: the tokens that are left, then −1
   * @param offsets I32 [batch, 2]: 0, and how many are left
   * @param inverse I32 [batch, tokens] or null: where each token went, or −1
   * @param out [batch, tokens, dim], or [batch · tokens, dim] with any row stride
   */
  public record Operands(
      Buffer x,
      Buffer weight,
      Buffer group,
      Buffer gate,
      Buffer key,
      Buffer perm,
      Buffer offsets,
      Buffer inverse,
      Buffer out) {}

  private final DeleteGate.Spec spec;
  private final DeleteGate gate;
  private final Partition partition;
  private final TokenUnmerge move;

  private TokenDelete(Device device, DeleteGate.Spec spec) {
    this.spec = spec;
    gate = DeleteGate.plan(device, spec);
    partition = Partition.plan(device, Partition.Spec.compaction(spec.tokens(), IndexPolicy.SKIP));
    move =
        TokenUnmerge.plan(
            device, TokenUnmerge.Spec.of(spec.dtype(), spec.tokens(), spec.tokens(), spec.dim()));
  }

  /**
   * Prepares the deletion for a device; loads every kernel it may launch.
   *
   * @throws IllegalStateException if the device is closed
   */
  public static TokenDelete plan(Device device, DeleteGate.Spec spec) {
    return new TokenDelete(
        Objects.requireNonNull(device, "device"), Objects.requireNonNull(spec, "spec"));
  }

  /** The gate that decides. */
  public DeleteGate.Spec spec() {
    return spec;
  }

  /** A call's parts, made once. */
  public final class Call {
    private final DeleteGate.Operands gated;
    private final Partition.Operands partitioned;
    private final TokenUnmerge.Operands moved;

    private Call(Operands operands) {
      gated =
          new DeleteGate.Operands(
              operands.x, operands.weight, operands.group, operands.gate, operands.key);
      partitioned =
          Partition.Operands.of(operands.key, operands.perm, operands.offsets)
              .withInverse(operands.inverse);
      moved = new TokenUnmerge.Operands(operands.x, operands.perm, operands.out);
    }

    /**
     * Deletes.
     *
     * @param stream a stream of the plan's device
     * @throws IllegalArgumentException if an operand does not fit; what parts before have computed
     *     is written then
     * @throws IllegalStateException if an operand or the stream is closed
     */
    public void run(Stream stream) {
      gate.run(stream, gated);
      partition.run(stream, partitioned);
      move.run(stream, moved);
    }
  }

  /** Binds operands, which are checked when the call is run. */
  public Call call(Operands operands) {
    return new Call(Objects.requireNonNull(operands, "operands"));
  }
}
