package io.quern.op;

import io.quern.DType;
import io.quern.Shape;
import io.quern.internal.cpu.Philox;
import io.quern.internal.scalar.CanonicalMath;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.function.IntPredicate;
import java.util.function.IntToDoubleFunction;
import java.util.stream.IntStream;

/**
 * Ranking, sampling and beams once more, written from their documentation on Java arrays. Of the
 * back ends it shares what is tested apart: exp, log, log1p and Philox.
 */
final class RowsReference {
  /** Rows go in pieces of so many, which no case here exceeds. */
  private static final int PIECE = 4096;

  private RowsReference() {}

  /** An output whose rows a reference writes. */
  private static final class Matrix {
    private final String name;
    private final DType dtype;
    private final boolean strided;
    private final int columns;
    private final byte[] bytes;

    Matrix(String name, DType dtype, boolean strided, long rows, long columns) {
      this.name = name;
      this.dtype = dtype;
      this.strided = strided;
      this.columns = (int) columns;
      this.bytes =
          PreparedCase.poison(
              PreparedCase.elements(strided, Shape.of(rows, columns)) * Integer.BYTES);
    }

    void set(long row, long column, int bits) {
      int at = (int) PreparedCase.position(strided, row, column, columns) * Integer.BYTES;
      for (int b = 0; b < Integer.BYTES; b++) {
        bytes[at + b] = (byte) (bits >> 8 * b);
      }
    }

    void set(long row, long column, float value) {
      set(row, column, Float.floatToRawIntBits(value));
    }

    Outcome.Output output() {
      return new Outcome.Output(name, dtype, bytes);
    }
  }

  static float decode(DType dtype, int bits) {
    return switch (dtype) {
      case F32 -> Float.intBitsToFloat(bits);
      case F16 -> Float.float16ToFloat((short) bits);
      default -> Float.intBitsToFloat(bits << 16);
    };
  }

  /** Indices that exist in the order (value descending, index ascending), NaN last. */
  private static int[] order(int n, IntPredicate exists, IntToDoubleFunction value) {
    Comparator<Integer> descending =
        Comparator.comparingDouble(
            i -> {
              double x = value.applyAsDouble(i);
              return x == 0 ? 0.0 : -x; // NaN is the greatest of all in this comparison
            });
    return IntStream.range(0, n)
        .filter(exists)
        .boxed()
        .sorted(descending.thenComparing(Comparator.naturalOrder()))
        .mapToInt(i -> i)
        .toArray();
  }

  static Outcome topK(TopKCases.Case of) {
    TopK.Spec spec = of.spec();
    RandomRows x = of.x();
    boolean strided = of.traits().contains(Trait.STRIDED);
    Matrix values = new Matrix("values", DType.F32, strided, of.rows(), spec.k());
    Matrix indices = new Matrix("indices", DType.I32, strided, of.rows(), spec.k());
    for (int r = 0; r < of.rows(); r++) {
      long row = r;
      int[] order = order((int) spec.dim(), i -> true, i -> decode(spec.x(), x.bits(row, i)));
      for (int j = 0; j < spec.k(); j++) {
        values.set(r, j, decode(spec.x(), x.bits(r, order[j])));
        indices.set(r, j, order[j]);
      }
    }
    return new Outcome(
        of.withValues() ? List.of(values.output(), indices.output()) : List.of(indices.output()),
        null);
  }

  static Outcome sample(SampleRowsCases.Case of) {
    SampleRows.Spec spec = of.spec();
    SampleRowsCases.Inputs in = of.inputs();
    boolean strided = of.traits().contains(Trait.STRIDED);
    Matrix scores = new Matrix("scores", DType.F32, strided, of.rows(), spec.k());
    Matrix values = new Matrix("values", DType.F32, strided, of.rows(), spec.k());
    Matrix indices = new Matrix("indices", DType.I32, strided, of.rows(), spec.k());
    int dim = (int) spec.dim();
    for (int r = 0; r < of.rows(); r++) {
      float[] score = new float[dim];
      for (int i = 0; i < dim; i++) {
        float u =
            in.uniforms() != null
                ? in.uniforms()[r * dim + i]
                : Philox.uniform(in.seeds()[r], in.positions()[r], spec.purpose(), i);
        float x = decode(spec.x(), in.x().bits(r, i));
        score[i] = Math.fma(x, spec.scale(), -CanonicalMath.log(-CanonicalMath.log(u)));
      }
      int[] order = order(dim, i -> true, i -> score[i]);
      for (int j = 0; j < spec.k(); j++) {
        scores.set(r, j, score[order[j]]);
        values.set(r, j, decode(spec.x(), in.x().bits(r, order[j])));
        indices.set(r, j, order[j]);
      }
    }
    return new Outcome(
        of.withAll()
            ? List.of(scores.output(), values.output(), indices.output())
            : List.of(indices.output()),
        null);
  }

