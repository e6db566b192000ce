package io.quern.op;

import io.quern.Buffer;
import io.quern.DType;
import io.quern.Device;
import io.quern.Stream;
import io.quern.internal.device.QueueStream;
import io.quern.internal.kernel.KernelProvider;
import io.quern.internal.kernel.ScatterRowsKernel;
import java.util.Objects;

/**
 * Rows to places named by ids: {@code out[ids[i], :] = x[i, :]}, or {@code +=}, or {@code max=}.
 *
 * <p>Rows of {@code out} that no id names stay as they are. With several rows for one place:
 *
 * <ul>
 *   <li>SET: the one with the highest {@code i} is copied. Equal dtypes copy bits; otherwise a
 *       value is widened exactly to F32 and rounded once, to nearest even.
 *   <li>ADD: {@code out[v] + total}, rounded once. The total is their sum in F32: in ascending
 *       order of {@code i} within chunks of 64 of them, each from +0, and the chunks' results in
 *       ascending order from +0.
 *   <li>MAX: the maximum of {@code out[v]} and of them, rounded; NaN if any value is, and a zero is
 *       +0.
 * </ul>
 *
 * <p>A row whose id is −1 is dropped. For any other id outside [0, rows): under {@link
 * IndexPolicy#FAIL} the row is dropped and reported, under ZERO and SKIP it is dropped, under CLAMP
 * it goes to the nearest place, if there is any. All back ends give the same bits.
 *
 * <p>Empty shapes are legal; where the output has no elements nothing is read and nothing is
 * reported.
 *
 * <p>A plan is immutable and thread-safe. {@code run} allocates nothing, does not wait on CUDA, and
 * can be captured into a {@link io.quern.Graph}. Token Recycling updates its adjacency matrix with
 * SET.
 */
public final class ScatterRows {
  private static final String OP = "ScatterRows";

  /** The most rows of one call. */
  public static final long MAX_ROWS = 1L << 29;

  /**
   * What is scattered.
   *
   * @param x dtype of the rows: F32, F16 or BF16; for SET also I32 or I64
   * @param ids dtype of the ids: I32 or I64
   * @param out dtype of the places: F32, F16 or BF16; I32 or I64 if {@code x} is
   * @param mode what becomes of what is there
   * @param dim elements of a row, at most 2^31 − 1
   * @param policy what becomes of a bad id
   */
  public record Spec(
      DType x, DType ids, DType out, ScatterMode mode, long dim, IndexPolicy policy) {
    /** Checks dtypes and sizes. */
    public Spec {
      Objects.requireNonNull(x, "x dtype");
      Objects.requireNonNull(out, "out dtype");
      Objects.requireNonNull(mode, "mode");
      Objects.requireNonNull(policy, "policy");
      if (x.isIndex() || out.isIndex()) {
        if (x != out || mode != ScatterMode.SET) {
          throw new IllegalArgumentException(
              "%s of %s into %s, expected SET of equal dtypes or F32, F16 and BF16"
                  .formatted(mode, x, out));
        }
      } else {
        Check.floating("x dtype", x);
        Check.floating("out dtype", out);
      }
      Check.index("ids dtype", ids);
      Check.dim(dim);
    }

    /** I32 ids, output of the rows' dtype. */
    public static Spec of(DType x, ScatterMode mode, long dim, IndexPolicy policy) {
      return new Spec(x, DType.I32, x, mode, dim, policy);
    }

    /** The same with other ids. */
    public Spec withIds(DType ids) {
      return new Spec(x, ids, out, mode, dim, policy);
    }

    /** The same with another output. */
    public Spec withOut(DType out) {
      return new Spec(x, ids, out, mode, dim, policy);
    }
  }

  private final Device device;
  private final Spec spec;
  private final ScatterRowsKernel kernel;

  private ScatterRows(Device device, Spec spec) {
    this.device = device;
    this.spec = spec;
    this.kernel = KernelProvider.of(device).scatterRows().prepare(device, spec);
  }

  /**
   * Prepares the operator for a device; loads every kernel it may launch.
   *
   * @throws IllegalStateException if the device is closed
   */
  public static ScatterRows plan(Device device, Spec spec) {
    return new ScatterRows(
        Objects.requireNonNull(device, "device"), Objects.requireNonNull(spec, "spec"));
  }

  /** What this plan scatters. */
  public Spec spec() {
    return spec;
  }

  /** Bytes of scratch that a call of {@code count} rows needs; 0 on a CPU. */
  public long workspaceBytes(long count) {
    return kernel.workspaceBytes(count);
  }

  /**
   * Scatters.
   *
   * @param stream a stream of the plan's device
   * @param x [count, dim], any row stride; at most {@link #MAX_ROWS} rows
   * @param ids [count], dense
   * @param out [rows, dim], any row stride; overlaps no other operand
   * @param workspace U8, at least {@link #workspaceBytes} of {@code count}; null where that is 0
   * @throws IllegalArgumentException if an operand does not fit; nothing is written then
   * @throws IllegalStateException if an operand or the stream is closed
   * @throws io.quern.InvalidDataException on a CPU, for a bad id under {@link IndexPolicy#FAIL}
   */
  public void run(Stream stream, Buffer x, Buffer ids, Buffer out, Buffer workspace) {
    QueueStream queue = QueueStream.of(stream, device, OP);
    queue.begin();
    try {
      check(x, ids, out, workspace);
      queue.hold(x);
      queue.hold(ids);
      queue.hold(out);
      queue.hold(workspace);
      if (out.shape().size() > 0 && x.shape().size() > 0) {
        kernel.run(queue, x, ids, out, workspace);
      }
    } finally {
      queue.end();
    }
  }

  private void check(Buffer x, Buffer ids, Buffer out, Buffer workspace) {
    Check.operand(OP, "x", x, spec.x, device);
    Check.rows(OP, "x", x, spec.dim);
    long count = x.shape().dim(0);
    if (count > MAX_ROWS) {
      throw new IllegalArgumentException(
          "%s: x has shape %s, expected [up to %d, %d]"
              .formatted(OP, x.shape(), MAX_ROWS, spec.dim));
    }
    Check.operand(OP, "ids", ids, spec.ids, device);
    Check.vector(OP, "ids", ids, count);
    Check.dense(OP, "ids", ids);
    Check.operand(OP, "out", out, spec.out, device);
    Check.rows(OP, "out", out, spec.dim);
    Check.writable(OP, "out", out);
    Check.disjoint(OP, out, "x", x);
    Check.disjoint(OP, out, "ids", ids);
    Check.workspace(OP, workspace, workspaceBytes(count), device);
    Check.disjoint(OP, out, "workspace", workspace);
    Check.disjoint(OP, "workspace", workspace, "x", x);
    Check.disjoint(OP, "workspace", workspace, "ids", ids);
  }
}
