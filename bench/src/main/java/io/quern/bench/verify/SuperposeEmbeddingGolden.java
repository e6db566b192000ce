package io.quern.bench.verify;

import io.quern.Buffer;
import io.quern.DType;
import io.quern.Shape;
import io.quern.op.Combine;
import io.quern.op.EmbeddingBag;
import io.quern.op.IndexPolicy;
import java.lang.foreign.MemorySegment;
import java.util.Map;
import java.util.Optional;

/** {@code in.embedding, in.tokens, in.weights → out.h}: a weighted bag per row of tokens. */
final class SuperposeEmbeddingGolden implements GoldenOp {
  @Override
  public String name() {
    return "superpose_embedding";
  }

  @Override
  public Optional<String> missingVariant(GoldenCase golden) {
    return Optional.empty();
  }

  @Override
  public Map<String, GoldenTensor> run(GoldenCase golden, Operands operands) {
    GoldenTensor table = golden.input("embedding");
    GoldenTensor tokens = golden.input("tokens");
    long bags = tokens.shape().dim(0);
    var spec =
        EmbeddingBag.Spec.of(
                table.dtype(),
                table.shape().dim(0),
                table.shape().dim(1),
                Combine.SUM,
                IndexPolicy.FAIL)
            .withIndices(tokens.dtype(), DType.I32);
    int[] offsets = new int[(int) bags + 1];
    for (int bag = 0; bag <= bags; bag++) {
      offsets[bag] = (int) (bag * tokens.shape().dim(1));
    }
    Buffer h = operands.output(spec.out(), spec.outputShape(bags));
    EmbeddingBag.plan(operands.device(), spec)
        .run(
            operands.stream(),
            EmbeddingBag.Operands.of(
                    operands.input(table),
                    operands.input(flat(tokens)),
                    operands.input(
                        new GoldenTensor(
                            DType.I32, Shape.of(bags + 1), MemorySegment.ofArray(offsets))),
                    h)
                .withWeights(operands.input(flat(golden.input("weights")))));
    return Map.of("h", operands.result(h));
  }

  private static GoldenTensor flat(GoldenTensor tensor) {
    return new GoldenTensor(tensor.dtype(), Shape.of(tensor.shape().size()), tensor.data());
  }
}
