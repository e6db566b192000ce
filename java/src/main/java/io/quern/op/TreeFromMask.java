package io.quern.op;

import io.quern.Buffer;
import io.quern.DType;
import io.quern.Device;
import io.quern.Stream;
import io.quern.internal.device.QueueStream;
import io.quern.internal.kernel.KernelProvider;
import io.quern.internal.kernel.TreeFromMaskKernel;
import java.util.Objects;

/**
 * The draft trees whose visibility dense masks are, and whatever of {@link TreeOutputs} follows
 * from them; one launch. The parent of node i is the highest j &lt; i that row i sees; columns
 * above i are not looked at.
 *
 * <p>{@link TreeStatus#MASK}: a row i &gt; 0 that is not node i and exactly what its parent's row
 * sees, or a node that does not see itself or, but for node 0, any other.
 *
 * <p>A plan is immutable and thread-safe. {@code run} allocates nothing, does not wait on CUDA, and
 * can be captured into a {@link io.quern.Graph}. Source: SGLang's {@code
 * reconstruct_indices_from_tree_mask}.
 */
public final class TreeFromMask {
  private static final String OP = "TreeFromMask";

  /**
   * What is read.
   *
   * @param nodes of each tree: n
   * @param mask dtype of the masks: U8 or BOOL
   * @param outputs dtypes of prefix lengths, positions and bits
   */
  public record Spec(long nodes, DType mask, TreeTopology.Spec outputs) {
    /** Checks sizes and dtypes. */
    public Spec {
      Check.dim("nodes", nodes);
      Objects.requireNonNull(mask, "mask");
      if (mask != DType.U8 && mask != DType.BOOL) {
        throw new IllegalArgumentException("mask dtype is " + mask + ", expected U8 or BOOL");
      }
      Objects.requireNonNull(outputs, "outputs");
    }

    /** BOOL masks. */
    public static Spec of(long nodes) {
      return new Spec(nodes, DType.BOOL, TreeTopology.Spec.DEFAULT);
    }

    /** The same with other masks. */
    public Spec withMask(DType mask) {
      return new Spec(nodes, mask, outputs);
    }

    /** The same with other outputs. */
    public Spec withOutputs(TreeTopology.Spec outputs) {
      return new Spec(nodes, mask, outputs);
    }
  }

  /**
   * What a call reads and writes. Make it once and use it for every call.
   *
   * @param mask [B, n, n], dense: not 0 where row i sees column j
   * @param prefix [B], dense: tokens before each request's root, or null for 0
   * @param out of B · n nodes, with {@code parent}; overlaps no input
   */
  public record Operands(Buffer mask, Buffer prefix, TreeOutputs out) {
    /** Checks that there are outputs. */
    public Operands {
      Objects.requireNonNull(out, OP + ": out is null");
    }

    /** Without prefix lengths. */
    public static Operands of(Buffer mask, TreeOutputs out) {
      return new Operands(mask, null, out);
    }

    /** The same with prefix lengths. */
    public Operands withPrefix(Buffer prefix) {
      return new Operands(mask, prefix, out);
    }
  }

  private final Device device;
  private final Spec spec;
  private final TreeFromMaskKernel kernel;

  private TreeFromMask(Device device, Spec spec) {
    this.device = device;
    this.spec = spec;
    this.kernel = KernelProvider.of(device).treeFromMask().prepare(device, spec);
  }

  /**
   * Prepares the operator for a device; loads every kernel it may launch.
   *
   * @throws IllegalStateException if the device is closed
   */
  public static TreeFromMask plan(Device device, Spec spec) {
    return new TreeFromMask(
        Objects.requireNonNull(device, "device"), Objects.requireNonNull(spec, "spec"));
  }

  /** What this plan reads. */
  public Spec spec() {
    return spec;
  }

  /**
   * Finds the trees.
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
      queue.hold(operands.mask);
      queue.hold(operands.prefix);
      operands.out.hold(queue);
      if (operands.mask.shape().dim(0) > 0) {
        kernel.run(queue, operands);
      }
    } finally {
      queue.end();
    }
  }

  private void check(Operands operands) {
    Buffer mask = operands.mask;
    TreeOutputs out = operands.out;
    Check.operand(OP, "mask", mask, spec.mask, device);
    if (mask.shape().rank() != 3
        || mask.shape().dim(1) != spec.nodes
        || mask.shape().dim(2) != spec.nodes) {
      throw new IllegalArgumentException(
          "%s: mask has shape %s, expected [requests, %d, %d]"
              .formatted(OP, mask.shape(), spec.nodes, spec.nodes));
    }
    Check.dense(OP, "mask", mask);
    long requests = mask.shape().dim(0);
    if (operands.prefix != null) {
      Check.operand(OP, "prefix", operands.prefix, spec.outputs.prefix(), device);
      Check.vector(OP, "prefix", operands.prefix, requests);
    }
    if (out.parent() == null) {
      throw new NullPointerException(OP + ": parent is null");
    }
    out.check(
        OP, device, requests, requests * spec.nodes, spec.outputs.bits(), spec.outputs.positions());
    out.disjoint(OP, "mask", mask);
    out.disjoint(OP, "prefix", operands.prefix);
  }
}
