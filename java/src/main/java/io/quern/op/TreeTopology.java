package io.quern.op;

import io.quern.Buffer;
import io.quern.DType;
import io.quern.Device;
import io.quern.Stream;
import io.quern.internal.device.QueueStream;
import io.quern.internal.kernel.KernelProvider;
import io.quern.internal.kernel.TreeTopologyKernel;
import java.util.Objects;

/**
 * What follows from the parents of draft trees: ancestor bits, depths, position ids, child and
 * sibling links, leaf paths; any subset of {@link TreeOutputs}, in one launch.
 *
 * <p>A tree is {@code parent[0] = −1, 0 ≤ parent[i] < i}; a batch is the concatenation of its
 * requests' trees, cut by offsets. {@code depth[0] = 0, depth[i] = depth[parent[i]] + 1}, {@code
 * positions = prefix + depth}, {@code bits[i] = bits[parent[i]] | 1 << i}. A chain, {@code
 * parent[i] = i − 1}, and an empty tree are trees.
 *
 * <p>Bad data is a {@link TreeStatus} of its request: {@link TreeStatus#OFFSETS} unless {@code 0 ≤
 * offsets[b] ≤ offsets[b + 1] ≤ N} and no earlier offset is above {@code offsets[b]}, so that no
 * two requests share a node; {@link TreeStatus#ROOT}, {@link TreeStatus#PARENT}, {@link
 * TreeStatus#CAPACITY}.
 *
 * <p>A plan is immutable and thread-safe. {@code run} allocates nothing, does not wait on CUDA, and
 * can be captured into a {@link io.quern.Graph}. On a CPU a stream keeps scratch of the largest
 * tree it has met. The outputs are those that Medusa, EAGLE and SGLang compute for their
 * verification.
 */
public final class TreeTopology {
  private static final String OP = "TreeTopology";

  /**
   * Dtypes of a call.
   *
   * @param prefix of the prefix lengths: I32 or I64
   * @param positions of the position ids: I32 or I64
   * @param bits of the words of ancestor bits: U8, U16, U32, U64, I32 or I64
   */
  public record Spec(DType prefix, DType positions, DType bits) {
    /** I32 throughout, bits in U64. */
    public static final Spec DEFAULT = new Spec(DType.I32, DType.I32, DType.U64);

    /** Checks dtypes. */
    public Spec {
      Check.index("prefix dtype", prefix);
      Check.index("positions dtype", positions);
      Check.words("bits dtype", bits);
    }

    /** The same with other words. */
    public Spec withBits(DType bits) {
      return new Spec(prefix, positions, bits);
    }

    /** The same with other prefix lengths and position ids. */
    public Spec withPositions(DType prefix, DType positions) {
      return new Spec(prefix, positions, bits);
    }
  }

  /**
   * What a call reads and writes. Make it once and use it for every call.
   *
   * @param parent I32 [N], dense
   * @param offsets I32 [B + 1], dense: where each request's nodes begin, and where the last one's
   *     end
   * @param prefix [B], dense: tokens before each request's root, or null for 0
   * @param out overlaps no input; its {@code parent} is null
   */
  public record Operands(Buffer parent, Buffer offsets, Buffer prefix, TreeOutputs out) {
    /** Checks that there are outputs. */
    public Operands {
      Objects.requireNonNull(out, OP + ": out is null");
    }

    /** Without prefix lengths. */
    public static Operands of(Buffer parent, Buffer offsets, TreeOutputs out) {
      return new Operands(parent, offsets, null, out);
    }

    /** The same with prefix lengths. */
    public Operands withPrefix(Buffer prefix) {
      return new Operands(parent, offsets, prefix, out);
    }
  }

  private final Device device;
  private final Spec spec;
  private final TreeTopologyKernel kernel;

  private TreeTopology(Device device, Spec spec) {
    this.device = device;
    this.spec = spec;
    this.kernel = KernelProvider.of(device).treeTopology().prepare(device, spec);
  }

  /**
   * Prepares the operator for a device; loads every kernel it may launch.
   *
   * @throws IllegalStateException if the device is closed
   */
  public static TreeTopology plan(Device device, Spec spec) {
    return new TreeTopology(
        Objects.requireNonNull(device, "device"), Objects.requireNonNull(spec, "spec"));
  }

  /** Dtypes of this plan. */
  public Spec spec() {
    return spec;
  }

  /**
   * Computes the outputs that are there.
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
      operands.out.hold(queue);
      if (operands.offsets.shape().size() > 1) {
        kernel.run(queue, operands);
      }
    } finally {
      queue.end();
    }
  }

  private void check(Operands operands) {
    TreeOutputs out = operands.out;
    Check.operand(OP, "parent", operands.parent, DType.I32, device);
    long nodes = operands.parent.shape().size();
    Check.vector(OP, "parent", operands.parent, nodes);
    long requests = Check.requests(OP, operands.offsets, device);
    if (operands.prefix != null) {
      Check.operand(OP, "prefix", operands.prefix, spec.prefix, device);
      Check.vector(OP, "prefix", operands.prefix, requests);
    }
    if (out.parent() != null) {
      throw new IllegalArgumentException(OP + ": parent given among the outputs, expected null");
    }
    out.check(OP, device, requests, nodes, spec.bits, spec.positions);
    out.disjoint(OP, "parent", operands.parent);
    out.disjoint(OP, "offsets", operands.offsets);
    out.disjoint(OP, "prefix", operands.prefix);
  }
}
