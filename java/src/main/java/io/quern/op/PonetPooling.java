package io.quern.op;

import io.quern.Buffer;
import io.quern.DType;
import io.quern.Device;
import io.quern.Shape;
import io.quern.Stream;
import io.quern.internal.device.QueueStream;
import io.quern.internal.kernel.KernelProvider;
import io.quern.internal.kernel.PonetPoolingKernel;
import java.util.Objects;

/**
 * PoNet's token mixing: global, segment and local pooling of projected inputs, fused. With C =
 * heads · headDim, for each sequence and head h, over its valid tokens:
 *
 * <pre>
 * g_h  = mean_t q_t,h                                 mean query
 * a_th = (g_h · k_t,h) / √headDim
 * v_h  = Σ_t softmax_t(a_th) k_t,h                    global aggregation; the keys are the values
 * s_t  = max over the tokens of t's segment of segment
 * l_t  = max over |t' − t| ≤ window / 2 of local_t'   inside the sequence
 * out_t = (v + s_t) ∘ o_t + l_t
 * </pre>
 *
 * <p><b>Padding.</b> Tokens whose {@code valid} is false count neither in the mean nor in the
 * softmax; in both maxima they stand as −10000, as published; their output rows are zeros. Ragged
 * batches need no padding: sequences are given by offsets.
 *
 * <p><b>CLS/SEP rule.</b> Where {@code special} is given, special tokens stand as −10000 in the
 * local maximum, and their own s and l are 0, so that they become v ∘ o.
 *
 * <p><b>Segments.</b> Any ids in [0, length of the sequence), in any order and with gaps. A valid
 * token with another id is reported, gets a row of zeros and belongs to no segment; a padded one's
 * is ignored. Offsets that descend or leave [0, tokens] are reported, and nothing is written then.
 * Rows outside every sequence are left untouched.
 *
 * <p><b>Probabilities</b>, on request: softmax_t(a_th), 0 for padded tokens. Of a sequence without
 * a valid token they are NaN, as in the BERT flavour, or 1 / length, as in the LRA one.
 *
 * <p>Canonical order, so that all back ends give the same bits (F32): q is summed by chunks of 64
 * tokens of the sequence, and divided once; a is a row dot product, times the F32 nearest to
 * 1/√headDim; softmax and v are computed online over chunks of 64 tokens, merged in ascending
 * order; maxima are NaN if any value is, and a zero is +0; out = fma(v + s, o, l), rounded once.
 *
 * <p>Empty shapes are legal; where the output has no elements nothing is read and nothing is
 * reported.
 *
 * <p>A plan is immutable and thread-safe. {@code run} allocates nothing, does not wait on CUDA, and
 * can be captured into a {@link io.quern.Graph}. Source: Tan et al., PoNet, ICLR 2022, and its
 * published code.
 */
public final class PonetPooling {
  private static final String OP = "PonetPooling";

  /** The most columns of a head. */
  public static final int MAX_HEAD_DIM = 1024;

  /** The widest window. */
  public static final int MAX_WINDOW = 7;

  /** What the probabilities of a sequence without a valid token are. */
  public enum Flavour {
    /** NaN. */
    BERT,
    /** One over the sequence's length. */
    LRA
  }

