package io.quern.op;

import io.quern.Buffer;
import io.quern.DType;
import io.quern.Device;
import io.quern.Shape;
import io.quern.Stream;
import io.quern.internal.device.QueueStream;
import io.quern.internal.kernel.KernelProvider;
import io.quern.internal.kernel.TokenUnmergeKernel;
import java.util.Objects;

/**
 * Gives every token the value of the row it was merged into: {@code out[b, n, :] = y[b, slot[b, n],
 * :]}, bit for bit. The inverse of {@link TokenMerge} as far as there is one.
 *
 * <p>A token whose slot is outside [0, merged), −1 as any other, becomes zeros, or the first row
 * where {@code droppedToFirst} says so (DiffRate's uncompress, which gives pruned tokens row 0).
 *
 * <p>A plan is immutable and thread-safe. {@code run} allocates nothing, does not wait on CUDA, and
 * can be captured into a {@link io.quern.Graph}. Sources: unmerge of Bolya et al., Token Merging
 * (2023), without its defect with a distillation token; uncompress of Chen et al., DiffRate (2023).
 */
public final class TokenUnmerge {
  private static final String OP = "TokenUnmerge";

  /**
   * What is unmerged.
   *
   * @param dtype of the tokens: F32, F16 or BF16
   * @param merged rows of a batch row before
   * @param tokens tokens after
   * @param dim elements of a token
   * @param droppedToFirst whether dropped tokens get row 0 instead of zeros
   */
  public record Spec(DType dtype, long merged, long tokens, long dim, boolean droppedToFirst) {
    /** Checks dtypes and sizes. */
    public Spec {
      Check.floating("dtype", dtype);
      Check.dim(dim);
      Check.dim("tokens", tokens);
      Check.dim("merged", merged);
    }

    /** Dropped tokens become zeros. */
    public static Spec of(DType dtype, long merged, long tokens, long dim) {
      return new Spec(dtype, merged, tokens, dim, false);
    }

    /** Shape of the output: [batch, tokens, dim]. */
    public Shape outputShape(long batch) {
      return Shape.of(batch, tokens, dim);
    }
  }

  /**
   * What a call reads and writes. Make it once and use it for every call.
   *
   * @param y [batch, merged, dim], or [batch · merged, dim] with any row stride
   * @param slot I32 [batch, tokens]
   * @param out [batch, tokens, dim], or [batch · tokens, dim] with any row stride
   */
  public record Operands(Buffer y, Buffer slot, Buffer out) {}

  private final Device device;
  private final Spec spec;
  private final TokenUnmergeKernel kernel;

  private TokenUnmerge(Device device, Spec spec) {
    this.device = device;
    this.spec = spec;
    this.kernel = KernelProvider.of(device).tokenUnmerge().prepare(device, spec);
  }

  /**
   * Prepares the operator for a device; loads every kernel it may launch.
   *
   * @throws IllegalStateException if the device is closed
   */
  public static TokenUnmerge plan(Device device, Spec spec) {
    return new TokenUnmerge(
        Objects.requireNonNull(device, "device"), Objects.requireNonNull(spec, "spec"));
  }

  /** What this plan unmerges. */
  public Spec spec() {
    return spec;
  }

  /**
   * Unmerges.
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
      queue.hold(operands.y);
      queue.hold(operands.slot);
      queue.hold(operands.out);
      if (operands.out.shape().size() > 0) {
        kernel.run(queue, operands);
      }
    } finally {
      queue.end();
    }
  }

  private void check(Operands operands) {
    Check.operand(OP, "slot", operands.slot, DType.I32, device);
    Check.rows(OP, "slot", operands.slot, spec.tokens);
    Check.dense(OP, "slot", operands.slot);
    long batch = operands.slot.shape().dim(0);
    Check.output(OP, "out", operands.out, spec.dtype, device);
    Check.tokens(OP, "out", operands.out, batch, spec.tokens, spec.dim);
    Check.disjoint(OP, operands.out, "slot", operands.slot);
    Check.operand(OP, "y", operands.y, spec.dtype, device);
    Check.tokens(OP, "y", operands.y, batch, spec.merged, spec.dim);
    Check.disjoint(OP, operands.out, "y", operands.y);
  }
}
