package io.quern.bench.verify;

import io.quern.tree.SequoiaTree;
import java.util.Arrays;
import java.util.Map;
import java.util.Optional;

/** {@code in.acceptance_by_rank}, from rank 1 on, → the table and the largest tree. */
final class SequoiaTreeGolden implements GoldenOp {
  @Override
  public String name() {
    return "sequoia_optimal_tree_dp";
  }

  @Override
  public Optional<String> missingVariant(GoldenCase golden) {
    return Optional.empty();
  }

  @Override
  public Map<String, GoldenTensor> run(GoldenCase golden, Operands operands) {
    float[] acceptance = HostArrays.floats(golden.input("acceptance_by_rank"));
    int budget = ((Long) golden.params().get("max_budget")).intValue();
    int levels = ((Long) golden.params().get("max_depth")).intValue();
    SequoiaTree best =
        new SequoiaTree(Arrays.copyOfRange(acceptance, 1, acceptance.length), budget, levels);
    float[] expected = new float[(budget + 1) * (levels + 1)];
    for (int i = 0; i < expected.length; i++) {
      expected[i] = best.expectedLength(i / (levels + 1), i % (levels + 1));
    }
    return Map.of(
        "expected_len",
        HostArrays.tensor(expected, budget + 1, levels + 1),
        "parents",
        HostArrays.vector(best.tree(budget).parents()));
  }
}
