package io.quern.op;

import io.quern.Buffer;
import io.quern.DType;
import io.quern.Device;
import io.quern.Shape;
import io.quern.Stream;
import io.quern.internal.device.QueueStream;
import io.quern.internal.kernel.KernelProvider;
import io.quern.internal.kernel.PonetChunksKernel;
import java.util.Objects;

/**
 * {@link PonetPooling} of one document that does not fit into memory: it passes by three times, in
 * chunks, and comes out with the bits it would have as a whole.
 *
 * <ol>
 *   <li>{@link #start}, then {@link #queries} of all chunks in order: the mean query.
 *   <li>{@link #keys} of all chunks in order: the softmax over the keys, and the segments' maxima.
 *   <li>{@link #fuse} of all chunks, in any order: the output.
 * </ol>
 *
 * <p>A chunk begins at a multiple of {@value #MULTIPLE} tokens of the document and has as many as
 * one likes; passes may be cut differently. What is carried is the caller's: {@code state}, whose
 * size depends on the spec only, and {@code segmentMax}, a row for each segment of the document, so
 * that a segment may span chunks and ids may be in any order. What is in them means something to
 * these passes on this device only. The window of a chunk's last tokens reaches into the next
 * chunk, and that of its first ones into the one before: {@code local} holds up to {@code window /
 * 2} rows of each besides the chunk's own.
 *
 * <p>Formulae, padding, the CLS/SEP rule, probabilities and order are those of {@link
 * PonetPooling}; the spec's dtype of offsets does not matter. A valid token whose segment id is
 * outside [0, segments) is reported by its position in the document and gets a row of zeros.
 *
 * <p>A plan is immutable and thread-safe. No pass allocates, none waits on CUDA, and each can be
 * captured into a {@link io.quern.Graph}.
 */
public final class PonetChunks {
  private static final String OP = "PonetChunks";

  /** Chunks begin at multiples of so many tokens. */
  public static final int MULTIPLE = 64;

  /**
   * Operands of the first pass.
   *
   * @param position the document's token with which the chunk begins
   * @param q [N, C], any row stride
   * @param valid BOOL [N], or null: no token is padding
   * @param state U8, {@link #stateBytes}
   * @param workspace U8, at least {@link #workspaceBytes}
   */
  public record Queries(long position, Buffer q, Buffer valid, Buffer state, Buffer workspace) {}

  /**
   * Operands of the second pass.
   *
   * @param position the document's token with which the chunk begins
   * @param k keys, which are the values too, [N, C], any row stride, as segment
   * @param segment what the segment maximum is taken of
   * @param segmentIds I32 [N]: the segment of each token in the document
   * @param valid BOOL [N], or null: no token is padding
   * @param probabilities F32 [N, heads], dense, or null: becomes the scores, of which {@link #fuse}
   *     makes probabilities
   * @param state U8, {@link #stateBytes}
   * @param segmentMax F32 [segments, C], dense
   * @param workspace U8, at least {@link #workspaceBytes}
   */
  public record Keys(
      long position,
      Buffer k,
      Buffer segment,
      Buffer segmentIds,
      Buffer valid,
      Buffer probabilities,
      Buffer state,
      Buffer segmentMax,
      Buffer workspace) {}

  /**
   * Operands of the third pass.
   *
   * @param position the document's token with which the chunk begins
   * @param before how many rows of local, valid and special are of the tokens before the chunk:
   *     {@code window / 2}, or {@code position} if that is less
   * @param o [N, C], any row stride
   * @param local [before + N + after, C], any row stride; {@code after} is {@code window / 2}, or
   *     as many tokens as follow the chunk
   * @param segmentIds I32 [N]
   * @param valid BOOL [before + N + after], or null: no token is padding
   * @param special BOOL [before + N + after], or null: no CLS/SEP rule
   * @param state U8, {@link #stateBytes}
   * @param segmentMax F32 [segments, C], dense
   * @param out [N, C], any row stride; overlaps no other operand
   * @param probabilities F32 [N, heads], dense, or null: scores become probabilities
   */
  public record Fusion(
      long position,
      int before,
      Buffer o,
      Buffer local,
      Buffer segmentIds,
      Buffer valid,
      Buffer special,
      Buffer state,
      Buffer segmentMax,
      Buffer out,
      Buffer probabilities) {}

  private final Device device;
  private final PonetPooling.Spec spec;
  private final PonetChunksKernel kernel;

  private PonetChunks(Device device, PonetPooling.Spec spec) {
    this.device = device;
    this.spec = spec;
    this.kernel = KernelProvider.of(device).ponetChunks().prepare(device, spec);
  }

  /**
   * Prepares the passes for a device; loads every kernel they may launch.
   *
   * @throws IllegalStateException if the device is closed
   */
  public static PonetChunks plan(Device device, PonetPooling.Spec spec) {
    return new PonetChunks(
        Objects.requireNonNull(device, "device"), Objects.requireNonNull(spec, "spec"));
  }

  /** What this plan pools. */
  public PonetPooling.Spec spec() {
    return spec;
  }

