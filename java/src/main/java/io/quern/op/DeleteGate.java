package io.quern.op;

import io.quern.Buffer;
import io.quern.DType;
import io.quern.Device;
import io.quern.Stream;
import io.quern.internal.device.QueueStream;
import io.quern.internal.kernel.DeleteGateKernel;
import io.quern.internal.kernel.KernelProvider;
import java.util.Objects;

/**
 * MrT5's gate, which decides for each token of a byte-level model whether later layers need it:
 * {@code gate[b, n] = scale · σ(z)} with {@code z = w · x / rms(x) + bias}, where {@code rms(x) =
 * √(Σ x² / dim + epsilon)} and w has the gain of the layer's norm in it; or {@code z = w · x +
 * bias}. The scale is negative: the gate goes from 0, kept, to the scale, deleted.
 *
 * <p>Added to the scores of attention as a bias of its key, the gate deletes softly. Deleting hard,
 * {@code key[b, n]} is −1 where {@code gate ≤ threshold}, which {@link Partition} then drops;
 * elsewhere {@code group[b, n]}, or 0 where there are no groups. Groups are −1 for padding, which
 * stays dropped, and the sequences' numbers in a ragged batch. {@link TokenDelete} is all of that.
 *
 * <p>Canonical order: F32; {@code w · x} and {@code Σ x²} by rule 4; then one division by dim, one
 * addition, one square root, one division, one addition; {@code scale / (1 + exp(−z))} by rule 7.
 * NaN deletes nothing.
 *
 * <p>A plan is immutable and thread-safe. {@code run} allocates nothing, does not wait on CUDA, and
 * can be captured into a {@link io.quern.Graph}. Source: Kallini et al., MrT5: Dynamic Token
 * Merging for Efficient Byte-level Language Models (2024), whose code has the sign of z in weight
 * and bias.
 */
public final class DeleteGate {
  private static final String OP = "DeleteGate";

  /** The published norm's. */
  private static final float EPSILON = 1e-6f;

  /**
   * What decides.
   *
   * @param dtype of the tokens: F32, F16 or BF16
   * @param tokens tokens of a batch row
   * @param dim elements of a token, at least 1
   * @param normalized whether the product is divided by the token's root mean square
   * @param epsilon added to the mean square, 0 or more
   * @param bias added to the product
   * @param scale what the gate of a deleted token comes near
   * @param threshold tokens with this gate or less are deleted
   */
  public record Spec(
      DType dtype,
      long tokens,
      long dim,
      boolean normalized,
      float epsilon,
      float bias,
      float scale,
      float threshold) {
    /** Checks dtype and sizes. */
    public Spec {
      Check.floating("dtype", dtype);
      Check.dim("tokens", tokens);
      Check.dim(dim);
      if (dim < 1) {
        throw new IllegalArgumentException("dim is 0, expected 1 or more");
      }
      if (!(epsilon >= 0) || Float.isNaN(bias) || Float.isNaN(scale) || Float.isNaN(threshold)) {
        throw new IllegalArgumentException(
            "epsilon %s, bias %s, scale %s, threshold %s, expected numbers, epsilon 0 or more"
                .formatted(epsilon, bias, scale, threshold));
      }
    }

    /** As published: behind a norm, deleting where the gate is beyond half of its scale. */
    public static Spec of(DType dtype, long tokens, long dim, float bias, float scale) {
      return new Spec(dtype, tokens, dim, true, EPSILON, bias, scale, scale / 2);
    }
  }

  /**
   * What a call reads and writes. Make it once and use it for every call.
   *
   * @param x [batch, tokens, dim], or [batch · tokens, dim] with any row stride
   * @param weight F32 [dim]
   * @param group I32 [batch, tokens] or null: 0
   * @param gate F32 [batch, tokens] or null
   * @param key I32 [batch, tokens]
   */
  public record Operands(Buffer x, Buffer weight, Buffer group, Buffer gate, Buffer key) {}

  private final Device device;
  private final Spec spec;
  private final DeleteGateKernel kernel;

  private DeleteGate(Device device, Spec spec) {
    this.device = device;
    this.spec = spec;
    this.kernel = KernelProvider.of(device).deleteGate().prepare(device, spec);
  }

  /**
   * Prepares the operator for a device; loads every kernel it may launch.
   *
   * @throws IllegalStateException if the device is closed
   */
  public static DeleteGate plan(Device device, Spec spec) {
    return new DeleteGate(
        Objects.requireNonNull(device, "device"), Objects.requireNonNull(spec, "spec"));
  }

  /** What this plan decides by. */
  public Spec spec() {
    return spec;
  }

  /**
   * Decides.
   *
   * @param stream a stream of the plan's device
   * @throws IllegalArgumentException if an operand does not fit; nothing is written then
   * @throws IllegalStateException if an operand or the stream is closed
   */
  public void run(Stream stream, Operands operands) {
    QueueStream queue = QueueStream.of(stream, device, OP);
    queue.begin();
    try {
      check(operands);
      queue.hold(operands.x);
      queue.hold(operands.weight);
      queue.hold(operands.group);
      queue.hold(operands.gate);
      queue.hold(operands.key);
      if (operands.key.shape().size() > 0) {
        kernel.run(queue, operands);
      }
    } finally {
      queue.end();
    }
  }

  private void check(Operands operands) {
    Check.output(OP, "key", operands.key, DType.I32, device);
    Check.rows(OP, "key", operands.key, spec.tokens);
    Check.dense(OP, "key", operands.key);
    long batch = operands.key.shape().dim(0);
    Check.operand(OP, "x", operands.x, spec.dtype, device);
    Check.tokens(OP, "x", operands.x, batch, spec.tokens, spec.dim);
    Check.disjoint(OP, "key", operands.key, "x", operands.x);
    Check.operand(OP, "weight", operands.weight, DType.F32, device);
    Check.vector(OP, "weight", operands.weight, spec.dim);
    Check.disjoint(OP, "key", operands.key, "weight", operands.weight);
    if (operands.group != null) {
      Check.operand(OP, "group", operands.group, DType.I32, device);
      Check.denseMatrix(OP, "group", operands.group, batch, spec.tokens);
      Check.disjoint(OP, "key", operands.key, "group", operands.group);
    }
    if (operands.gate != null) {
      Check.output(OP, "gate", operands.gate, DType.F32, device);
      Check.denseMatrix(OP, "gate", operands.gate, batch, spec.tokens);
      Check.disjoint(OP, "gate", operands.gate, "key", operands.key);
      Check.disjoint(OP, "gate", operands.gate, "x", operands.x);
      Check.disjoint(OP, "gate", operands.gate, "weight", operands.weight);
      Check.disjoint(OP, "gate", operands.gate, "group", operands.group);
    }
  }
}
