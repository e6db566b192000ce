package io.quern.op;

import io.quern.Buffer;
import io.quern.DType;
import io.quern.Device;
import io.quern.Shape;
import io.quern.Stream;
import io.quern.internal.device.QueueStream;
import io.quern.internal.kernel.KernelProvider;
import io.quern.internal.kernel.TopKKernel;
import java.util.Objects;

/**
 * The first k elements of every row, in order: {@code values[r, j] = x[r, indices[r, j]]}, where
 * {@code indices[r, :]} are the columns of row r in the order (value descending, index ascending),
 * cut off after k. k = 1 is the argmax, k = dim a full sort.
 *
 * <p>The order is total, so that all back ends give the same answer: of equal values the lowest
 * index comes first, zeros of either sign are equal, and NaN is below −∞. A row of NaNs therefore
 * gives 0, 1, 2, …
 *
 * <p>Empty shapes are legal. A plan is immutable and thread-safe. {@code run} allocates nothing,
 * but for scratch that a CPU stream keeps for rows as long as it has met; it does not wait on CUDA,
 * and can be captured into a {@link io.quern.Graph}. The operator is that of {@code torch.topk},
 * which leaves the order of equal values open.
 */
public final class TopK {
  private static final String OP = "TopK";

  /**
   * What is ranked.
   *
   * @param x dtype of the rows: F32, F16 or BF16
   * @param dim elements of a row, at most 2^31 − 1
   * @param k elements kept, at most {@code dim}
   */
  public record Spec(DType x, long dim, long k) {
    /** Checks dtype and sizes. */
    public Spec {
      Check.floating("x dtype", x);
      Check.dim(dim);
      Check.keep(k, dim);
    }

    /** The shape of both outputs: [rows, k]. */
    public Shape outputShape(long rows) {
      return Shape.of(rows, k);
    }
  }

  private final Device device;
  private final Spec spec;
  private final TopKKernel kernel;

  private TopK(Device device, Spec spec) {
    this.device = device;
    this.spec = spec;
    this.kernel = KernelProvider.of(device).topK().prepare(device, spec);
  }

  /**
   * Prepares the operator for a device; loads every kernel it may launch.
   *
   * @throws IllegalStateException if the device is closed
   */
  public static TopK plan(Device device, Spec spec) {
    return new TopK(Objects.requireNonNull(device, "device"), Objects.requireNonNull(spec, "spec"));
  }

  /** What this plan ranks. */
  public Spec spec() {
    return spec;
  }

  /**
   * Ranks.
   *
   * @param stream a stream of the plan's device
   * @param x [rows, dim] of the spec's dtype, any row stride
   * @param values F32 [rows, k], any row stride, or null where only indices are wanted
   * @param indices I32 [rows, k], any row stride; no operand overlaps another
   * @throws IllegalArgumentException if an operand does not fit; nothing is written then
   * @throws IllegalStateException if an operand or the stream is closed
   */
  public void run(Stream stream, Buffer x, Buffer values, Buffer indices) {
    QueueStream queue = QueueStream.of(stream, device, OP);
    Check.operand(OP, "x", x, spec.x, device);
    Check.rows(OP, "x", x, spec.dim);
    long rows = x.shape().dim(0);
    Check.ranked(OP, "indices", indices, DType.I32, rows, spec.k, device);
    Check.disjoint(OP, "indices", indices, "x", x);
    if (values != null) {
      Check.ranked(OP, "values", values, DType.F32, rows, spec.k, device);
      Check.disjoint(OP, "values", values, "x", x);
      Check.disjoint(OP, "values", values, "indices", indices);
    }
    queue.begin();
    try {
      queue.hold(x);
      queue.hold(values);
      queue.hold(indices);
      if (indices.shape().size() > 0) {
        kernel.run(queue, x, values, indices);
      }
    } finally {
      queue.end();
    }
  }
}
