package io.quern.op;

import io.quern.Buffer;
import io.quern.DType;
import io.quern.Device;
import io.quern.Stream;
import io.quern.internal.device.QueueStream;
import io.quern.internal.kernel.KernelProvider;
import io.quern.internal.kernel.TokenPruneKernel;
import java.util.Objects;

/**
 * Orders tokens by importance and keeps the most important ones. The importance of a token is the
 * mean over heads of what {@code attention[b, h, n]} says, such as the attention that the class
 * token pays to it.
 *
 * <p>{@code order[b, i]} is the i-th token: with a class token first token 0, then by (importance
 * descending, token ascending), NaN below −∞. {@code slot[b, n]} is the place of token n in that
 * order, or −1 where it is {@code keep} or more: what {@link TokenMerge} needs to permute and
 * prune.
 *
 * <p>Canonical order: F32; heads are added in ascending order, 64 at a time from +0, these sums
 * again from +0; one division.
 *
 * <p>A plan is immutable and thread-safe. {@code run} allocates nothing, does not wait on CUDA, and
 * can be captured into a {@link io.quern.Graph}. Source: Chen et al., DiffRate (2023).
 */
public final class TokenPrune {
  private static final String OP = "TokenPrune";

  /**
   * What is ordered.
   *
   * @param tokens tokens of a batch row
   * @param heads of the attention, at least 1
   * @param keep tokens to keep; more than there are keeps all
   * @param classToken whether token 0 goes first, whatever its importance
   */
  public record Spec(long tokens, long heads, long keep, boolean classToken) {
    /** Checks sizes. */
    public Spec {
      Check.dim("tokens", tokens);
      if (heads < 1 || keep < 0) {
        throw new IllegalArgumentException(
            "%d heads, keep %d, expected 1 or more and 0 or more".formatted(heads, keep));
      }
    }

    /** Tokens that are left of a batch row. */
    public long keptTokens() {
      return Math.min(keep, tokens);
    }
  }

  /**
   * What a call reads and writes. Make it once and use it for every call.
   *
   * @param attention F32 [batch, heads, tokens], or [batch · heads, tokens] with any row stride
   * @param order I32 [batch, tokens]
   * @param slot I32 [batch, tokens] or null
   * @param workspace U8, of at least {@link TokenPrune#workspaceBytes} bytes; null where that is 0
   */
  public record Operands(Buffer attention, Buffer order, Buffer slot, Buffer workspace) {}

  private final Device device;
  private final Spec spec;
  private final TokenPruneKernel kernel;

  private TokenPrune(Device device, Spec spec) {
    this.device = device;
    this.spec = spec;
    this.kernel = KernelProvider.of(device).tokenPrune().prepare(device, spec);
  }

  /**
   * Prepares the operator for a device; loads every kernel it may launch.
   *
   * @throws IllegalStateException if the device is closed
   */
  public static TokenPrune plan(Device device, Spec spec) {
    return new TokenPrune(
        Objects.requireNonNull(device, "device"), Objects.requireNonNull(spec, "spec"));
  }

  /** What this plan orders. */
  public Spec spec() {
    return spec;
  }

  /** Bytes of scratch that a call needs; 0 on a CPU, whose streams keep it. */
  public long workspaceBytes(long batch) {
    return kernel.workspaceBytes(batch);
  }

  /**
   * Orders.
   *
   * @param stream a stream of the plan's device
   * @throws IllegalArgumentException if an operand does not fit; nothing is written then
   * @throws IllegalStateException if an operand or the stream is closed
   */
  public void run(Stream stream, Operands operands) {
    QueueStream queue = QueueStream.of(stream, device, OP);
    check(OP, device, spec, operands);
    checkWorkspace(OP, device, workspaceBytes(operands.order.shape().dim(0)), operands);
    queue.begin();
    try {
      hold(queue, operands);
      if (operands.order.shape().size() > 0) {
        kernel.run(queue, operands);
      }
    } finally {
      queue.end();
    }
  }

  static void hold(QueueStream queue, Operands operands) {
    queue.hold(operands.attention);
    queue.hold(operands.order);
    queue.hold(operands.slot);
    queue.hold(operands.workspace);
  }

  /** Checks all but the workspace, for an operator of which this is a part too. */
  static void check(String op, Device device, Spec spec, Operands operands) {
    Check.output(op, "order", operands.order, DType.I32, device);
    Check.rows(op, "order", operands.order, spec.tokens);
    Check.dense(op, "order", operands.order);
    long batch = operands.order.shape().dim(0);
    if (operands.slot != null) {
      Check.output(op, "slot", operands.slot, DType.I32, device);
      Check.denseMatrix(op, "slot", operands.slot, batch, spec.tokens);
      Check.disjoint(op, "order", operands.order, "slot", operands.slot);
    }
    Check.operand(op, "attention", operands.attention, DType.F32, device);
    Check.tokens(op, "attention", operands.attention, batch, spec.heads, spec.tokens);
    Check.disjoint(op, "order", operands.order, "attention", operands.attention);
    Check.disjoint(op, "slot", operands.slot, "attention", operands.attention);
  }

  /** Checks the workspace of operands that are right otherwise. */
  static void checkWorkspace(String op, Device device, long bytes, Operands operands) {
    Check.workspace(op, operands.workspace, bytes, device);
    Check.disjoint(op, "order", operands.order, "workspace", operands.workspace);
    Check.disjoint(op, "slot", operands.slot, "workspace", operands.workspace);
    Check.disjoint(op, "workspace", operands.workspace, "attention", operands.attention);
  }
}
