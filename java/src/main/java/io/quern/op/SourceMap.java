package io.quern.op;

import io.quern.Buffer;
import io.quern.DType;
import io.quern.Device;
import io.quern.Shape;
import io.quern.Stream;
import io.quern.internal.device.QueueStream;
import io.quern.internal.kernel.KernelProvider;
import io.quern.internal.kernel.SourceMapKernel;
import java.util.Objects;

/**
 * Where each source token is after several merges: {@code groups[b, n] = slot[b, source[b, n]]}, −1
 * where it was dropped. {@code source} is the map up to the layer before, null before the first
 * one; {@code slot} is that of {@link TokenMatch}. {@link TokenUnmerge} by {@code groups} gives
 * every source token the value of its group, however many layers there were.
 *
 * <p>The published form of a source map is asked for with {@code matrix}: {@code matrix[b, m, n]}
 * is 1 where {@code groups[b, n] = m}, else 0.
 *
 * <p>A slot outside [0, merged) is −1, and so is a source outside [0, tokens). A plan is immutable
 * and thread-safe. {@code run} allocates nothing, does not wait on CUDA, and can be captured into a
 * {@link io.quern.Graph}. Source: merge_source of Bolya et al., Token Merging (2023), which merges
 * the matrix itself.
 */
public final class SourceMap {
  private static final String OP = "SourceMap";

  /**
   * What is mapped.
   *
   * @param sources source tokens of a batch row: tokens of the first layer
   * @param tokens tokens before the merge
   * @param merged and after it
   * @param matrix dtype of the matrix, F32, F16 or BF16
   */
  public record Spec(long sources, long tokens, long merged, DType matrix) {
    /** Checks dtype and sizes. */
    public Spec {
      Check.dim("sources", sources);
      Check.dim("tokens", tokens);
      Check.dim("merged", merged);
      Check.floating("matrix dtype", matrix);
    }

    /** Of any layer. */
    public static Spec of(long sources, long tokens, long merged) {
      return new Spec(sources, tokens, merged, DType.F32);
    }

    /** Shape of the groups: [batch, sources]. */
    public Shape groupsShape(long batch) {
      return Shape.of(batch, sources);
    }

    /** Shape of the matrix: [batch, merged, sources]. */
    public Shape matrixShape(long batch) {
      return Shape.of(batch, merged, sources);
    }
  }

  /**
   * What a call reads and writes. Make it once and use it for every call.
   *
   * @param slot I32 [batch, tokens]
   * @param source I32 [batch, sources], or null: every token is its own source, as many as tokens
   * @param groups I32 [batch, sources]
   * @param matrix [batch, merged, sources], dense, or null
   */
  public record Operands(Buffer slot, Buffer source, Buffer groups, Buffer matrix) {
    /** Groups only. */
    public static Operands of(Buffer slot, Buffer source, Buffer groups) {
      return new Operands(slot, source, groups, null);
    }
  }

  private final Device device;
  private final Spec spec;
  private final SourceMapKernel kernel;

  private SourceMap(Device device, Spec spec) {
    this.device = device;
    this.spec = spec;
    this.kernel = KernelProvider.of(device).sourceMap().prepare(device, spec);
  }

  /**
   * Prepares the operator for a device; loads every kernel it may launch.
   *
   * @throws IllegalStateException if the device is closed
   */
  public static SourceMap plan(Device device, Spec spec) {
    return new SourceMap(
        Objects.requireNonNull(device, "device"), Objects.requireNonNull(spec, "spec"));
  }

  /** What this plan maps. */
  public Spec spec() {
    return spec;
  }

  /**
   * Maps.
   *
   * @param stream a stream of the plan's device
   * @throws IllegalArgumentException if an operand does not fit; nothing is written then
   * @throws IllegalStateException if an operand or the stream is closed
   */
  public void run(Stream stream, Operands operands) {
    QueueStream queue = QueueStream.of(stream, device, OP);
    queue.begin();
    try {
      check(operands);
      queue.hold(operands.slot);
      queue.hold(operands.source);
      queue.hold(operands.groups);
      queue.hold(operands.matrix);
      if (operands.groups.shape().size() > 0) {
        kernel.run(queue, operands);
      }
    } finally {
      queue.end();
    }
  }

  private void check(Operands operands) {
    Check.operand(OP, "slot", operands.slot, DType.I32, device);
    Check.rows(OP, "slot", operands.slot, spec.tokens);
    Check.dense(OP, "slot", operands.slot);
    long batch = operands.slot.shape().dim(0);
    if (operands.source != null) {
      Check.operand(OP, "source", operands.source, DType.I32, device);
      Check.denseMatrix(OP, "source", operands.source, batch, spec.sources);
    } else if (spec.sources != spec.tokens) {
      throw new IllegalArgumentException(
          "%s: source is null, expected I32 [%d, %d]".formatted(OP, batch, spec.sources));
    }
    Check.output(OP, "groups", operands.groups, DType.I32, device);
    Check.denseMatrix(OP, "groups", operands.groups, batch, spec.sources);
    Check.disjoint(OP, "groups", operands.groups, "slot", operands.slot);
    Check.disjoint(OP, "groups", operands.groups, "source", operands.source);
    if (operands.matrix != null) {
      Check.output(OP, "matrix", operands.matrix, spec.matrix, device);
      Check.tokens(OP, "matrix", operands.matrix, batch, spec.merged, spec.sources);
      Check.dense(OP, "matrix", operands.matrix);
      Check.disjoint(OP, "matrix", operands.matrix, "slot", operands.slot);
      Check.disjoint(OP, "matrix", operands.matrix, "source", operands.source);
      Check.disjoint(OP, "matrix", operands.matrix, "groups", operands.groups);
    }
  }
}