  /** Bytes of a document's state. */
  public long stateBytes() {
    return stateBytes(spec);
  }

  /** The same of a spec, on any device: two counts, then F32s; see the kernels. */
  public static long stateBytes(PonetPooling.Spec spec) {
    long floats = 2L * spec.columns() + 2L * spec.heads();
    return Math.ceilDiv(2 * Long.BYTES + floats * Float.BYTES, 16) * 16;
  }

  /** Bytes of scratch that a pass over so many tokens needs. */
  public long workspaceBytes(long tokens) {
    return kernel.workspaceBytes(tokens);
  }

  /**
   * Begins a document.
   *
   * @param stream a stream of the plan's device
   * @param state U8, {@link #stateBytes}, aligned to 16 bytes
   * @param segmentMax F32 [segments, C], dense
   * @throws IllegalArgumentException if an operand does not fit; nothing is written then
   */
  public void start(Stream stream, Buffer state, Buffer segmentMax) {
    QueueStream queue = QueueStream.of(stream, device, OP);
    checkCarried(state, segmentMax, true);
    Check.disjoint(OP, "state", state, "segmentMax", segmentMax);
    queue.begin();
    try {
      queue.hold(state);
      queue.hold(segmentMax);
      kernel.start(queue, state, segmentMax);
    } finally {
      queue.end();
    }
  }

  /**
   * The first pass over a chunk.
   *
   * @param stream a stream of the plan's device
   * @throws IllegalArgumentException if an operand does not fit; nothing is written then
   * @throws IllegalStateException if an operand or the stream is closed
   */
  public void queries(Stream stream, Queries operands) {
    QueueStream queue = QueueStream.of(stream, device, OP);
    checkPosition(operands.position);
    Check.operand(OP, "q", operands.q, spec.x(), device);
    Check.rows(OP, "q", operands.q, spec.columns());
    long tokens = operands.q.shape().dim(0);
    PonetPooling.checkFlags(OP, "valid", operands.valid, tokens, device);
    checkState(operands.state, true);
    Check.disjoint(OP, "state", operands.state, "q", operands.q);
    Check.disjoint(OP, "state", operands.state, "valid", operands.valid);
    Check.disjoint(OP, "workspace", operands.workspace, "q", operands.q);
    Check.disjoint(OP, "workspace", operands.workspace, "valid", operands.valid);
    Check.disjoint(OP, "workspace", operands.workspace, "state", operands.state);
    Check.workspace(OP, operands.workspace, kernel.workspaceBytes(tokens), device);
    queue.begin();
    try {
      queue.hold(operands.q);
      queue.hold(operands.valid);
      queue.hold(operands.state);
      queue.hold(operands.workspace);
      if (tokens > 0) {
        kernel.queries(queue, operands);
      }
    } finally {
      queue.end();
    }
  }

  /**
   * The second pass over a chunk.
   *
   * @param stream a stream of the plan's device
   * @throws IllegalArgumentException if an operand does not fit; nothing is written then
   * @throws IllegalStateException if an operand or the stream is closed
   */
  public void keys(Stream stream, Keys operands) {
    QueueStream queue = QueueStream.of(stream, device, OP);
    checkPosition(operands.position);
    Check.operand(OP, "k", operands.k, spec.x(), device);
    Check.rows(OP, "k", operands.k, spec.columns());
    long tokens = operands.k.shape().dim(0);
    Check.operand(OP, "segment", operands.segment, spec.x(), device);
    Check.shape(OP, "segment", operands.segment, tokens, spec.columns());
    Check.operand(OP, "segmentIds", operands.segmentIds, DType.I32, device);
    Check.vector(OP, "segmentIds", operands.segmentIds, tokens);
    PonetPooling.checkFlags(OP, "valid", operands.valid, tokens, device);
    PonetPooling.checkProbabilities(OP, operands.probabilities, tokens, spec, device);
    checkCarried(operands.state, operands.segmentMax, true);
    disjoint("state", operands.state, operands);
    disjoint("segmentMax", operands.segmentMax, operands);
    disjoint("probabilities", operands.probabilities, operands);
    disjoint("workspace", operands.workspace, operands);
    Check.disjoint(OP, "segmentMax", operands.segmentMax, "state", operands.state);
    Check.disjoint(OP, "probabilities", operands.probabilities, "state", operands.state);
    Check.disjoint(OP, "probabilities", operands.probabilities, "segmentMax", operands.segmentMax);
    Check.disjoint(OP, "workspace", operands.workspace, "state", operands.state);
    Check.disjoint(OP, "workspace", operands.workspace, "segmentMax", operands.segmentMax);
    Check.disjoint(OP, "workspace", operands.workspace, "probabilities", operands.probabilities);
    Check.workspace(OP, operands.workspace, kernel.workspaceBytes(tokens), device);
    queue.begin();
    try {
      queue.hold(operands.k);
      queue.hold(operands.segment);
      queue.hold(operands.segmentIds);
      queue.hold(operands.valid);
      queue.hold(operands.probabilities);
      queue.hold(operands.state);
      queue.hold(operands.segmentMax);
      queue.hold(operands.workspace);
      if (tokens > 0) {
        kernel.keys(queue, operands);
      }
    } finally {
      queue.end();
    }
  }

