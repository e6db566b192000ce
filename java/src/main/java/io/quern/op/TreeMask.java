package io.quern.op;

import io.quern.Buffer;
import io.quern.DType;
import io.quern.Device;
import io.quern.Stream;
import io.quern.internal.device.QueueStream;
import io.quern.internal.kernel.KernelProvider;
import io.quern.internal.kernel.TreeMaskKernel;
import java.util.Objects;

/**
 * Which columns the nodes of draft trees see, in the formats that attention kernels read. A request
 * with a prefix of p tokens and a tree of n nodes has p + n columns: a node sees the whole prefix,
 * its ancestors and itself. Trees, offsets and their faults are as for {@link TreeTopology}.
 *
 * <p>In the formats with rows, [N, columns], columns from p + n on are not visible; {@link
 * TreeStatus#CAPACITY} if there are fewer than p + n. {@link TreeMaskFormat#BITS} knows no prefix.
 * In {@link TreeMaskFormat#FLAT} and {@link TreeMaskFormat#PACKED} a request whose own offsets or
 * prefix length are bad has no elements, and one that does not fit into the output any more ({@link
 * TreeStatus#CAPACITY}) leaves it untouched.
 *
 * <p>A prefix length outside [0, 2^31) is {@link TreeStatus#PREFIX}. A request that is not {@link
 * TreeStatus#OK} sees nothing: 0, −∞ or the lowest value in all its elements. Rows that belong to
 * no request, and elements behind the last one, stay untouched.
 *
 * <p>A plan is immutable and thread-safe. {@code run} allocates nothing, does not wait on CUDA, and
 * can be captured into a {@link io.quern.Graph}.
 */
public final class TreeMask {
  private static final String OP = "TreeMask";

  /**
   * What is written.
   *
   * @param format of the mask
   * @param out dtype that the format has
   * @param prefix dtype of the prefix lengths: I32 or I64
   */
  public record Spec(TreeMaskFormat format, DType out, DType prefix) {
    /** Checks dtypes. */
    public Spec {
      Objects.requireNonNull(format, "format");
      Objects.requireNonNull(out, "out");
      if (!format.has(out)) {
        throw new IllegalArgumentException(
            "out dtype is %s, which %s does not have".formatted(out, format));
      }
      Check.index("prefix dtype", prefix);
    }

    /** With I32 prefix lengths. */
    public static Spec of(TreeMaskFormat format, DType out) {
      return new Spec(format, out, DType.I32);
    }

    /** The same with other prefix lengths. */
    public Spec withPrefix(DType prefix) {
      return new Spec(format, out, prefix);
    }
  }

  /**
   * What a call reads and writes. Make it once and use it for every call.
   *
   * @param parent I32 [N], dense
   * @param offsets I32 [B + 1], dense
   * @param prefix [B], dense, or null for 0; null with {@link TreeMaskFormat#BITS}
   * @param out [N, columns], any row stride; flat formats: [elements], dense
   * @param indptr I64 [B + 1], flat formats only, or null: where each request begins in {@code
   *     out}, and where the last one ends; sums stop at 2^62
   * @param status I32 [B]: ordinals of {@link TreeStatus}
   */
  public record Operands(
      Buffer parent, Buffer offsets, Buffer prefix, Buffer out, Buffer indptr, Buffer status) {
    /** Without prefix lengths and indptr. */
    public static Operands of(Buffer parent, Buffer offsets, Buffer out, Buffer status) {
      return new Operands(parent, offsets, null, out, null, status);
    }

    /** The same with prefix lengths. */
    public Operands withPrefix(Buffer prefix) {
      return new Operands(parent, offsets, prefix, out, indptr, status);
    }

    /** The same with where requests begin. */
    public Operands withIndptr(Buffer indptr) {
      return new Operands(parent, offsets, prefix, out, indptr, status);
    }
  }

  private final Device device;
  private final Spec spec;
  private final TreeMaskKernel kernel;

  private TreeMask(Device device, Spec spec) {
    this.device = device;
    this.spec = spec;
    this.kernel = KernelProvider.of(device).treeMask().prepare(device, spec);
  }

  /**
   * Prepares the operator for a device; loads every kernel it may launch.
   *
   * @throws IllegalStateException if the device is closed
   */
  public static TreeMask plan(Device device, Spec spec) {
    return new TreeMask(
        Objects.requireNonNull(device, "device"), Objects.requireNonNull(spec, "spec"));
  }

  /** What this plan writes. */
  public Spec spec() {
    return spec;
  }

  /**
   * Writes the mask.
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
      queue.hold(operands.parent);
      queue.hold(operands.offsets);
      queue.hold(operands.prefix);
      queue.hold(operands.out);
      queue.hold(operands.indptr);
      queue.hold(operands.status);
      if (operands.offsets.shape().size() > 1 || operands.indptr != null) {
        kernel.run(queue, operands);
      }
    } finally {
      queue.end();
    }
  }

  private void check(Operands operands) {
    Buffer out = operands.out;
    Check.operand(OP, "parent", operands.parent, DType.I32, device);
    long nodes = operands.parent.shape().size();
    Check.vector(OP, "parent", operands.parent, nodes);
    long requests = Check.requests(OP, operands.offsets, device);

    Check.operand(OP, "out", out, spec.out, device);
    Check.writable(OP, "out", out);
    if (spec.format.isFlat()) {
      Check.vector(OP, "out", out, out.shape().size());
    } else if (out.shape().rank() != 2 || out.shape().dim(0) != nodes) {
      throw new IllegalArgumentException(
          "%s: out has shape %s, expected [%d, columns]".formatted(OP, out.shape(), nodes));
    }
    Check.operand(OP, "status", operands.status, DType.I32, device);
    Check.writable(OP, "status", operands.status);
    Check.vector(OP, "status", operands.status, requests);
    Check.disjoint(OP, "status", operands.status, "out", out);

    if (operands.prefix != null) {
      if (spec.format == TreeMaskFormat.BITS) {
        throw new IllegalArgumentException(OP + ": prefix given, expected none with BITS");
      }
      Check.operand(OP, "prefix", operands.prefix, spec.prefix, device);
      Check.vector(OP, "prefix", operands.prefix, requests);
    }
    if (operands.indptr != null) {
      if (!spec.format.isFlat()) {
        throw new IllegalArgumentException(
            "%s: indptr given, expected none with %s".formatted(OP, spec.format));
      }
      Check.operand(OP, "indptr", operands.indptr, DType.I64, device);
      Check.writable(OP, "indptr", operands.indptr);
      Check.vector(OP, "indptr", operands.indptr, requests + 1);
      Check.disjoint(OP, "indptr", operands.indptr, "out", out);
      Check.disjoint(OP, "indptr", operands.indptr, "status", operands.status);
    }
    disjoint("out", out, operands);
    disjoint("status", operands.status, operands);
    disjoint("indptr", operands.indptr, operands);
  }

  private static void disjoint(String name, Buffer out, Operands operands) {
    Check.disjoint(OP, name, out, "parent", operands.parent);
    Check.disjoint(OP, name, out, "offsets", operands.offsets);
    Check.disjoint(OP, name, out, "prefix", operands.prefix);
  }
}
