package io.quern.internal.cpu;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static java.lang.foreign.ValueLayout.JAVA_INT;

import io.quern.Buffer;
import io.quern.internal.device.TypedMemory;
import io.quern.internal.kernel.Operator;
import io.quern.op.BeamExpand;
import java.lang.foreign.MemorySegment;

/** The operands of a {@code BeamExpand}; a row of output is a request. */
public abstract class BeamTask extends RowTask {
  private MemorySegment tokens;
  private long tokensStride;
  private MemorySegment outParents;
  private long outParentsStride;
  private MemorySegment outTokens;
  private long outTokensStride;
  private MemorySegment outScores;
  private long outScoresStride;
  private MemorySegment outPerturbed;
  private long outPerturbedStride;
  private MemorySegment outWeights;
  private long outWeightsStride;

  /** Log-probabilities or probabilities, by list. */
  protected final Rows inputs = new Rows();

  /** Log-probabilities with noise, by beam. */
  protected final Rows noisy = new Rows();

  /** Added to inputs, by beam; may be absent. */
  protected final Rows bias = new Rows();

  /** Beams' own scores, by request. */
  protected final Rows scores = new Rows();

  /** Beams' own G, by request. */
  protected final Rows perturbed = new Rows();

  /** What is expanded. */
  protected BeamExpand.Spec spec;

  /** An F32 matrix. */
  protected static final class Rows {
    private MemorySegment segment;
    private long stride;

    private void set(Buffer buffer) {
      segment = buffer == null ? null : BeamTask.segment(buffer);
      stride = buffer == null ? 0 : strideBytes(buffer);
    }

    /** Whether there is none. */
    public boolean isAbsent() {
      return segment == null;
    }

    /** An element. */
    public float at(long row, long column) {
      return segment.get(JAVA_FLOAT, row * stride + column * Float.BYTES);
    }

    /** Copies the beginning of a row to element {@code at} of an array. */
    public void copy(long row, float[] target, int at, int n) {
      if (n > 0) { // rows without elements have no place in memory
        MemorySegment.copy(segment, JAVA_FLOAT, row * stride, target, at, n);
      }
    }
  }

  @Override
  protected final Operator operator() {
    return Operator.BEAM_EXPAND;
  }

  /** Takes the operands of a call. */
  public final void expand(BeamExpand.Spec spec, BeamExpand.Operands of) {
    this.spec = spec;
    tokens = segment(of.tokens());
    tokensStride = strideBytes(of.tokens());
    inputs.set(of.inputs());
    noisy.set(of.noisy());
    bias.set(of.bias());
    scores.set(of.scores());
    perturbed.set(of.perturbed());
    outParents = segment(of.outParents());
    outParentsStride = strideBytes(of.outParents());
    outTokens = segment(of.outTokens());
    outTokensStride = strideBytes(of.outTokens());
    outScores = segment(of.outScores());
    outScoresStride = strideBytes(of.outScores());
    outPerturbed = of.outPerturbed() == null ? null : segment(of.outPerturbed());
    outPerturbedStride = of.outPerturbed() == null ? 0 : strideBytes(of.outPerturbed());
    outWeights = of.outWeights() == null ? null : segment(of.outWeights());
    outWeightsStride = of.outWeights() == null ? 0 : strideBytes(of.outWeights());
  }

  @Override
  protected void clear() {
    tokens = null;
    inputs.set(null);
    noisy.set(null);
    bias.set(null);
    scores.set(null);
    perturbed.set(null);
    outParents = null;
    outTokens = null;
    outScores = null;
    outPerturbed = null;
    outWeights = null;
  }

  private static MemorySegment segment(Buffer buffer) {
    return HostDevice.segment(TypedMemory.of(buffer));
  }

  private static long strideBytes(Buffer buffer) {
    return buffer.rowStride() * buffer.dtype().byteSize();
  }

  /** The row of a beam. */
  protected final long beamRow(long request, int beam) {
    return request * spec.beams() + beam;
  }

  /** The row of a beam's list of candidates. */
  protected final long list(long request, int beam) {
    return spec.shared() ? request : beamRow(request, beam);
  }

  /** A candidate's token; below 0 there is none. */
  protected final int token(long list, int candidate) {
    return tokens.get(JAVA_INT, list * tokensStride + (long) candidate * Integer.BYTES);
  }

  /** Writes the extension of a rank. */
  protected final void emit(
      long request, long rank, int parent, int token, float score, float perturbed) {
    outParents.set(JAVA_INT, request * outParentsStride + rank * Integer.BYTES, parent);
    outTokens.set(JAVA_INT, request * outTokensStride + rank * Integer.BYTES, token);
    outScores.set(JAVA_FLOAT, request * outScoresStride + rank * Float.BYTES, score);
    if (outPerturbed != null) {
      outPerturbed.set(JAVA_FLOAT, request * outPerturbedStride + rank * Float.BYTES, perturbed);
    }
  }

  /** Writes that a rank has no extension. */
  protected final void emitNothing(long request, long rank) {
    emit(request, rank, -1, -1, Float.NEGATIVE_INFINITY, Float.NEGATIVE_INFINITY);
  }

  /** Whether weights are wanted. */
  protected final boolean wantsWeights() {
    return outWeights != null;
  }

  /** The score that was written for a rank. */
  protected final float keptScore(long request, long rank) {
    return outScores.get(JAVA_FLOAT, request * outScoresStride + rank * Float.BYTES);
  }

  /** Writes the weight of a rank. */
  protected final void emitWeight(long request, long rank, float weight) {
    outWeights.set(JAVA_FLOAT, request * outWeightsStride + rank * Float.BYTES, weight);
  }
}
