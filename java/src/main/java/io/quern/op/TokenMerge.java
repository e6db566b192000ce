package io.quern.op;

import io.quern.Buffer;
import io.quern.DType;
import io.quern.Device;
import io.quern.Shape;
import io.quern.Stream;
import io.quern.internal.device.QueueStream;
import io.quern.internal.kernel.KernelProvider;
import io.quern.internal.kernel.TokenMergeKernel;
import java.util.Objects;

/**
 * Merges tokens by the plan of {@link TokenMatch}: {@code out[b, m, :]} is the combination of all
 * {@code x[b, n, :]} with {@code slot[b, n] = m}, and {@code sizeOut[b, m]} is the sum of their
 * sizes.
 *
 * <p>A token that is alone in its row is copied, bit for bit. A row without a token becomes zeros
 * of size 0. A slot outside [0, merged) drops its token, −1 as any other. A token's size is {@code
 * size[b, n]}, 1 where there are none, times {@code scale[b, n]} where that is given.
 *
 * <p>Canonical order, so that all back ends give the same bits: F32; of a row's tokens, in
 * ascending order, 64 at a time are added from +0, and these results again from +0. {@link
 * Combine#SUM} Σ x, {@link Combine#MEAN} Σ x / n, {@link Combine#WEIGHTED_MEAN} Σ s·x / Σ s with
 * the products by fma, {@link Combine#MAX} the maximum, NaN if any value is, a zero stored as +0.
 * Rounded once on store. Sizes are taken as they are: where they cancel to 0 the weighted mean is
 * what IEEE division gives.
 *
 * <p>A plan is immutable and thread-safe. {@code run} allocates nothing, does not wait on CUDA, and
 * can be captured into a {@link io.quern.Graph}. Source: merge and merge_wavg of Bolya et al.,
 * Token Merging (2023), which accumulate in the tensor's type.
 */
public final class TokenMerge {
  private static final String OP = "TokenMerge";

  /**
   * What is merged.
   *
   * @param dtype of the tokens: F32, F16 or BF16
   * @param tokens tokens of a batch row before
   * @param merged and after
   * @param dim elements of a token
   * @param combine SUM, MEAN, WEIGHTED_MEAN or MAX
   * @param leastSize a smaller sum of sizes becomes it; −∞ for none
   */
  public record Spec(
      DType dtype, long tokens, long merged, long dim, Combine combine, float leastSize) {
    /** Checks dtypes and sizes. */
    public Spec {
      Check.floating("dtype", dtype);
      Objects.requireNonNull(combine, "combine");
      Check.dim(dim);
      Check.dim("tokens", tokens);
      Check.dim("merged", merged);
      if (combine == Combine.MIN || combine == Combine.FIRST || combine == Combine.LAST) {
        throw new IllegalArgumentException(
            "combine is " + combine + ", expected SUM, MEAN, WEIGHTED_MEAN or MAX");
      }
      if (Float.isNaN(leastSize)) {
        throw new IllegalArgumentException("leastSize is NaN");
      }
    }

    /** Any sizes. */
    public static Spec of(DType dtype, long tokens, long merged, long dim, Combine combine) {
      return new Spec(dtype, tokens, merged, dim, combine, Float.NEGATIVE_INFINITY);
    }

    /** The same with sizes of at least so much. */
    public Spec withLeastSize(float leastSize) {
      return new Spec(dtype, tokens, merged, dim, combine, leastSize);
    }

    /** Shape of the output: [batch, merged, dim]. */
    public Shape outputShape(long batch) {
      return Shape.of(batch, merged, dim);
    }
  }

