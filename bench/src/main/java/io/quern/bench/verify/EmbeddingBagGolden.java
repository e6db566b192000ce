package io.quern.bench.verify;

import io.quern.Buffer;
import io.quern.op.Combine;
import io.quern.op.EmbeddingBag;
import io.quern.op.EmptyBagPolicy;
import io.quern.op.IndexPolicy;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;

/** {@code in.table, in.ids, in.offsets, in.weights? → out.y}; {@code mode} is sum, mean or max. */
final class EmbeddingBagGolden implements GoldenOp {
  private static final Map<String, Combine> MODES =
      Map.of("sum", Combine.SUM, "mean", Combine.MEAN, "max", Combine.MAX);

  @Override
  public String name() {
    return "embedding_bag";
  }

  @Override
  public Optional<String> missingVariant(GoldenCase golden) {
    if ("softmax".equals(golden.params().get("weights"))) {
      return Optional.of("softmax weights");
    }
    return golden.unknownParameter(
        Map.of("mode", MODES.keySet(), "weighted", Set.of(true, false), "empty", Set.of("zero")));
  }

  @Override
  public Map<String, GoldenTensor> run(GoldenCase golden, Operands operands) {
    GoldenTensor table = golden.input("table");
    GoldenTensor ids = golden.input("ids");
    GoldenTensor offsets = golden.input("offsets");
    var spec =
        new EmbeddingBag.Spec(
            table.dtype(),
            ids.dtype(),
            offsets.dtype(),
            table.dtype(),
            List.of(table.shape().dim(0)),
            table.shape().dim(1),
            MODES.get(golden.params().get("mode")),
            EmptyBagPolicy.ZERO,
            IndexPolicy.FAIL);
    Buffer y = operands.output(spec.out(), spec.outputShape(offsets.shape().size() - 1));
    var bag =
        EmbeddingBag.Operands.of(
            operands.input(table), operands.input(ids), operands.input(offsets), y);
    if (Boolean.TRUE.equals(golden.params().get("weighted"))) {
      bag = bag.withWeights(operands.input(golden.input("weights")));
    }
    EmbeddingBag.plan(operands.device(), spec).run(operands.stream(), bag);
    return Map.of("y", operands.result(y));
  }
}
