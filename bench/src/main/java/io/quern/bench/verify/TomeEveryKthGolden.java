package io.quern.bench.verify;

import io.quern.op.TokenMatch;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.stream.IntStream;

/** {@code in.metric, in.x}: of each k tokens the last is left. */
final class TomeEveryKthGolden implements GoldenOp {
  @Override
  public String name() {
    return "tome.kth_bipartite_soft_matching";
  }

  @Override
  public Optional<String> missingVariant(GoldenCase golden) {
    return Optional.empty();
  }

  @Override
  public Map<String, GoldenTensor> run(GoldenCase golden, Operands operands) {
    GoldenTensor metric = golden.input("metric");
    int tokens = (int) metric.shape().dim(1);
    int k = MergeGolden.number(golden, "k");
    var spec = TokenMatch.Spec.everyKth(metric.dtype(), tokens, metric.shape().dim(2), k);
    MergeGolden merge = new MergeGolden(operands, spec, metric, null);
    int grouped = k <= 1 ? tokens : tokens - tokens % k;
    Map<String, GoldenTensor> results = merge.merges(golden.input("x"), grouped);
    if (!spec.isIdentity()) {
      List<Integer> sources =
          IntStream.range(0, grouped).filter(n -> n % k != k - 1).boxed().toList();
      List<Integer> destinations =
          IntStream.range(0, grouped).filter(n -> n % k == k - 1).boxed().toList();
      merge.indices(results, sources, destinations);
    }
    return results;
  }
}
