package io.quern.op;

import io.quern.Buffer;
import io.quern.DType;
import io.quern.Device;
import io.quern.Shape;
import io.quern.Stream;
import io.quern.internal.device.QueueStream;
import io.quern.internal.kernel.EmbeddingBagKernel;
import io.quern.internal.kernel.KernelProvider;
import java.util.List;
import java.util.Objects;

/**
 * Consecutive rows combined segment by segment: {@code out[s, :] = combine(x[j, :])} for {@code
 * offsets[s] ≤ j < offsets[s + 1]}. Words from bytes, sentences from tokens.
 *
 * <p>It is an {@link EmbeddingBag} whose position {@code j} reads row {@code j}: the same order of
 * arithmetic, the same rules for offsets that descend or leave [0, rows], and for empty segments.
 * The way back is {@link SegmentBroadcast}; {@link SegmentMax} takes segments that are not
 * consecutive.
 *
 * <p>Empty shapes are legal; where the output has no elements nothing is read and nothing is
 * reported.
 *
 * <p>A plan is immutable and thread-safe. {@code run} allocates nothing, does not wait on CUDA, and
 * can be captured into a {@link io.quern.Graph}.
 */
public final class SegmentReduce {
  private static final String OP = "SegmentReduce";

  /**
   * What is combined.
   *
   * @param x dtype of the rows and the fallback: F32, F16 or BF16
   * @param offsets dtype of the offsets: I32 or I64
   * @param out dtype of the output: F32, F16 or BF16
   * @param dim elements of a row, at most 2^31 − 1
   * @param combine how rows become one
   * @param empty what an empty segment becomes
   * @param policy what becomes of bad offsets
   */
  public record Spec(
      DType x,
      DType offsets,
      DType out,
      long dim,
      Combine combine,
      EmptyBagPolicy empty,
      IndexPolicy policy) {
    /** Checks dtypes and sizes. */
    public Spec {
      Check.floating("x dtype", x);
      Check.index("offsets dtype", offsets);
      Check.floating("out dtype", out);
      Objects.requireNonNull(combine, "combine");
      Objects.requireNonNull(empty, "empty");
      Objects.requireNonNull(policy, "policy");
      Check.dim(dim);
    }

    /** I32 offsets, output of the rows' dtype, zeros for empty segments. */
    public static Spec of(DType x, long dim, Combine combine, IndexPolicy policy) {
      return new Spec(x, DType.I32, x, dim, combine, EmptyBagPolicy.ZERO, policy);
    }

    /** The same with other offsets. */
    public Spec withOffsets(DType offsets) {
      return new Spec(x, offsets, out, dim, combine, empty, policy);
    }

    /** The same with another output. */
    public Spec withOut(DType out) {
      return new Spec(x, offsets, out, dim, combine, empty, policy);
    }

    /** The same with another policy for empty segments. */
    public Spec withEmpty(EmptyBagPolicy empty) {
      return new Spec(x, offsets, out, dim, combine, empty, policy);
    }

    /** Shape of the output: [segments, dim]. */
    public Shape outputShape(long segments) {
      return Shape.of(segments, dim);
    }

    private EmbeddingBag.Spec bag() {
      return new EmbeddingBag.Spec(
          x, DType.I32, offsets, out, List.of(0L), dim, combine, empty, policy);
    }
  }

  /** What a call reads and writes. Make it once and use it for every call. */
  public static final class Operands {
    private final EmbeddingBag.Operands bag;

    private Operands(EmbeddingBag.Operands bag) {
      this.bag = bag;
    }

    /**
     * Rows without weights.
     *
     * @param x [N, dim], any row stride
     * @param offsets [S + 1], dense: where each segment begins, and where the last one ends
     * @param out [S, dim], any row stride; overlaps no other operand
     */
    public static Operands of(Buffer x, Buffer offsets, Buffer out) {
      Objects.requireNonNull(x, OP + ": x is null");
      return new Operands(
          new EmbeddingBag.Operands(List.of(x), null, offsets, null, null, null, out));
    }

    /**
     * The same with weights.
     *
     * @param weights F32 [N], with {@link Combine#SUM} or {@link Combine#WEIGHTED_MEAN}
     */
    public Operands withWeights(Buffer weights) {
      return new Operands(bag.withWeights(weights));
    }

