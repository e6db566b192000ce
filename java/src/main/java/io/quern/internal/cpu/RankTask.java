package io.quern.internal.cpu;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;
import static java.lang.foreign.ValueLayout.JAVA_SHORT;

import io.quern.Buffer;
import io.quern.DType;
import io.quern.internal.device.TypedMemory;
import io.quern.internal.kernel.Operator;
import io.quern.op.SampleRows;
import io.quern.op.TopK;
import java.lang.foreign.MemorySegment;

/** The operands of a {@code TopK} or a {@code SampleRows}: rows, of which the first k are kept. */
public abstract class RankTask extends RowTask {
  private static final int BF16_SHIFT = 16;

  private Operator operator;
  private MemorySegment x;
  private long xStride;
  private MemorySegment uniforms;
  private long uniformsStride;
  private MemorySegment seeds;
  private MemorySegment positions;
  private MemorySegment scores;
  private long scoresStride;
  private MemorySegment values;
  private long valuesStride;
  private MemorySegment indices;
  private long indicesStride;

  /** Element type of the rows. */
  protected DType type;

  /** Elements of a row. */
  protected int dim;

  /** Elements kept. */
  protected int k;

  /** Of the noisy score {@code fma(x, scale, −log(−log u))}. */
  protected float scale;

  /** Of seeded numbers. */
  protected int purpose;

  @Override
  protected final Operator operator() {
    return operator;
  }

  /** Takes the operands of a {@code TopK}. */
  public final void topK(TopK.Spec spec, Buffer x, Buffer values, Buffer indices) {
    rank(Operator.TOP_K, spec.x(), spec.dim(), spec.k(), x, values, indices);
    uniforms = null;
    seeds = null;
    scores = null;
  }

  /** Takes the operands of a {@code SampleRows}. */
  public final void sample(SampleRows.Spec spec, SampleRows.Operands of) {
    rank(Operator.SAMPLE_ROWS, spec.x(), spec.dim(), spec.k(), of.x(), of.values(), of.indices());
    uniforms = segment(of.uniforms());
    uniformsStride = strideBytes(of.uniforms());
    seeds = segment(of.seeds());
    positions = segment(of.positions());
    scores = segment(of.scores());
    scoresStride = strideBytes(of.scores());
    scale = spec.scale();
    purpose = spec.purpose();
  }

  private void rank(
      Operator operator, DType type, long dim, long k, Buffer x, Buffer values, Buffer indices) {
    this.operator = operator;
    this.type = type;
    this.dim = (int) dim;
    this.k = (int) k;
    this.x = segment(x);
    this.xStride = strideBytes(x);
    this.values = segment(values);
    this.valuesStride = strideBytes(values);
    this.indices = segment(indices);
    this.indicesStride = strideBytes(indices);
  }

  @Override
  protected void clear() {
    x = null;
    uniforms = null;
    seeds = null;
    positions = null;
    scores = null;
    values = null;
    indices = null;
  }

  private static MemorySegment segment(Buffer buffer) {
    return buffer == null ? null : HostDevice.segment(TypedMemory.of(buffer));
  }

  private static long strideBytes(Buffer buffer) {
    return buffer == null ? 0 : buffer.rowStride() * buffer.dtype().byteSize();
  }

  /** The memory of the rows. */
  protected final MemorySegment x() {
    return x;
  }

  /** The byte where a row begins. */
  protected final long rowOffset(long row) {
    return row * xStride;
  }

  /** The memory of the uniforms, or null. */
  protected final MemorySegment uniforms() {
    return uniforms;
  }

  /** The byte where a row's uniforms begin. */
  protected final long uniformsOffset(long row) {
    return row * uniformsStride;
  }

  /** The seed of a row. */
  protected final long seed(long row) {
    return seeds.get(JAVA_LONG, row * Long.BYTES);
  }

  /** The position of a row. */
  protected final long position(long row) {
    return positions.get(JAVA_LONG, row * Long.BYTES);
  }

  /** An element of a row as F32. */
  protected final float x(long row, long i) {
    long offset = row * xStride + i * type.byteSize();
    return switch (type) {
      case F32 -> x.get(JAVA_FLOAT, offset);
      case F16 -> Float.float16ToFloat(x.get(JAVA_SHORT, offset));
      case BF16 -> Float.intBitsToFloat(x.get(JAVA_SHORT, offset) << BF16_SHIFT);
      default -> throw new AssertionError(type);
    };
  }

  /** The uniform of an element. */
  protected final float uniform(long row, long i) {
    return uniforms != null
        ? uniforms.get(JAVA_FLOAT, row * uniformsStride + i * Float.BYTES)
        : Philox.uniform(seed(row), position(row), purpose, i);
  }

  /** Whether scores are wanted. */
  protected final boolean wantsScores() {
    return scores != null;
  }

  /** Writes what was found for a rank. */
  protected final void emit(long row, long rank, long index) {
    indices.set(JAVA_INT, row * indicesStride + rank * Integer.BYTES, (int) index);
    if (values != null) {
      values.set(JAVA_FLOAT, row * valuesStride + rank * Float.BYTES, x(row, index));
    }
  }

  /** Writes the score of a rank. */
  protected final void emitScore(long row, long rank, float score) {
    scores.set(JAVA_FLOAT, row * scoresStride + rank * Float.BYTES, score);
  }
}
