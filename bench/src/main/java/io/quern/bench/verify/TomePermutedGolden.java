package io.quern.bench.verify;

import io.quern.op.TokenMatch;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/** {@code in.metric, in.x, in.perm}: the first r tokens of a permutation into the others. */
final class TomePermutedGolden implements GoldenOp {
  @Override
  public String name() {
    return "tome.random_bipartite_soft_matching";
  }

  @Override
  public Optional<String> missingVariant(GoldenCase golden) {
    return Optional.empty();
  }

  @Override
  public Map<String, GoldenTensor> run(GoldenCase golden, Operands operands) {
    GoldenTensor metric = golden.input("metric");
    int batch = (int) metric.shape().dim(0);
    int tokens = (int) metric.shape().dim(1);
    int r = MergeGolden.number(golden, "r");
    var spec = TokenMatch.Spec.permuted(metric.dtype(), tokens, metric.shape().dim(2), r);
    GoldenTensor order = MergeGolden.narrowed(golden.input("perm"), spec.slotShape(batch));
    MergeGolden merge = new MergeGolden(operands, spec, metric, order);
    Map<String, GoldenTensor> results = merge.merges(golden.input("x"), tokens);
    int[][] into = new int[batch][r];
    GoldenTensor slots = operands.result(merge.slot());
    for (int b = 0; b < batch; b++) {
      List<Integer> permutation = new ArrayList<>();
      for (int i = 0; i < tokens; i++) {
        permutation.add((int) order.asLong(b * tokens + i));
      }
      for (int i = 0; i < r; i++) {
        into[b][i] = (int) slots.asLong(b * tokens + permutation.get(i));
      }
    }
    results.put(
        "dst_idx",
        MergeGolden.tensor(
            into)); // only destinations are left, so that their rows are their numbers
    return results;
  }
}
