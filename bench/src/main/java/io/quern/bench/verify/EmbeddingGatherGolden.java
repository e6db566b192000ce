package io.quern.bench.verify;

import io.quern.Buffer;
import io.quern.DType;
import io.quern.op.EmbeddingGather;
import io.quern.op.IndexPolicy;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * {@code in.table, in.ids → out.y}; {@code dtype} and {@code out_dtype} name the types of table and
 * output.
 */
final class EmbeddingGatherGolden implements GoldenOp {
  private static final Map<String, DType> DTYPES =
      Map.of("float32", DType.F32, "float16", DType.F16, "bfloat16", DType.BF16);

  @Override
  public String name() {
    return "embedding_gather";
  }

  @Override
  public Optional<String> missingVariant(GoldenCase golden) {
    return golden.unknownParameter(Map.of("dtype", DTYPES.keySet(), "out_dtype", DTYPES.keySet()));
  }

  @Override
  public Map<String, GoldenTensor> run(GoldenCase golden, Operands operands) {
    GoldenTensor table = golden.input("table");
    GoldenTensor ids = golden.input("ids");
    DType out =
        golden.params().get("out_dtype") instanceof String dtype
            ? DTYPES.get(dtype)
            : table.dtype();
    var spec =
        new EmbeddingGather.Spec(
            table.dtype(),
            ids.dtype(),
            out,
            List.of(table.shape().dim(0)),
            table.shape().dim(1),
            IndexPolicy.FAIL);
    Buffer y = operands.output(out, ids.shape().append(spec.dim()));
    EmbeddingGather.plan(operands.device(), spec)
        .run(operands.stream(), operands.input(table), operands.input(ids), y);
    return Map.of("y", operands.result(y));
  }
}