  /**
   * What a call reads and writes. Make it once and use it for every call.
   *
   * @param x [batch, tokens, dim], or [batch · tokens, dim] with any row stride
   * @param slot I32 [batch, tokens]
   * @param size F32 [batch, tokens] or null: 1
   * @param scale F32 [batch, tokens] or null: 1
   * @param out [batch, merged, dim], or [batch · merged, dim] with any row stride
   * @param sizeOut F32 [batch, merged] or null
   */
  public record Operands(
      Buffer x, Buffer slot, Buffer size, Buffer scale, Buffer out, Buffer sizeOut) {
    /** Tokens of size 1. */
    public static Operands of(Buffer x, Buffer slot, Buffer out) {
      return new Operands(x, slot, null, null, out, null);
    }

    /** The same with sizes before and after; either may be null. */
    public Operands withSizes(Buffer size, Buffer sizeOut) {
      return new Operands(x, slot, size, scale, out, sizeOut);
    }

    /** The same with scaled sizes. */
    public Operands withScale(Buffer scale) {
      return new Operands(x, slot, size, scale, out, sizeOut);
    }
  }

  private final Device device;
  private final Spec spec;
  private final TokenMergeKernel kernel;

  private TokenMerge(Device device, Spec spec) {
    this.device = device;
    this.spec = spec;
    this.kernel = KernelProvider.of(device).tokenMerge().prepare(device, spec);
  }

  /**
   * Prepares the operator for a device; loads every kernel it may launch.
   *
   * @throws IllegalStateException if the device is closed
   */
  public static TokenMerge plan(Device device, Spec spec) {
    return new TokenMerge(
        Objects.requireNonNull(device, "device"), Objects.requireNonNull(spec, "spec"));
  }

  /** What this plan merges. */
  public Spec spec() {
    return spec;
  }

  /**
   * Merges.
   *
   * @param stream a stream of the plan's device
   * @throws IllegalArgumentException if an operand does not fit; nothing is written then
   * @throws IllegalStateException if an operand or the stream is closed
   */
  public void run(Stream stream, Operands operands) {
    QueueStream queue = QueueStream.of(stream, device, OP);
    check(OP, device, spec, operands);
    queue.begin();
    try {
      hold(queue, operands);
      if (operands.slot.shape().dim(0) > 0 && spec.merged > 0) {
        kernel.run(queue, operands);
      }
    } finally {
      queue.end();
    }
  }

  static void hold(QueueStream queue, Operands operands) {
    queue.hold(operands.x);
    queue.hold(operands.slot);
    queue.hold(operands.size);
    queue.hold(operands.scale);
    queue.hold(operands.out);
    queue.hold(operands.sizeOut);
  }

  /** Checks all operands, for an operator of which this is a part too. */
  static void check(String op, Device device, Spec spec, Operands operands) {
    Check.operand(op, "slot", operands.slot, DType.I32, device);
    Check.rows(op, "slot", operands.slot, spec.tokens);
    Check.dense(op, "slot", operands.slot);
    long batch = operands.slot.shape().dim(0);

    Check.output(op, "out", operands.out, spec.dtype, device);
    Check.tokens(op, "out", operands.out, batch, spec.merged, spec.dim);
    if (operands.sizeOut != null) {
      Check.output(op, "sizeOut", operands.sizeOut, DType.F32, device);
      Check.denseMatrix(op, "sizeOut", operands.sizeOut, batch, spec.merged);
      Check.disjoint(op, operands.out, "sizeOut", operands.sizeOut);
    }
    disjointFromOutputs(op, operands, "slot", operands.slot);

    Check.operand(op, "x", operands.x, spec.dtype, device);
    Check.tokens(op, "x", operands.x, batch, spec.tokens, spec.dim);
    disjointFromOutputs(op, operands, "x", operands.x);
    if (operands.size != null) {
      Check.operand(op, "size", operands.size, DType.F32, device);
      Check.denseMatrix(op, "size", operands.size, batch, spec.tokens);
      disjointFromOutputs(op, operands, "size", operands.size);
    }
    if (operands.scale != null) {
      Check.operand(op, "scale", operands.scale, DType.F32, device);
      Check.denseMatrix(op, "scale", operands.scale, batch, spec.tokens);
      disjointFromOutputs(op, operands, "scale", operands.scale);
    }
  }

  static void disjointFromOutputs(String op, Operands operands, String name, Buffer other) {
    Check.disjoint(op, operands.out, name, other);
    Check.disjoint(op, "sizeOut", operands.sizeOut, name, other);
  }
}