  static Outcome expand(BeamExpandCases.Case of) {
    BeamExpand.Spec spec = of.spec();
    BeamExpandCases.Inputs in = of.inputs();
    boolean strided = of.traits().contains(Trait.STRIDED);
    boolean stochastic = spec.mode() == BeamExpand.Mode.STOCHASTIC;
    int keep = spec.keep();
    int candidates = spec.candidates();
    Matrix parents = new Matrix("outParents", DType.I32, strided, of.requests(), keep);
    Matrix tokens = new Matrix("outTokens", DType.I32, strided, of.requests(), keep);
    Matrix scores = new Matrix("outScores", DType.F32, strided, of.requests(), keep);
    Matrix perturbed = new Matrix("outPerturbed", DType.F32, strided, of.requests(), keep);
    Matrix weights = new Matrix("outWeights", DType.F32, strided, of.requests(), keep);
    int n = spec.beams() * candidates;
    for (int request = 0; request < of.requests(); request++) {
      float[] sum = new float[n];
      float[] noise = new float[n];
      int[] token = new int[n];
      for (int beam = 0; beam < spec.beams(); beam++) {
        int row = request * spec.beams() + beam;
        int list = spec.shared() ? request : row;
        float[] probabilities = new float[candidates];
        float greatest = Float.NEGATIVE_INFINITY;
        for (int c = 0; c < candidates; c++) {
          int at = beam * candidates + c;
          token[at] = in.tokens()[list * candidates + c];
          if (token[at] >= 0) {
            probabilities[c] = in.inputs()[list * candidates + c];
            if (stochastic) {
              float g = in.scores()[row] + in.noisy()[row * candidates + c];
              greatest = g > greatest ? g : greatest;
            }
          }
        }
        float total = spec.probabilities() ? sum(probabilities) : 0;
        for (int c = 0; c < candidates; c++) {
          int at = beam * candidates + c;
          float x = in.inputs()[list * candidates + c];
          x = spec.probabilities() ? CanonicalMath.log(x / total) : x;
          sum[at] =
              in.scores()[row]
                  + (in.bias() == null
                      ? spec.scale() * x
                      : Math.fma(spec.scale(), x, in.bias()[row * candidates + c]));
          if (stochastic) {
            float g = in.scores()[row] + in.noisy()[row * candidates + c];
            float own = in.perturbed()[row];
            float v = (own - g) + CanonicalMath.log1p(-CanonicalMath.exp(g - greatest));
            noise[at] =
                (own - (v > 0 ? v : 0)) - CanonicalMath.log1p(CanonicalMath.exp(-Math.abs(v)));
          }
        }
      }
      int[] order =
          order(
              n,
              i -> token[i] >= 0 && !(sum[i] < spec.threshold()),
              i -> stochastic ? noise[i] : sum[i]);
      float[] kept = new float[keep];
      for (int j = 0; j < keep; j++) {
        boolean is = j < order.length;
        kept[j] = is ? sum[order[j]] : Float.NEGATIVE_INFINITY;
        parents.set(request, j, is ? order[j] / candidates : -1);
        tokens.set(request, j, is ? token[order[j]] : -1);
        scores.set(request, j, kept[j]);
        perturbed.set(request, j, is ? noise[order[j]] : Float.NEGATIVE_INFINITY);
      }
      float max = Float.NEGATIVE_INFINITY;
      for (float score : kept) {
        max = Math.max(max, score);
      }
      float[] exponentials = new float[keep];
      for (int j = 0; j < keep; j++) {
        exponentials[j] = CanonicalMath.exp(kept[j] - max);
      }
      float total = sum(exponentials);
      for (int j = 0; j < keep; j++) {
        weights.set(request, j, max == Float.NEGATIVE_INFINITY ? 0 : exponentials[j] / total);
      }
    }
    List<Outcome.Output> outputs = new ArrayList<>();
    outputs.add(parents.output());
    outputs.add(tokens.output());
    outputs.add(scores.output());
    if (stochastic) {
      outputs.add(perturbed.output());
    }
    if (of.withWeights()) {
      outputs.add(weights.output());
    }
    return new Outcome(outputs, null);
  }

  /** 64 partial sums by position modulo 64, then halves added to halves. */
  private static float sum(float[] x) {
    if (x.length > PIECE) {
      throw new AssertionError("this reference adds up one piece");
    }
    float[] partials = new float[64];
    for (int i = 0; i < x.length; i++) {
      partials[i % 64] += x[i];
    }
    for (int half = 32; half > 0; half /= 2) {
      for (int p = 0; p < half; p++) {
        partials[p] += partials[p + half];
      }
    }
    return 0 + partials[0];
  }
}
