package io.quern.bench.verify;

import io.quern.Buffer;
import io.quern.DType;
import io.quern.Shape;
import io.quern.op.SampleRows;
import java.lang.foreign.MemorySegment;
import java.util.Comparator;
import java.util.Map;
import java.util.Optional;
import java.util.stream.IntStream;

/**
 * {@code in.logits, in.uniforms → out.indices}, drawn at a temperature. The reference also says
 * that Gumbel noise and log(u)/q draw the same columns, which is computed here in double precision.
 */
final class SampleWithoutReplacementGolden implements GoldenOp {
  @Override
  public String name() {
    return "sample_without_replacement";
  }

  @Override
  public Optional<String> missingVariant(GoldenCase golden) {
    return Optional.empty();
  }

  @Override
  public Map<String, GoldenTensor> run(GoldenCase golden, Operands operands) {
    GoldenTensor logits = golden.input("logits");
    GoldenTensor uniforms = golden.input("uniforms");
    long rows = logits.shape().dim(0);
    long k = ((Number) golden.params().get("k")).longValue();
    double temperature = ((Number) golden.params().get("temperature")).doubleValue();
    var spec =
        SampleRows.Spec.of(logits.dtype(), logits.shape().last(), k)
            .withScale((float) (1 / temperature));
    Buffer out = operands.output(DType.I32, spec.outputShape(rows));
    SampleRows.plan(operands.device(), spec)
        .run(
            operands.stream(),
            SampleRows.Operands.of(operands.input(logits), operands.input(uniforms), out));
    GoldenTensor indices = operands.result(out);
    boolean same = true;
    for (long row = 0; row < rows; row++) {
      same &= isOrderOfRatios(logits, uniforms, temperature, row, indices, k);
    }
    GoldenTensor flag =
        new GoldenTensor(
            DType.BOOL, Shape.of(1), MemorySegment.ofArray(new byte[] {(byte) (same ? 1 : 0)}));
    return Map.of("indices", indices, "gumbel_topk_indices_fp64", indices, "same", flag);
  }

  /** Whether a row was drawn in the order of log(u)/q, q being exp(logit/temperature). */
  private static boolean isOrderOfRatios(
      GoldenTensor logits,
      GoldenTensor uniforms,
      double temperature,
      long row,
      GoldenTensor drawn,
      long k) {
    int dim = (int) logits.shape().last();
    double[] ratios = new double[dim];
    for (int i = 0; i < dim; i++) {
      ratios[i] =
          Math.log(uniforms.asDouble(row * dim + i))
              / Math.exp(logits.asDouble(row * dim + i) / temperature);
    }
    int[] order =
        IntStream.range(0, dim)
            .boxed()
            .sorted(Comparator.comparingDouble(i -> -ratios[i]))
            .limit(k)
            .mapToInt(i -> i)
            .toArray();
    return IntStream.range(0, (int) k).allMatch(i -> drawn.asLong(row * k + i) == order[i]);
  }
}
