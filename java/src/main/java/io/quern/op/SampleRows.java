package io.quern.op;

import io.quern.Buffer;
import io.quern.DType;
import io.quern.Device;
import io.quern.Shape;
import io.quern.Stream;
import io.quern.internal.device.QueueStream;
import io.quern.internal.kernel.KernelProvider;
import io.quern.internal.kernel.SampleRowsKernel;
import java.util.Objects;

/**
 * Samples k columns of every row without replacement, in the order in which they are drawn, by the
 * Gumbel top-k trick: {@code indices[r, :]} are the first k columns in the order (score descending,
 * index ascending) of {@code score[r, i] = fma(x[r, i], scale, −log(−log(u[r, i])))}, where u is
 * uniform in (0, 1). Column i is drawn with probability softmax(scale · x)ᵢ, renormalised after
 * every draw; k = 1 is ordinary sampling. x may be log-probabilities or logits.
 *
 * <p>u is given, or comes from Philox 4×32-10 keyed by (seed of the row, position of the row,
 * purpose, column), the same numbers on every back end. Given u are not checked: 0 gives the score
 * −∞, 1 gives ∞, and anything outside [0, 1] gives NaN, which is drawn last.
 *
 * <p>Canonical arithmetic: exactly the operations above in F32, log as all back ends have it. Empty
 * shapes are legal. A plan is immutable and thread-safe. {@code run} allocates nothing, but for
 * scratch that a CPU stream keeps; it does not wait on CUDA, and can be captured into a {@link
 * io.quern.Graph}. See Kool et al., "Stochastic beams and where to find them", 2019; {@code
 * topk(log(u) / q)} draws the same columns.
 */
public final class SampleRows {
  private static final String OP = "SampleRows";

  /**
   * What is sampled.
   *
   * @param x dtype of the rows: F32, F16 or BF16
   * @param dim elements of a row, at most 2^31 − 1
   * @param k columns drawn, at most {@code dim}
   * @param scale the reciprocal of the temperature; positive and finite
   * @param purpose what seeded numbers are for; draws of one row and position that are to be
   *     independent need different ones
   */
  public record Spec(DType x, long dim, long k, float scale, int purpose) {
    /** Checks dtype and sizes. */
    public Spec {
      Check.floating("x dtype", x);
      Check.dim(dim);
      Check.keep(k, dim);
      if (!(scale > 0) || scale == Float.POSITIVE_INFINITY) {
        throw new IllegalArgumentException("scale is " + scale + ", expected positive and finite");
      }
    }

    /** Temperature 1, purpose 0. */
    public static Spec of(DType x, long dim, long k) {
      return new Spec(x, dim, k, 1, 0);
    }

    /** The same with another scale. */
    public Spec withScale(float scale) {
      return new Spec(x, dim, k, scale, purpose);
    }

    /** The same with another purpose. */
    public Spec withPurpose(int purpose) {
      return new Spec(x, dim, k, scale, purpose);
    }

    /** The shape of every output: [rows, k]. */
    public Shape outputShape(long rows) {
      return Shape.of(rows, k);
    }
  }

  /**
   * What a call reads and writes. Make it once and use it for every call.
   *
   * @param x [rows, dim] of the spec's dtype, any row stride
   * @param uniforms F32 [rows, dim], any row stride; null where seeds are given
   * @param seeds I64 [rows], dense; null where uniforms are given
   * @param positions I64 [rows], dense: the positions in their sequences of the tokens that are
   *     drawn; null where uniforms are given
   * @param scores F32 [rows, k], any row stride, or null: scores of the drawn columns
   * @param values F32 [rows, k], any row stride, or null: x of the drawn columns
   * @param indices I32 [rows, k], any row stride; outputs overlap no other operand
   */
  public record Operands(
      Buffer x,
      Buffer uniforms,
      Buffer seeds,
      Buffer positions,
      Buffer scores,
      Buffer values,
      Buffer indices) {
    /** From given uniforms. */
    public static Operands of(Buffer x, Buffer uniforms, Buffer indices) {
      return new Operands(x, uniforms, null, null, null, null, indices);
    }

    /** From seeds. */
    public static Operands seeded(Buffer x, Buffer seeds, Buffer positions, Buffer indices) {
      return new Operands(x, null, seeds, positions, null, null, indices);
    }

    /** The same with these outputs; either may be null. */
    public Operands with(Buffer scores, Buffer values) {
      return new Operands(x, uniforms, seeds, positions, scores, values, indices);
    }
  }

