package io.quern.bench.verify;

import io.quern.tree.DraftTree;
import io.quern.tree.DySpecTree;
import java.util.Arrays;
import java.util.Map;
import java.util.Optional;

/**
 * {@code in.markov_probs, in.uniforms} → parents, tokens, estimates: the draft model is a Markov
 * chain whose last row is the distribution after the root, which has no token.
 */
final class DySpecGolden implements GoldenOp {
  private static final int NO_TOKEN = -1;

  private final boolean threshold;

  /**
   * @param threshold whether nodes are taken down to an estimate, else up to a budget
   */
  DySpecGolden(boolean threshold) {
    this.threshold = threshold;
  }

  @Override
  public String name() {
    return threshold ? "dyspec_threshold_tree" : "dyspec_dynamic_tree";
  }

  @Override
  public Optional<String> missingVariant(GoldenCase golden) {
    return Optional.empty();
  }

  @Override
  public Map<String, GoldenTensor> run(GoldenCase golden, Operands operands) {
    int vocab = Math.toIntExact(golden.input("markov_probs").shape().last());
    float[] probs = HostArrays.floats(golden.input("markov_probs"));
    GoldenTensor uniforms = golden.input("uniforms");
    DySpecTree tree =
        threshold
            ? DySpecTree.ofThreshold(
                NO_TOKEN,
                (Double) golden.params().get("threshold"),
                integer(golden, "max_depth"),
                integer(golden, "cap"))
            : DySpecTree.ofBudget(NO_TOKEN, integer(golden, "budget"));
    int used = 0;
    for (int node = tree.next(); node >= 0; node = tree.next()) {
      if (tree.needsDistribution()) {
        int last = Arrays.stream(tree.tokens(node)).reduce((a, b) -> b).getAsInt();
        int row = last == NO_TOKEN ? vocab : last;
        tree.distribution(Arrays.copyOfRange(probs, row * vocab, (row + 1) * vocab));
      }
      tree.draw(uniforms.asDouble(used++));
    }
    DraftTree built = tree.tree();
    float[] estimates = new float[built.size()];
    for (int i = 0; i < estimates.length; i++) {
      estimates[i] = (float) tree.estimate(i);
    }
    return Map.of(
        "parents",
        HostArrays.vector(built.parents()),
        "tokens",
        HostArrays.vector(built.tokens()),
        "estimates",
        HostArrays.tensor(estimates, estimates.length),
        "uniforms_used",
        HostArrays.vector(used));
  }

  private static int integer(GoldenCase golden, String parameter) {
    return ((Long) golden.params().get(parameter)).intValue();
  }
}