  /**
   * What is pooled.
   *
   * @param x dtype of the five inputs: F32, F16 or BF16
   * @param out dtype of the output: F32, F16 or BF16
   * @param offsets dtype of the offsets: I32 or I64
   * @param heads number of heads, at least 1
   * @param headDim columns of a head, 1 to {@link #MAX_HEAD_DIM}
   * @param window tokens of the local window: 1, 3, 5 or 7
   * @param flavour what the probabilities of a sequence without a valid token are
   */
  public record Spec(
      DType x, DType out, DType offsets, int heads, int headDim, int window, Flavour flavour) {
    /** Checks dtypes and sizes. */
    public Spec {
      Check.floating("x dtype", x);
      Check.floating("out dtype", out);
      Check.index("offsets dtype", offsets);
      Objects.requireNonNull(flavour, "flavour");
      if (headDim < 1 || headDim > MAX_HEAD_DIM) {
        throw new IllegalArgumentException(
            "headDim is %d, expected 1 to %d".formatted(headDim, MAX_HEAD_DIM));
      }
      if (heads < 1 || heads > Integer.MAX_VALUE / headDim) {
        throw new IllegalArgumentException(
            "heads is %d, expected 1 to %d".formatted(heads, Integer.MAX_VALUE / headDim));
      }
      if (window < 1 || window > MAX_WINDOW || window % 2 == 0) {
        throw new IllegalArgumentException("window is %d, expected 1, 3, 5 or 7".formatted(window));
      }
    }

    /** Output of the inputs' dtype, I32 offsets, a window of 3, the BERT flavour. */
    public static Spec of(DType x, int heads, int headDim) {
      return new Spec(x, x, DType.I32, heads, headDim, 3, Flavour.BERT);
    }

    /** The same with another output. */
    public Spec withOut(DType out) {
      return new Spec(x, out, offsets, heads, headDim, window, flavour);
    }

    /** The same with other offsets. */
    public Spec withOffsets(DType offsets) {
      return new Spec(x, out, offsets, heads, headDim, window, flavour);
    }

    /** The same with another window. */
    public Spec withWindow(int window) {
      return new Spec(x, out, offsets, heads, headDim, window, flavour);
    }

    /** The same in another flavour. */
    public Spec withFlavour(Flavour flavour) {
      return new Spec(x, out, offsets, heads, headDim, window, flavour);
    }

    /** Columns of a row: heads · headDim. */
    public int columns() {
      return heads * headDim;
    }

    /** 1/√headDim, rounded to F32. */
    public float scale() {
      return (float) (1 / Math.sqrt(headDim));
    }

    /** Shape of each input and of the output: [tokens, columns]. */
    public Shape rowsShape(long tokens) {
      return Shape.of(tokens, columns());
    }
  }

  /**
   * What a call reads and writes. Make it once and use it for every call.
   *
   * @param q [N, C], any row stride, as the next four
   * @param k keys, which are the values too
   * @param o what the pooled rows are multiplied with
   * @param local what the local maximum is taken of
   * @param segment what the segment maximum is taken of
   * @param offsets [B + 1], dense: where each sequence begins, and where the last one ends
   * @param segmentIds I32 [N]: the segment of each token in its sequence
   * @param valid BOOL [N], or null: no token is padding
   * @param special BOOL [N], or null: no CLS/SEP rule
   * @param out [N, C], any row stride; overlaps no other operand
   * @param probabilities F32 [N, heads], dense, or null; overlaps no other operand
   * @param workspace U8, at least {@link #workspaceBytes}
   */
  public record Operands(
      Buffer q,
      Buffer k,
      Buffer o,
      Buffer local,
      Buffer segment,
      Buffer offsets,
      Buffer segmentIds,
      Buffer valid,
      Buffer special,
      Buffer out,
      Buffer probabilities,
      Buffer workspace) {
    /** No padding, no CLS/SEP rule, no probabilities. */
    public static Operands of(
        Buffer q,
        Buffer k,
        Buffer o,
        Buffer local,
        Buffer segment,
        Buffer offsets,
        Buffer segmentIds,
        Buffer out,
        Buffer workspace) {
      return new Operands(
          q, k, o, local, segment, offsets, segmentIds, null, null, out, null, workspace);
    }

    /** The same with padding. */
    public Operands withValid(Buffer valid) {
      return new Operands(
          q,
          k,
          o,
          local,
          segment,
          offsets,
          segmentIds,
          valid,
          special,
          out,
          probabilities,
          workspace);
    }

    /** The same with the CLS/SEP rule. */
    public Operands withSpecial(Buffer special) {
      return new Operands(
          q,
          k,
          o,
          local,
          segment,
          offsets,
          segmentIds,
          valid,
          special,
          out,
          probabilities,
          workspace);
    }

    /** The same with probabilities. */
    public Operands withProbabilities(Buffer probabilities) {
      return new Operands(
          q,
          k,
          o,
          local,
          segment,
          offsets,
          segmentIds,
          valid,
          special,
          out,
          probabilities,
          workspace);
    }
  }

  private final Device device;
  private final Spec spec;
  private final PonetPoolingKernel kernel;

  private PonetPooling(Device device, Spec spec) {
    this.device = device;
    this.spec = spec;
    this.kernel = KernelProvider.of(device).ponetPooling().prepare(device, spec);
  }