  private final Device device;
  private final Spec spec;
  private final SampleRowsKernel kernel;

  private SampleRows(Device device, Spec spec) {
    this.device = device;
    this.spec = spec;
    this.kernel = KernelProvider.of(device).sampleRows().prepare(device, spec);
  }

  /**
   * Prepares the operator for a device; loads every kernel it may launch.
   *
   * @throws IllegalStateException if the device is closed
   */
  public static SampleRows plan(Device device, Spec spec) {
    return new SampleRows(
        Objects.requireNonNull(device, "device"), Objects.requireNonNull(spec, "spec"));
  }

  /** What this plan samples. */
  public Spec spec() {
    return spec;
  }

  /**
   * Samples.
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
      queue.hold(operands.x);
      queue.hold(operands.uniforms);
      queue.hold(operands.seeds);
      queue.hold(operands.positions);
      queue.hold(operands.scores);
      queue.hold(operands.values);
      queue.hold(operands.indices);
      if (operands.indices.shape().size() > 0) {
        kernel.run(queue, operands);
      }
    } finally {
      queue.end();
    }
  }

  private void check(Operands of) {
    Check.operand(OP, "x", of.x, spec.x, device);
    Check.rows(OP, "x", of.x, spec.dim);
    long rows = of.x.shape().dim(0);
    if (of.uniforms != null) {
      if (of.seeds != null || of.positions != null) {
        throw new IllegalArgumentException(
            OP + ": uniforms and seeds are given, expected one of them");
      }
      Check.operand(OP, "uniforms", of.uniforms, DType.F32, device);
      Check.shape(OP, "uniforms", of.uniforms, of.x.shape());
    } else {
      if (of.seeds == null || of.positions == null) {
        throw new IllegalArgumentException(
            "%s: %s is null, expected I64, one per row, where uniforms is null"
                .formatted(OP, of.seeds == null ? "seeds" : "positions"));
      }
      Check.operand(OP, "seeds", of.seeds, DType.I64, device);
      Check.vector(OP, "seeds", of.seeds, rows);
      Check.operand(OP, "positions", of.positions, DType.I64, device);
      Check.vector(OP, "positions", of.positions, rows);
    }
    Check.ranked(OP, "indices", of.indices, DType.I32, rows, spec.k, device);
    if (of.scores != null) {
      Check.ranked(OP, "scores", of.scores, DType.F32, rows, spec.k, device);
      Check.disjoint(OP, "scores", of.scores, "indices", of.indices);
    }
    if (of.values != null) {
      Check.ranked(OP, "values", of.values, DType.F32, rows, spec.k, device);
      Check.disjoint(OP, "values", of.values, "indices", of.indices);
      Check.disjoint(OP, "values", of.values, "scores", of.scores);
    }
    checkDisjoint("indices", of.indices, of);
    checkDisjoint("scores", of.scores, of);
    checkDisjoint("values", of.values, of);
  }

  private static void checkDisjoint(String name, Buffer out, Operands of) {
    Check.disjoint(OP, name, out, "x", of.x);
    Check.disjoint(OP, name, out, "uniforms", of.uniforms);
    Check.disjoint(OP, name, out, "seeds", of.seeds);
    Check.disjoint(OP, name, out, "positions", of.positions);
  }
}
