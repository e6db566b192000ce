package io.quern.op;

import io.quern.Buffer;
import io.quern.DType;
import io.quern.Device;
import io.quern.Shape;
import io.quern.Stream;
import io.quern.internal.device.QueueStream;
import io.quern.internal.kernel.KernelProvider;
import io.quern.internal.kernel.SegmentMaxKernel;
import java.util.Objects;

/**
 * The maximum of each segment's rows, whose ids may come in any order and leave gaps: {@code out[s,
 * :] = max(x[i, :])} over all {@code i} with {@code ids[i] = s}. The way back is {@link
 * SegmentBroadcast}; for consecutive rows {@link SegmentReduce} with offsets is faster.
 *
 * <p>A result is NaN if any of its values is, a zero result is +0; so the order of rows does not
 * matter, and all back ends give the same bits. Segments without rows become zeros. Id −1 belongs
 * to no segment; a row with any other id outside [0, segments) is passed over and reported.
 *
 * <p>Empty shapes are legal; where the output has no elements nothing is read and nothing is
 * reported.
 *
 * <p>A plan is immutable and thread-safe. {@code run} allocates nothing, does not wait on CUDA, and
 * can be captured into a {@link io.quern.Graph}. The operator is the segment max-pooling of PoNet
 * (Tan et al., ICLR 2022) before its result is broadcast.
 */
public final class SegmentMax {
  private static final String OP = "SegmentMax";

  /**
   * What is pooled.
   *
   * @param x dtype of the rows and of the output: F32, F16 or BF16
   * @param ids dtype of the ids: I32 or I64
   * @param dim elements of a row, at most 2^31 − 1
   */
  public record Spec(DType x, DType ids, long dim) {
    /** Checks dtypes and sizes. */
    public Spec {
      Check.floating("x dtype", x);
      Check.index("ids dtype", ids);
      Check.dim(dim);
    }

    /** I32 ids. */
    public static Spec of(DType x, long dim) {
      return new Spec(x, DType.I32, dim);
    }

    /** The same with other ids. */
    public Spec withIds(DType ids) {
      return new Spec(x, ids, dim);
    }

    /** Shape of the output: [segments, dim]. */
    public Shape outputShape(long segments) {
      return Shape.of(segments, dim);
    }
  }

  private final Device device;
  private final Spec spec;
  private final SegmentMaxKernel kernel;

  private SegmentMax(Device device, Spec spec) {
    this.device = device;
    this.spec = spec;
    this.kernel = KernelProvider.of(device).segmentMax().prepare(device, spec);
  }

  /**
   * Prepares the operator for a device; loads every kernel it may launch.
   *
   * @throws IllegalStateException if the device is closed
   */
  public static SegmentMax plan(Device device, Spec spec) {
    return new SegmentMax(
        Objects.requireNonNull(device, "device"), Objects.requireNonNull(spec, "spec"));
  }

  /** What this plan pools. */
  public Spec spec() {
    return spec;
  }

  /** Bytes of scratch that a call with an output of {@code segments} rows needs; 0 on a CPU. */
  public long workspaceBytes(long segments) {
    return kernel.workspaceBytes(segments);
  }

  /**
   * Pools.
   *
   * @param stream a stream of the plan's device
   * @param x [N, dim], any row stride
   * @param ids [N], dense: the segment of each row
   * @param out [S, dim], any row stride; overlaps no other operand
   * @param workspace U8, at least {@link #workspaceBytes}; null where that is 0
   * @throws IllegalArgumentException if an operand does not fit; nothing is written then
   * @throws IllegalStateException if an operand or the stream is closed
   * @throws io.quern.InvalidDataException on a CPU, for a bad id
   */
  public void run(Stream stream, Buffer x, Buffer ids, Buffer out, Buffer workspace) {
    QueueStream queue = QueueStream.of(stream, device, OP);
    Check.operand(OP, "out", out, spec.x, device);
    Check.rows(OP, "out", out, spec.dim);
    Check.writable(OP, "out", out);
    Check.operand(OP, "x", x, spec.x, device);
    Check.rows(OP, "x", x, spec.dim);
    Check.disjoint(OP, out, "x", x);
    Check.operand(OP, "ids", ids, spec.ids, device);
    Check.vector(OP, "ids", ids, x.shape().dim(0));
    Check.disjoint(OP, out, "ids", ids);
    Check.disjoint(OP, out, "workspace", workspace);
    Check.workspace(OP, workspace, kernel.workspaceBytes(out.shape().dim(0)), device);
    queue.begin();
    try {
      queue.hold(x);
      queue.hold(ids);
      queue.hold(out);
      queue.hold(workspace);
      if (out.shape().size() > 0) {
        kernel.run(queue, x, ids, out, workspace);
      }
    } finally {
      queue.end();
    }
  }
}
