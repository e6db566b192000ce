package io.quern.op;

import io.quern.Buffer;
import io.quern.DType;
import io.quern.Device;
import io.quern.Shape;
import io.quern.Stream;
import io.quern.internal.device.QueueStream;
import io.quern.internal.kernel.EmbeddingGatherKernel;
import io.quern.internal.kernel.KernelProvider;
import java.util.List;
import java.util.Objects;

/**
 * Every token gets its segment's row: {@code out[i, :] = x[ids[i], :]}. The way back from {@link
 * SegmentReduce} and {@link SegmentMax}.
 *
 * <p>It is an {@link EmbeddingGather} whose table is made in the same step and so has as many rows
 * as there happen to be segments: id −1 gives zeros, any other id outside [0, segments) follows the
 * {@link IndexPolicy}, equal dtypes copy bits.
 *
 * <p>Empty shapes are legal; where the output has no elements nothing is read and nothing is
 * reported.
 *
 * <p>A plan is immutable and thread-safe. {@code run} allocates nothing, does not wait on CUDA, and
 * can be captured into a {@link io.quern.Graph}.
 */
public final class SegmentBroadcast {
  private static final String OP = "SegmentBroadcast";

  /**
   * What is broadcast.
   *
   * @param x dtype of the segments' rows: F32, F16 or BF16
   * @param ids dtype of the ids: I32 or I64
   * @param out dtype of the output: F32, F16 or BF16
   * @param dim elements of a row, at most 2^31 − 1
   * @param policy what becomes of a bad id
   */
  public record Spec(DType x, DType ids, DType out, long dim, IndexPolicy policy) {
    /** Checks dtypes and sizes. */
    public Spec {
      Check.floating("x dtype", x);
      Check.index("ids dtype", ids);
      Check.floating("out dtype", out);
      Objects.requireNonNull(policy, "policy");
      Check.dim(dim);
    }

    /** I32 ids, output of the segments' dtype. */
    public static Spec of(DType x, long dim, IndexPolicy policy) {
      return new Spec(x, DType.I32, x, dim, policy);
    }

    /** The same with other ids. */
    public Spec withIds(DType ids) {
      return new Spec(x, ids, out, dim, policy);
    }

    /** The same with another output. */
    public Spec withOut(DType out) {
      return new Spec(x, ids, out, dim, policy);
    }

    /** Shape of the output: [tokens, dim]. */
    public Shape outputShape(long tokens) {
      return Shape.of(tokens, dim);
    }

    private EmbeddingGather.Spec gather() {
      return new EmbeddingGather.Spec(x, ids, out, List.of(0L), dim, policy);
    }
  }

  private final Device device;
  private final Spec spec;
  private final EmbeddingGatherKernel kernel;

  private SegmentBroadcast(Device device, Spec spec) {
    this.device = device;
    this.spec = spec;
    this.kernel = KernelProvider.of(device).segmentBroadcast().prepare(device, spec.gather());
  }

  /**
   * Prepares the operator for a device; loads every kernel it may launch.
   *
   * @throws IllegalStateException if the device is closed
   */
  public static SegmentBroadcast plan(Device device, Spec spec) {
    return new SegmentBroadcast(
        Objects.requireNonNull(device, "device"), Objects.requireNonNull(spec, "spec"));
  }

  /** What this plan broadcasts. */
  public Spec spec() {
    return spec;
  }

  /**
   * Broadcasts.
   *
   * @param stream a stream of the plan's device
   * @param x [S, dim], any row stride
   * @param ids [N], dense: the segment of each token
   * @param out [N, dim], any row stride; overlaps no other operand
   * @throws IllegalArgumentException if an operand does not fit; nothing is written then
   * @throws IllegalStateException if an operand or the stream is closed
   * @throws io.quern.InvalidDataException on a CPU, for a bad id under {@link IndexPolicy#FAIL}
   */
  public void run(Stream stream, Buffer x, Buffer ids, Buffer out) {
    QueueStream queue = QueueStream.of(stream, device, OP);
    Check.operand(OP, "out", out, spec.out, device);
    Check.rows(OP, "out", out, spec.dim);
    Check.writable(OP, "out", out);
    Check.operand(OP, "ids", ids, spec.ids, device);
    Check.vector(OP, "ids", ids, out.shape().dim(0));
    Check.disjoint(OP, out, "ids", ids);
    Check.operand(OP, "x", x, spec.x, device);
    Check.rows(OP, "x", x, spec.dim);
    Check.disjoint(OP, out, "x", x);
    queue.begin();
    try {
      queue.hold(x);
      queue.hold(ids);
      queue.hold(out);
      if (out.shape().size() > 0) {
        queue.tables()[0] = x;
        kernel.run(queue, queue.tables(), 1, ids, null, out);
      }
    } finally {
      queue.end();
    }
  }
}
