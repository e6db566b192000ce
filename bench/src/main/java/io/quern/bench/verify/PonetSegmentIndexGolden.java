package io.quern.bench.verify;

import io.quern.Buffer;
import io.quern.DType;
import io.quern.Shape;
import io.quern.op.PonetSegments;
import java.util.Map;
import java.util.Optional;

/** {@code in.input_ids [B, L] → out.segment_index, out.token_type_mask}. */
final class PonetSegmentIndexGolden implements GoldenOp {
  @Override
  public String name() {
    return "ponet.segment_index";
  }

  @Override
  public Optional<String> missingVariant(GoldenCase golden) {
    return Optional.empty();
  }

  @Override
  public Map<String, GoldenTensor> run(GoldenCase golden, Operands operands) {
    GoldenTensor tokens = golden.input("input_ids");
    PonetBatch batch = new PonetBatch(operands, tokens.shape().dim(0), tokens.shape().dim(1));
    long count = tokens.shape().size();
    var rule =
        new PonetSegments.Rule.Tokens(
            Math.toIntExact((Long) golden.params().get("cls_id")),
            Math.toIntExact((Long) golden.params().get("eos_id")));
    Buffer ids = operands.output(DType.I32, Shape.of(count));
    Buffer special = operands.output(DType.BOOL, Shape.of(count));
    PonetSegments.plan(operands.device(), new PonetSegments.Spec(rule, DType.I32))
        .run(
            operands.stream(),
            operands.input(PonetBatch.integers(tokens)),
            batch.offsets(),
            ids,
            special);
    return Map.of(
        "segment_index", operands.result(ids).reshaped(tokens.shape()),
        "token_type_mask", operands.result(special).reshaped(tokens.shape()));
  }
}
