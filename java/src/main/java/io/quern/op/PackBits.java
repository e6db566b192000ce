package io.quern.op;

import io.quern.Buffer;
import io.quern.DType;
import io.quern.Device;
import io.quern.Stream;
import io.quern.internal.device.QueueStream;
import io.quern.internal.kernel.KernelProvider;
import io.quern.internal.kernel.PackBitsKernel;
import java.util.Objects;

/**
 * Segments of bytes as bits: bit i of a segment's bytes is whether {@code x[offsets[s] + i]} is not
 * 0. Each segment begins at a byte of its own; its last byte is filled up with 0. One segment over
 * all elements packs them as a whole. Masks of draft trees are packed straight from their parents
 * by {@link TreeMask}; this is for masks that come from elsewhere.
 *
 * <p>{@link TreeStatus#OFFSETS} unless {@code 0 ≤ offsets[s] ≤ offsets[s + 1] ≤ M}; such a segment
 * has no bytes. {@link TreeStatus#CAPACITY} where one does not fit into the output; it is left out,
 * and so is whatever follows. Bytes behind the last segment stay untouched.
 *
 * <p>A plan is immutable and thread-safe. {@code run} allocates nothing, does not wait on CUDA, and
 * can be captured into a {@link io.quern.Graph}. Source: FlashInfer's {@code segment_packbits} and
 * {@code packbits}.
 */
public final class PackBits {
  private static final String OP = "PackBits";

  /**
   * Dtypes and order.
   *
   * @param x dtype of the elements: U8 or BOOL
   * @param offsets dtype of the offsets: I32 or I64
   */
  public record Spec(DType x, DType offsets, BitOrder order) {
    /** Checks dtypes. */
    public Spec {
      Objects.requireNonNull(x, "x");
      if (x != DType.U8 && x != DType.BOOL) {
        throw new IllegalArgumentException("x dtype is " + x + ", expected U8 or BOOL");
      }
      Check.index("offsets dtype", offsets);
      Objects.requireNonNull(order, "order");
    }
  }

  /**
   * What a call reads and writes. Make it once and use it for every call.
   *
   * @param x [M], dense
   * @param offsets [S + 1], dense: where each segment begins in {@code x}, and where the last one
   *     ends
   * @param out U8 [bytes], dense
   * @param outOffsets I64 [S + 1], or null: the bytes where segments begin; sums stop at 2^62
   * @param status I32 [S]: ordinals of {@link TreeStatus}
   */
  public record Operands(Buffer x, Buffer offsets, Buffer out, Buffer outOffsets, Buffer status) {
    /** Without the bytes where segments begin. */
    public static Operands of(Buffer x, Buffer offsets, Buffer out, Buffer status) {
      return new Operands(x, offsets, out, null, status);
    }

    /** The same with the bytes where segments begin. */
    public Operands withOutOffsets(Buffer outOffsets) {
      return new Operands(x, offsets, out, outOffsets, status);
    }
  }

  private final Device device;
  private final Spec spec;
  private final PackBitsKernel kernel;

  private PackBits(Device device, Spec spec) {
    this.device = device;
    this.spec = spec;
    this.kernel = KernelProvider.of(device).packBits().prepare(device, spec);
  }

  /**
   * Prepares the operator for a device; loads every kernel it may launch.
   *
   * @throws IllegalStateException if the device is closed
   */
  public static PackBits plan(Device device, Spec spec) {
    return new PackBits(
        Objects.requireNonNull(device, "device"), Objects.requireNonNull(spec, "spec"));
  }

  /** Dtypes and order of this plan. */
  public Spec spec() {
    return spec;
  }

  /**
   * Packs.
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
      queue.hold(operands.offsets);
      queue.hold(operands.out);
      queue.hold(operands.outOffsets);
      queue.hold(operands.status);
      if (operands.offsets.shape().size() > 1 || operands.outOffsets != null) {
        kernel.run(queue, operands);
      }
    } finally {
      queue.end();
    }
  }

  private void check(Operands operands) {
    Buffer offsets = operands.offsets;
    Check.operand(OP, "x", operands.x, spec.x, device);
    Check.vector(OP, "x", operands.x, operands.x.shape().size());
    Check.operand(OP, "offsets", offsets, spec.offsets, device);
    if (offsets.shape().rank() != 1 || offsets.shape().size() == 0) {
      throw new IllegalArgumentException(
          "%s: offsets has shape %s, expected [segments + 1]".formatted(OP, offsets.shape()));
    }
    long segments = offsets.shape().size() - 1;
    output("out", operands.out, DType.U8, operands);
    Check.vector(OP, "out", operands.out, operands.out.shape().size());
    output("status", operands.status, DType.I32, operands);
    Check.vector(OP, "status", operands.status, segments);
    Check.disjoint(OP, "status", operands.status, "out", operands.out);
    if (operands.outOffsets != null) {
      output("outOffsets", operands.outOffsets, DType.I64, operands);
      Check.vector(OP, "outOffsets", operands.outOffsets, segments + 1);
      Check.disjoint(OP, "outOffsets", operands.outOffsets, "out", operands.out);
      Check.disjoint(OP, "outOffsets", operands.outOffsets, "status", operands.status);
    }
  }

  private void output(String name, Buffer out, DType dtype, Operands operands) {
    Check.operand(OP, name, out, dtype, device);
    Check.writable(OP, name, out);
    Check.disjoint(OP, name, out, "x", operands.x);
    Check.disjoint(OP, name, out, "offsets", operands.offsets);
  }
}
