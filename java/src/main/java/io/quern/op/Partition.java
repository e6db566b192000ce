package io.quern.op;

import io.quern.Buffer;
import io.quern.DType;
import io.quern.Device;
import io.quern.Shape;
import io.quern.Stream;
import io.quern.internal.device.QueueStream;
import io.quern.internal.kernel.KernelProvider;
import io.quern.internal.kernel.PartitionKernel;
import java.util.Objects;

/**
 * The elements of each batch row by key, stably: {@code perm[b, offsets[b, e] … offsets[b, e + 1])}
 * are the n with {@code key[b, n] = e}, in ascending order, and {@code inverse[b, n]} is the place
 * of n in perm. An element whose key is −1 is dropped: its inverse is −1, and so is {@code perm}
 * from {@code offsets[b, keys]} on.
 *
 * <p>With one key this is compaction: keys 0 and −1 are a mask, {@code perm} lists what is left and
 * {@code offsets[b, 1]} says how many; {@link TokenUnmerge} of the rows by {@code perm} moves them.
 * With the sequences' numbers as keys of a ragged batch, a single batch row, {@code perm} and
 * {@code offsets} are the compacted batch. With experts' numbers it is routing; with the slots of
 * {@link TokenMatch} it lists each row's tokens. How many are left stays on the device.
 *
 * <p>Any other key outside [0, keys) is bad data: under {@link IndexPolicy#FAIL} the element is
 * dropped and reported, under ZERO and SKIP it is dropped, under CLAMP it has the nearest key, if
 * there is any.
 *
 * <p>Empty shapes are legal. A plan is immutable and thread-safe. {@code run} allocates nothing,
 * does not wait on CUDA, and can be captured into a {@link io.quern.Graph}. Source: the stable
 * counting sort of Knuth, The Art of Computer Programming 5.2.
 */
public final class Partition {
  private static final String OP = "Partition";

  /**
   * What is partitioned.
   *
   * @param count elements of a batch row, at most 2^31 − 1
   * @param keys how many there are, at most 2^31 − 2
   * @param policy what becomes of a bad key
   */
  public record Spec(long count, long keys, IndexPolicy policy) {
    /** Checks sizes. */
    public Spec {
      Objects.requireNonNull(policy, "policy");
      Check.dim("count", count);
      if (keys < 0 || keys >= Integer.MAX_VALUE) {
        throw new IllegalArgumentException(
            "%d keys, expected 0 to %d".formatted(keys, Integer.MAX_VALUE - 1));
      }
    }

    /** A mask: what has key 0 is kept, what has −1 is not. */
    public static Spec compaction(long count, IndexPolicy policy) {
      return new Spec(count, 1, policy);
    }

    /** Shape of the keys, of perm and of inverse: [batch, count]. */
    public Shape keyShape(long batch) {
      return Shape.of(batch, count);
    }

    /** Shape of the offsets: [batch, keys + 1]. */
    public Shape offsetsShape(long batch) {
      return Shape.of(batch, keys + 1);
    }
  }

  /**
   * What a call reads and writes. Make it once and use it for every call.
   *
   * @param key I32 [batch, count]
   * @param perm I32 [batch, count]
   * @param offsets I32 [batch, keys + 1]
   * @param inverse I32 [batch, count] or null
   * @param workspace U8, of at least {@link Partition#workspaceBytes} bytes; null where that is 0
   */
  public record Operands(
      Buffer key, Buffer perm, Buffer offsets, Buffer inverse, Buffer workspace) {
    /** Without the inverse, and without scratch. */
    public static Operands of(Buffer key, Buffer perm, Buffer offsets) {
      return new Operands(key, perm, offsets, null, null);
    }

    /** The same with the inverse. */
    public Operands withInverse(Buffer inverse) {
      return new Operands(key, perm, offsets, inverse, workspace);
    }

    /** The same with scratch. */
    public Operands withWorkspace(Buffer workspace) {
      return new Operands(key, perm, offsets, inverse, workspace);
    }
  }

  private final Device device;
  private final Spec spec;
  private final PartitionKernel kernel;

  private Partition(Device device, Spec spec) {
    this.device = device;
    this.spec = spec;
    this.kernel = KernelProvider.of(device).partition().prepare(device, spec);
  }

  /**
   * Prepares the operator for a device; loads every kernel it may launch.
   *
   * @throws IllegalStateException if the device is closed
   */
  public static Partition plan(Device device, Spec spec) {
    return new Partition(
        Objects.requireNonNull(device, "device"), Objects.requireNonNull(spec, "spec"));
  }

  /** What this plan partitions. */
  public Spec spec() {
    return spec;
  }

  /** Bytes of scratch that a call needs; 0 on a CPU, and with at most 256 keys. */
  public long workspaceBytes(long batch) {
    return kernel.workspaceBytes(batch);
  }

  /**
   * Partitions.
   *
   * @param stream a stream of the plan's device
   * @throws IllegalArgumentException if an operand does not fit; nothing is written then
   * @throws IllegalStateException if an operand or the stream is closed
   * @throws io.quern.InvalidDataException on a CPU, for a bad key under {@link IndexPolicy#FAIL}
   */
  public void run(Stream stream, Operands operands) {
    QueueStream queue = QueueStream.of(stream, device, OP);
    queue.begin();
    try {
      check(operands);
      queue.hold(operands.key);
      queue.hold(operands.perm);
      queue.hold(operands.offsets);
      queue.hold(operands.inverse);
      queue.hold(operands.workspace);
      if (operands.key.shape().dim(0) > 0) {
        kernel.run(queue, operands);
      }
    } finally {
      queue.end();
    }
  }

  private void check(Operands operands) {
    Check.operand(OP, "key", operands.key, DType.I32, device);
    Check.rows(OP, "key", operands.key, spec.count);
    Check.dense(OP, "key", operands.key);
    long batch = operands.key.shape().dim(0);
    Check.output(OP, "perm", operands.perm, DType.I32, device);
    Check.denseMatrix(OP, "perm", operands.perm, batch, spec.count);
    Check.disjoint(OP, "perm", operands.perm, "key", operands.key);
    Check.output(OP, "offsets", operands.offsets, DType.I32, device);
    Check.denseMatrix(OP, "offsets", operands.offsets, batch, spec.keys + 1);
    Check.disjoint(OP, "offsets", operands.offsets, "key", operands.key);
    Check.disjoint(OP, "offsets", operands.offsets, "perm", operands.perm);
    if (operands.inverse != null) {
      Check.output(OP, "inverse", operands.inverse, DType.I32, device);
      Check.denseMatrix(OP, "inverse", operands.inverse, batch, spec.count);
      Check.disjoint(OP, "inverse", operands.inverse, "key", operands.key);
      Check.disjoint(OP, "inverse", operands.inverse, "perm", operands.perm);
      Check.disjoint(OP, "inverse", operands.inverse, "offsets", operands.offsets);
    }
    Check.workspace(OP, operands.workspace, workspaceBytes(batch), device);
    Check.disjoint(OP, "perm", operands.perm, "workspace", operands.workspace);
    Check.disjoint(OP, "offsets", operands.offsets, "workspace", operands.workspace);
    Check.disjoint(OP, "inverse", operands.inverse, "workspace", operands.workspace);
    Check.disjoint(OP, "workspace", operands.workspace, "key", operands.key);
  }
}
