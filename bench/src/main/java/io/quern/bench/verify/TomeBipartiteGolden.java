package io.quern.bench.verify;

import io.quern.op.Combine;
import io.quern.op.TokenMatch;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.stream.IntStream;

/** {@code in.metric, in.x, in.size}: even tokens into odd ones, then every way of merging. */
final class TomeBipartiteGolden implements GoldenOp {
  @Override
  public String name() {
    return "tome.bipartite_soft_matching";
  }

  @Override
  public Optional<String> missingVariant(GoldenCase golden) {
    return Optional.empty();
  }

  @Override
  public Map<String, GoldenTensor> run(GoldenCase golden, Operands operands) {
    GoldenTensor metric = golden.input("metric");
    GoldenTensor x = golden.input("x");
    int tokens = (int) metric.shape().dim(1);
    var spec =
        TokenMatch.Spec.bipartite(
            metric.dtype(),
            tokens,
            metric.shape().dim(2),
            MergeGolden.flag(golden, "class_token"),
            MergeGolden.flag(golden, "distill_token"),
            MergeGolden.number(golden, "r"));
    MergeGolden merge = new MergeGolden(operands, spec, metric, null);
    Map<String, GoldenTensor> results = merge.merges(x, tokens);
    merge.merge(results, x, Combine.WEIGHTED_MEAN, "wavg_x", null, "wavg_size");
    merge.merge(
        results,
        x,
        Combine.WEIGHTED_MEAN,
        "wavg_sized_x",
        MergeGolden.sizes(golden.input("size")),
        "wavg_sized_size");
    results.put("unmerged", merge.unmerge(results.get("wavg_sized_x"), tokens));
    results.put("source", merge.source());
    if (!spec.isIdentity()) {
      List<Integer> even = IntStream.range(0, tokens).filter(n -> n % 2 == 0).boxed().toList();
      List<Integer> odd = IntStream.range(0, tokens).filter(n -> n % 2 == 1).boxed().toList();
      merge.indices(results, even, odd);
    }
    return results;
  }
}
