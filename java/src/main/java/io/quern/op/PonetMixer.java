package io.quern.op;

import io.quern.Buffer;
import io.quern.DType;
import io.quern.Device;
import io.quern.Stream;
import io.quern.internal.device.QueueStream;
import io.quern.internal.kernel.KernelProvider;
import io.quern.internal.kernel.PonetMixerKernel;
import java.util.Objects;

/**
 * PoNet's token mixing from rows that are not projected yet: {@link PonetPooling} of q, k, o, local
 * and segment, each of which is x Wᵀ + b. Two of the five products over all tokens are not made,
 * because they are linear:
 *
 * <pre>
 * m    = mean_t x_t                                    over the valid tokens
 * g    = W_q m + b_q                                   mean query
 * u_h  = Σ_c g_c W_k,c                                 over the columns c of head h
 * a_th = (u_h · x_t) / √headDim                        its bias is the same for all tokens
 * z_h  = Σ_t softmax_t(a_th) x_t
 * v_c  = W_k,c · z_h + b_k,c                           for the columns c of head h
 * o, local, segment = x Wᵀ + b
 * out_t = (v + s_t) ∘ o_t + l_t                        s and l as in PonetPooling
 * </pre>
 *
 * <p>The result equals pooling of five projections up to rounding: at C = 128 and weights of
 * variance 1 / C tests hold it to 2 · 10⁻⁵ of the five projections in F64, relative to max(1,
 * |result|). Padding, the CLS/SEP rule, segments, probabilities and bad data are those of {@link
 * PonetPooling}.
 *
 * <p>Canonical order, so that all back ends give the same bits (F32): m, softmax and z as the mean
 * query, softmax and v of {@code PonetPooling}; g, a and v are row dot products, the bias added
 * last; u is summed by fma over chunks of 64 columns of the head; every element of o, local and
 * segment is one chain of fma over the columns ascending, from +0, and then the bias is added.
 *
 * <p>Empty shapes are legal; where the output has no elements nothing is read and nothing is
 * reported.
 *
 * <p>A plan is immutable and thread-safe. {@code run} does not wait on CUDA and can be captured
 * into a {@link io.quern.Graph}. It allocates nothing, but that on a CPU the first call on a stream
 * makes room for the packed weights. Source: Tan et al., PoNet, ICLR 2022, and its published code.
 */
public final class PonetMixer {
  private static final String OP = "PonetMixer";

  /** Projections, in the order of their rows in the weights: q, k, o, local, segment. */
  public static final int PROJECTIONS = 5;

  /** The most columns. */
  public static final int MAX_COLUMNS = 1024;

  /**
   * What a call reads and writes. Make it once and use it for every call.
   *
   * @param x [N, C], any row stride
   * @param weight F32 [5 C, C], dense: W of q, k, o, local and segment; rows are output columns
   * @param bias F32 [5 C], in the same order
   * @param offsets [B + 1], dense: where each sequence begins, and where the last one ends
   * @param segmentIds I32 [N]: the segment of each token in its sequence
   * @param valid BOOL [N], or null: no token is padding
   * @param special BOOL [N], or null: no CLS/SEP rule
   * @param out [N, C], any row stride; overlaps no other operand
   * @param probabilities F32 [N, heads], dense, or null; overlaps no other operand
   * @param workspace U8, at least {@link #workspaceBytes}
   */
  public record Operands(
      Buffer x,
      Buffer weight,
      Buffer bias,
      Buffer offsets,
      Buffer segmentIds,
      Buffer valid,
      Buffer special,
      Buffer out,
      Buffer probabilities,
      Buffer workspace) {}

  private final Device device;
  private final PonetPooling.Spec spec;
  private final PonetMixerKernel kernel;

  private PonetMixer(Device device, PonetPooling.Spec spec) {
    this.device = device;
    this.spec = spec;
    this.kernel = KernelProvider.of(device).ponetMixer().prepare(device, spec);
  }

