package io.quern.bench.verify;

import io.quern.op.DiffusionMerge;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;

/** Whether and how ToMeSD merges a block. */
final class TomesdPlanGolden implements GoldenOp {
  @Override
  public String name() {
    return "tomesd.compute_merge";
  }

  @Override
  public Optional<String> missingVariant(GoldenCase golden) {
    return Optional.empty();
  }

  @Override
  public Map<String, GoldenTensor> run(GoldenCase golden, Operands operands) {
    throw new IllegalArgumentException("expects no tensors");
  }

  @Override
  public Object value(GoldenCase golden) {
    DiffusionMerge plan =
        DiffusionMerge.of(
            MergeGolden.number(golden, "latent_h"),
            MergeGolden.number(golden, "latent_w"),
            MergeGolden.number(golden, "N"),
            MergeGolden.number(golden, "B"),
            ((Number) golden.params().get("ratio")).doubleValue(),
            MergeGolden.number(golden, "max_downsample"),
            MergeGolden.number(golden, "sx"),
            MergeGolden.number(golden, "sy"),
            MergeGolden.flag(golden, "use_rand"));
    Map<String, Object> call = new LinkedHashMap<>();
    if (plan.applies()) {
      call.put("w", plan.grid().width());
      call.put("h", plan.grid().height());
      call.put("sx", plan.grid().strideX());
      call.put("sy", plan.grid().strideY());
      call.put("r", plan.r());
      call.put("no_rand", !plan.random());
    }
    Map<String, Object> value = new LinkedHashMap<>();
    value.put("applied", plan.applies());
    value.put("call", call);
    for (String module : new String[] {"merge_attn", "merge_crossattn", "merge_mlp"}) {
      value.put(module, plan.applies() && MergeGolden.flag(golden, module) ? "tome" : "identity");
    }
    return value;
  }
}