  /**
   * The third pass over a chunk.
   *
   * @param stream a stream of the plan's device
   * @throws IllegalArgumentException if an operand does not fit; nothing is written then
   * @throws IllegalStateException if an operand or the stream is closed
   * @throws io.quern.InvalidDataException on a CPU, for a bad segment id
   */
  public void fuse(Stream stream, Fusion operands) {
    QueueStream queue = QueueStream.of(stream, device, OP);
    checkPosition(operands.position);
    Buffer out = operands.out;
    Check.operand(OP, "out", out, spec.out(), device);
    Check.rows(OP, "out", out, spec.columns());
    Check.writable(OP, "out", out);
    long tokens = out.shape().dim(0);
    Check.operand(OP, "o", operands.o, spec.x(), device);
    Check.shape(OP, "o", operands.o, tokens, spec.columns());
    checkContext(operands, tokens);
    long context = operands.local.shape().dim(0);
    Check.operand(OP, "segmentIds", operands.segmentIds, DType.I32, device);
    Check.vector(OP, "segmentIds", operands.segmentIds, tokens);
    PonetPooling.checkFlags(OP, "valid", operands.valid, context, device);
    PonetPooling.checkFlags(OP, "special", operands.special, context, device);
    PonetPooling.checkProbabilities(OP, operands.probabilities, tokens, spec, device);
    checkCarried(operands.state, operands.segmentMax, false);
    disjoint("out", out, operands);
    disjoint("probabilities", operands.probabilities, operands);
    Check.disjoint(OP, out, "probabilities", operands.probabilities);
    queue.begin();
    try {
      queue.hold(operands.o);
      queue.hold(operands.local);
      queue.hold(operands.segmentIds);
      queue.hold(operands.valid);
      queue.hold(operands.special);
      queue.hold(operands.state);
      queue.hold(operands.segmentMax);
      queue.hold(out);
      queue.hold(operands.probabilities);
      if (tokens > 0) {
        kernel.fuse(queue, operands);
      }
    } finally {
      queue.end();
    }
  }

  private static void checkPosition(long position) {
    if (position < 0 || position % MULTIPLE != 0) {
      throw new IllegalArgumentException(
          "%s: position is %d, expected a multiple of %d".formatted(OP, position, MULTIPLE));
    }
  }

  private void checkState(Buffer state, boolean written) {
    Check.operand(OP, "state", state, DType.U8, device);
    Check.vector(OP, "state", state, stateBytes());
    if (written) {
      Check.writable(OP, "state", state);
    }
    Check.aligned(OP, "state", state);
  }

  private void checkCarried(Buffer state, Buffer segmentMax, boolean written) {
    checkState(state, written);
    Check.operand(OP, "segmentMax", segmentMax, DType.F32, device);
    Check.rows(OP, "segmentMax", segmentMax, spec.columns());
    Check.dense(OP, "segmentMax", segmentMax);
    if (written) {
      Check.writable(OP, "segmentMax", segmentMax);
    }
  }

  /** Rows of other chunks that windows reach. */
  private void checkContext(Fusion operands, long tokens) {
    int reach = spec.window() / 2;
    long before = Math.min(reach, operands.position);
    if (operands.before != before) {
      throw new IllegalArgumentException(
          "%s: before is %d, expected %d".formatted(OP, operands.before, before));
    }
    Check.operand(OP, "local", operands.local, spec.x(), device);
    Check.rows(OP, "local", operands.local, spec.columns());
    long after = operands.local.shape().dim(0) - before - tokens;
    if (after < 0 || after > reach) {
      throw new IllegalArgumentException(
          "%s: local has shape %s, expected %s to %s"
              .formatted(
                  OP,
                  operands.local.shape(),
                  Shape.of(before + tokens, spec.columns()),
                  Shape.of(before + tokens + reach, spec.columns())));
    }
  }

  private static void disjoint(String name, Buffer written, Keys operands) {
    Check.disjoint(OP, name, written, "k", operands.k);
    Check.disjoint(OP, name, written, "segment", operands.segment);
    Check.disjoint(OP, name, written, "segmentIds", operands.segmentIds);
    Check.disjoint(OP, name, written, "valid", operands.valid);
  }

  private static void disjoint(String name, Buffer written, Fusion operands) {
    Check.disjoint(OP, name, written, "o", operands.o);
    Check.disjoint(OP, name, written, "local", operands.local);
    Check.disjoint(OP, name, written, "segmentIds", operands.segmentIds);
    Check.disjoint(OP, name, written, "valid", operands.valid);
    Check.disjoint(OP, name, written, "special", operands.special);
    Check.disjoint(OP, name, written, "state", operands.state);
    Check.disjoint(OP, name, written, "segmentMax", operands.segmentMax);
  }
}