  /**
   * Prepares the operator for a device; loads every kernel it may launch.
   *
   * @throws IllegalArgumentException if there are more than {@link #MAX_COLUMNS} columns
   * @throws IllegalStateException if the device is closed
   */
  public static PonetMixer plan(Device device, PonetPooling.Spec spec) {
    Objects.requireNonNull(device, "device");
    if (spec.columns() > MAX_COLUMNS) {
      throw new IllegalArgumentException(
          "heads * headDim is %d, expected at most %d".formatted(spec.columns(), MAX_COLUMNS));
    }
    return new PonetMixer(device, spec);
  }

  /** What this plan mixes; {@code x} is the dtype of the rows. */
  public PonetPooling.Spec spec() {
    return spec;
  }

  /** Bytes of scratch that a call with so many sequences and tokens needs. */
  public long workspaceBytes(long sequences, long tokens) {
    return kernel.workspaceBytes(sequences, tokens);
  }

  /**
   * Mixes.
   *
   * @param stream a stream of the plan's device
   * @throws IllegalArgumentException if an operand does not fit; nothing is written then
   * @throws IllegalStateException if an operand or the stream is closed
   * @throws io.quern.InvalidDataException on a CPU, for bad offsets or segment ids
   */
  public void run(Stream stream, Operands operands) {
    QueueStream queue = QueueStream.of(stream, device, OP);
    check(operands);
    queue.begin();
    try {
      queue.hold(operands.x);
      queue.hold(operands.weight);
      queue.hold(operands.bias);
      queue.hold(operands.offsets);
      queue.hold(operands.segmentIds);
      queue.hold(operands.valid);
      queue.hold(operands.special);
      queue.hold(operands.out);
      queue.hold(operands.probabilities);
      queue.hold(operands.workspace);
      if (operands.out.shape().size() > 0) {
        kernel.run(queue, operands);
      }
    } finally {
      queue.end();
    }
  }

  private void check(Operands operands) {
    Buffer out = operands.out;
    Check.operand(OP, "out", out, spec.out(), device);
    Check.rows(OP, "out", out, spec.columns());
    Check.writable(OP, "out", out);
    long tokens = out.shape().dim(0);
    Check.operand(OP, "x", operands.x, spec.x(), device);
    Check.shape(OP, "x", operands.x, tokens, spec.columns());
    long projected = (long) PROJECTIONS * spec.columns();
    Check.operand(OP, "weight", operands.weight, DType.F32, device);
    Check.shape(OP, "weight", operands.weight, projected, spec.columns());
    Check.dense(OP, "weight", operands.weight);
    Check.operand(OP, "bias", operands.bias, DType.F32, device);
    Check.vector(OP, "bias", operands.bias, projected);
    Check.operand(OP, "offsets", operands.offsets, spec.offsets(), device);
    Check.offsets(OP, operands.offsets);
    Check.operand(OP, "segmentIds", operands.segmentIds, DType.I32, device);
    Check.vector(OP, "segmentIds", operands.segmentIds, tokens);
    PonetPooling.checkFlags(OP, "valid", operands.valid, tokens, device);
    PonetPooling.checkFlags(OP, "special", operands.special, tokens, device);
    PonetPooling.checkProbabilities(OP, operands.probabilities, tokens, spec, device);
    Check.disjoint(OP, out, "probabilities", operands.probabilities);
    disjoint("out", out, operands);
    disjoint("probabilities", operands.probabilities, operands);
    disjoint("workspace", operands.workspace, operands);
    Check.disjoint(OP, out, "workspace", operands.workspace);
    Check.disjoint(OP, "probabilities", operands.probabilities, "workspace", operands.workspace);
    long sequences = operands.offsets.shape().dim(0) - 1;
    Check.workspace(OP, operands.workspace, kernel.workspaceBytes(sequences, tokens), device);
  }

  private static void disjoint(String name, Buffer written, Operands operands) {
    Check.disjoint(OP, name, written, "x", operands.x);
    Check.disjoint(OP, name, written, "weight", operands.weight);
    Check.disjoint(OP, name, written, "bias", operands.bias);
    Check.disjoint(OP, name, written, "offsets", operands.offsets);
    Check.disjoint(OP, name, written, "segmentIds", operands.segmentIds);
    Check.disjoint(OP, name, written, "valid", operands.valid);
    Check.disjoint(OP, name, written, "special", operands.special);
  }
}
