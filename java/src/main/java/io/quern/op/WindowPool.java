package io.quern.op;

import io.quern.Buffer;
import io.quern.DType;
import io.quern.Device;
import io.quern.Shape;
import io.quern.Stream;
import io.quern.internal.device.QueueStream;
import io.quern.internal.kernel.KernelProvider;
import io.quern.internal.kernel.WindowPoolKernel;
import java.util.Objects;

/**
 * Rows pooled over a sliding window: {@code out[i, :]} is the maximum or mean of {@code x[j, :]}
 * for {@code i · stride − padding ≤ j < i · stride − padding + window} inside the sequence. Rows
 * beyond its ends neither win a maximum nor count in a mean.
 *
 * <p>Canonical order, so that all back ends give the same bits: a maximum is NaN if any value is,
 * and a zero is +0; a mean adds the window's rows in ascending order from +0 within chunks of 64
 * from its first row inside the sequence, then the chunks' results in ascending order from +0, and
 * divides once by their number. F32, rounded once on store.
 *
 * <p>Empty shapes are legal; an empty sequence has an empty output.
 *
 * <p>A plan is immutable and thread-safe. {@code run} allocates nothing, does not wait on CUDA, and
 * can be captured into a {@link io.quern.Graph}. With stride 1, an odd window and padding {@code
 * window / 2} it is the local max-pooling of PoNet (Tan et al., ICLR 2022); {@code
 * torch.nn.functional.max_pool1d} and {@code avg_pool1d(count_include_pad=False)} over rows.
 */
public final class WindowPool {
  private static final String OP = "WindowPool";

  /** How a window's rows become one. */
  public enum Mode {
    /** Element-wise maximum; NaN if any value is. */
    MAX,
    /** Element-wise mean of the rows inside the sequence. */
    MEAN
  }

  /**
   * What is pooled.
   *
   * @param x dtype of the rows: F32, F16 or BF16
   * @param out dtype of the output: F32, F16 or BF16
   * @param dim elements of a row, at most 2^31 − 1
   * @param window rows of a window, at least 1
   * @param stride rows from one window to the next, at least 1
   * @param padding rows that the first window begins before the sequence, at most {@code window /
   *     2}; the last one ends as far behind it at most
   * @param mode maximum or mean
   */
  public record Spec(DType x, DType out, long dim, int window, int stride, int padding, Mode mode) {
    /** Checks dtypes and sizes. */
    public Spec {
      Check.floating("x dtype", x);
      Check.floating("out dtype", out);
      Check.dim(dim);
      Objects.requireNonNull(mode, "mode");
      if (window < 1) {
        throw new IllegalArgumentException("window is %d, expected 1 or more".formatted(window));
      }
      if (stride < 1) {
        throw new IllegalArgumentException("stride is %d, expected 1 or more".formatted(stride));
      }
      if (padding < 0 || padding > window / 2) {
        throw new IllegalArgumentException(
            "padding is %d, expected 0 to %d".formatted(padding, window / 2));
      }
    }

    /** As many rows out as in: stride 1, padding {@code window / 2}. */
    public static Spec centred(DType x, long dim, int window, Mode mode) {
      return new Spec(x, x, dim, window, 1, window / 2, mode);
    }

    /** The same with another output. */
    public Spec withOut(DType out) {
      return new Spec(x, out, dim, window, stride, padding, mode);
    }

    /** Windows of a sequence. */
    public long windows(long length) {
      long reach = length + 2L * padding - window;
      return length == 0 || reach < 0 ? 0 : reach / stride + 1;
    }
  }

  private final Device device;
  private final Spec spec;
  private final WindowPoolKernel kernel;

  private WindowPool(Device device, Spec spec) {
    this.device = device;
    this.spec = spec;
    this.kernel = KernelProvider.of(device).windowPool().prepare(device, spec);
  }

  /**
   * Prepares the operator for a device; loads every kernel it may launch.
   *
   * @throws IllegalStateException if the device is closed
   */
  public static WindowPool plan(Device device, Spec spec) {
    return new WindowPool(
        Objects.requireNonNull(device, "device"), Objects.requireNonNull(spec, "spec"));
  }

  /** What this plan pools. */
  public Spec spec() {
    return spec;
  }

  /**
   * Pools.
   *
   * @param stream a stream of the plan's device
   * @param x [L, dim], or [B, L, dim] for several sequences of one length, any row stride
   * @param out [M, dim] or [B, M, dim] with M = {@link Spec#windows}(L), any row stride; overlaps
   *     no other operand
   * @throws IllegalArgumentException if an operand does not fit; nothing is written then
   * @throws IllegalStateException if an operand or the stream is closed
   */
  public void run(Stream stream, Buffer x, Buffer out) {
    QueueStream queue = QueueStream.of(stream, device, OP);
    Check.operand(OP, "x", x, spec.x, device);
    int rank = x.shape().rank();
    if (rank < 2 || rank > 3 || x.shape().last() != spec.dim) {
      throw new IllegalArgumentException(
          "%s: x has shape %s, expected [length, %d] or [sequences, length, %d]"
              .formatted(OP, x.shape(), spec.dim, spec.dim));
    }
    Check.operand(OP, "out", out, spec.out, device);
    long length = x.shape().dim(rank - 2);
    if (out.shape().rank() != rank
        || out.shape().dim(0) != (rank == 2 ? spec.windows(length) : x.shape().dim(0))
        || out.shape().dim(rank - 2) != spec.windows(length)
        || out.shape().last() != spec.dim) {
      Shape windows = Shape.of(spec.windows(length), spec.dim);
      throw new IllegalArgumentException(
          "%s: out has shape %s, expected %s"
              .formatted(
                  OP,
                  out.shape(),
                  rank == 2 ? windows : Shape.of(x.shape().dim(0), windows.dim(0), spec.dim)));
    }
    Check.writable(OP, "out", out);
    Check.disjoint(OP, out, "x", x);
    queue.begin();
    try {
      queue.hold(x);
      queue.hold(out);
      if (out.shape().size() > 0) {
        kernel.run(queue, x, length, out);
      }
    } finally {
      queue.end();
    }
  }
}
