package io.quern.bench.verify;

import io.quern.Buffer;
import io.quern.op.Combine;
import io.quern.op.EmptyBagPolicy;
import io.quern.op.IndexPolicy;
import io.quern.op.SegmentReduce;
import java.util.Map;
import java.util.Optional;

/** {@code in.x, in.offsets → out.y}; {@code mode} is sum, mean, max or min. */
final class SegmentReduceGolden implements GoldenOp {
  private static final Map<String, Combine> MODES =
      Map.of("sum", Combine.SUM, "mean", Combine.MEAN, "max", Combine.MAX, "min", Combine.MIN);

  @Override
  public String name() {
    return "segment_reduce";
  }

  @Override
  public Optional<String> missingVariant(GoldenCase golden) {
    return golden.unknownParameter(Map.of("mode", MODES.keySet()));
  }

  @Override
  public Map<String, GoldenTensor> run(GoldenCase golden, Operands operands) {
    GoldenTensor x = golden.input("x");
    GoldenTensor offsets = golden.input("offsets");
    var spec =
        new SegmentReduce.Spec(
            x.dtype(),
            offsets.dtype(),
            x.dtype(),
            x.shape().last(),
            MODES.get(golden.params().get("mode")),
            EmptyBagPolicy.ZERO,
            IndexPolicy.FAIL);
    Buffer y = operands.output(spec.out(), spec.outputShape(offsets.shape().size() - 1));
    SegmentReduce.plan(operands.device(), spec)
        .run(
            operands.stream(),
            SegmentReduce.Operands.of(operands.input(x), operands.input(offsets), y));
    return Map.of("y", operands.result(y));
  }
}