    /**
     * The same with a fallback for empty segments.
     *
     * @param fallback [S, dim] or [1, dim] of the rows' dtype, with {@link EmptyBagPolicy#FALLBACK}
     */
    public Operands withFallback(Buffer fallback) {
      return new Operands(bag.withFallback(fallback));
    }
  }

  private final Device device;
  private final Spec spec;
  private final EmbeddingBagKernel kernel;

  private SegmentReduce(Device device, Spec spec) {
    this.device = device;
    this.spec = spec;
    this.kernel = KernelProvider.of(device).segmentReduce().prepare(device, spec.bag());
  }

  /**
   * Prepares the operator for a device; loads every kernel it may launch.
   *
   * @throws IllegalStateException if the device is closed
   */
  public static SegmentReduce plan(Device device, Spec spec) {
    return new SegmentReduce(
        Objects.requireNonNull(device, "device"), Objects.requireNonNull(spec, "spec"));
  }

  /** What this plan combines. */
  public Spec spec() {
    return spec;
  }

  /**
   * Combines.
   *
   * @param stream a stream of the plan's device
   * @throws IllegalArgumentException if an operand does not fit; nothing is written then
   * @throws IllegalStateException if an operand or the stream is closed
   * @throws io.quern.InvalidDataException on a CPU, for bad offsets under {@link IndexPolicy#FAIL}
   */
  public void run(Stream stream, Operands operands) {
    QueueStream queue = QueueStream.of(stream, device, OP);
    EmbeddingBag.Operands bag = operands.bag;
    check(bag);
    queue.begin();
    try {
      queue.hold(bag.tables().getFirst());
      queue.hold(bag.offsets());
      queue.hold(bag.weights());
      queue.hold(bag.fallback());
      queue.hold(bag.out());
      if (bag.out().shape().size() > 0) {
        kernel.run(queue, bag);
      }
    } finally {
      queue.end();
    }
  }

  private void check(EmbeddingBag.Operands bag) {
    Buffer out = bag.out();
    Check.operand(OP, "out", out, spec.out, device);
    Check.rows(OP, "out", out, spec.dim);
    Check.writable(OP, "out", out);
    long segments = out.shape().dim(0);

    Buffer x = bag.tables().getFirst();
    Check.operand(OP, "x", x, spec.x, device);
    Check.rows(OP, "x", x, spec.dim);
    Check.disjoint(OP, out, "x", x);

    Check.operand(OP, "offsets", bag.offsets(), spec.offsets, device);
    Check.vector(OP, "offsets", bag.offsets(), segments + 1);
    Check.disjoint(OP, out, "offsets", bag.offsets());

    if (bag.weights() != null) {
      if (spec.combine != Combine.SUM && spec.combine != Combine.WEIGHTED_MEAN) {
        throw new IllegalArgumentException(
            "%s: weights given, expected none with %s".formatted(OP, spec.combine));
      }
      Check.operand(OP, "weights", bag.weights(), DType.F32, device);
      Check.vector(OP, "weights", bag.weights(), x.shape().dim(0));
      Check.disjoint(OP, out, "weights", bag.weights());
    } else if (spec.combine == Combine.WEIGHTED_MEAN) {
      throw new IllegalArgumentException(OP + ": weights is null, expected F32 with WEIGHTED_MEAN");
    }

    if ((bag.fallback() != null) != (spec.empty == EmptyBagPolicy.FALLBACK)) {
      throw new IllegalArgumentException(
          "%s: fallback is %s, expected %s with %s"
              .formatted(
                  OP,
                  bag.fallback(),
                  spec.empty == EmptyBagPolicy.FALLBACK ? "a buffer" : "none",
                  spec.empty));
    }
    if (bag.fallback() != null) {
      Check.operand(OP, "fallback", bag.fallback(), spec.x, device);
      Check.rows(OP, "fallback", bag.fallback(), spec.dim);
      if (bag.fallback().shape().dim(0) != 1 && bag.fallback().shape().dim(0) != segments) {
        throw new IllegalArgumentException(
            "%s: fallback has shape %s, expected [1, %d] or [%d, %d]"
                .formatted(OP, bag.fallback().shape(), spec.dim, segments, spec.dim));
      }
      Check.disjoint(OP, out, "fallback", bag.fallback());
    }
  }
}