  /**
   * Prepares the operator for a device; loads every kernel it may launch.
   *
   * @throws IllegalStateException if the device is closed
   */
  public static PonetPooling plan(Device device, Spec spec) {
    return new PonetPooling(
        Objects.requireNonNull(device, "device"), Objects.requireNonNull(spec, "spec"));
  }

  /** What this plan pools. */
  public Spec spec() {
    return spec;
  }

  /** Bytes of scratch that a call with so many sequences and tokens needs. */
  public long workspaceBytes(long sequences, long tokens) {
    return kernel.workspaceBytes(sequences, tokens);
  }

  /**
   * Pools.
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
      queue.hold(operands.q);
      queue.hold(operands.k);
      queue.hold(operands.o);
      queue.hold(operands.local);
      queue.hold(operands.segment);
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
    Check.operand(OP, "out", out, spec.out, device);
    Check.rows(OP, "out", out, spec.columns());
    Check.writable(OP, "out", out);
    long tokens = out.shape().dim(0);
    Check.operand(OP, "offsets", operands.offsets, spec.offsets, device);
    Check.offsets(OP, operands.offsets);
    Check.operand(OP, "segmentIds", operands.segmentIds, DType.I32, device);
    Check.vector(OP, "segmentIds", operands.segmentIds, tokens);
    checkRows("q", operands.q, operands);
    checkRows("k", operands.k, operands);
    checkRows("o", operands.o, operands);
    checkRows("local", operands.local, operands);
    checkRows("segment", operands.segment, operands);
    checkFlags(OP, "valid", operands.valid, tokens, device);
    checkFlags(OP, "special", operands.special, tokens, device);
    Buffer p = operands.probabilities;
    checkProbabilities(OP, p, tokens, spec, device);
    Check.disjoint(OP, out, "probabilities", p);
    disjoint("out", out, operands);
    disjoint("probabilities", p, operands);
    disjoint("workspace", operands.workspace, operands);
    Check.disjoint(OP, out, "workspace", operands.workspace);
    Check.disjoint(OP, "probabilities", p, "workspace", operands.workspace);
    long sequences = operands.offsets.shape().dim(0) - 1;
    Check.workspace(OP, operands.workspace, kernel.workspaceBytes(sequences, tokens), device);
  }

  /** A flag a token, or null. */
  static void checkFlags(String op, String name, Buffer flags, long tokens, Device device) {
    if (flags != null) {
      Check.operand(op, name, flags, DType.BOOL, device);
      Check.vector(op, name, flags, tokens);
    }
  }

  /** Probabilities, or null. */
  static void checkProbabilities(String op, Buffer p, long tokens, Spec spec, Device device) {
    if (p != null) {
      Check.operand(op, "probabilities", p, DType.F32, device);
      if (p.shape().rank() != 2 || p.shape().dim(0) != tokens || p.shape().dim(1) != spec.heads) {
        throw new IllegalArgumentException(
            "%s: probabilities has shape %s, expected [%d, %d]"
                .formatted(op, p.shape(), tokens, spec.heads));
      }
      Check.dense(op, "probabilities", p);
      Check.writable(op, "probabilities", p);
    }
  }

  private void checkRows(String name, Buffer rows, Operands operands) {
    Check.operand(OP, name, rows, spec.x, device);
    if (rows.shape().rank() != 2
        || rows.shape().dim(0) != operands.out.shape().dim(0)
        || rows.shape().last() != spec.columns()) {
      Check.shape(OP, name, rows, spec.rowsShape(operands.out.shape().dim(0)));
    }
  }

  private static void disjoint(String name, Buffer written, Operands operands) {
    Check.disjoint(OP, name, written, "q", operands.q);
    Check.disjoint(OP, name, written, "k", operands.k);
    Check.disjoint(OP, name, written, "o", operands.o);
    Check.disjoint(OP, name, written, "local", operands.local);
    Check.disjoint(OP, name, written, "segment", operands.segment);
    Check.disjoint(OP, name, written, "offsets", operands.offsets);
    Check.disjoint(OP, name, written, "segmentIds", operands.segmentIds);
    Check.disjoint(OP, name, written, "valid", operands.valid);
    Check.disjoint(OP, name, written, "special", operands.special);
  }
}
