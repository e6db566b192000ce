package io.quern.bench.verify;

import io.quern.DType;
import io.quern.op.Distribution;
import io.quern.op.RejectionRule;
import io.quern.op.RejectionVerify;
import java.util.Map;
import java.util.Optional;

/**
 * A tree by leaf paths, its rows of logits, and coins in the order in which distinct tokens are
 * tested; with a table of neighbours LANTERN's rules.
 */
final class StochasticPathsGolden implements GoldenOp {
  private final boolean relaxed;

  /** EAGLE's {@code evaluate_posterior}. */
  static StochasticPathsGolden eagle() {
    return new StochasticPathsGolden(false);
  }

  /** LANTERN's. */
  static StochasticPathsGolden lantern() {
    return new StochasticPathsGolden(true);
  }

  private StochasticPathsGolden(boolean relaxed) {
    this.relaxed = relaxed;
  }

  @Override
  public String name() {
    return relaxed ? "lantern_relaxed_verify" : "tree_verify_paths_stochastic";
  }

  @Override
  public Optional<String> missingVariant(GoldenCase golden) {
    Object mode = golden.params().getOrDefault("mode", "stoch");
    return mode.equals("stoch") || mode.equals("greedy")
        ? Optional.empty()
        : Optional.of("mode=" + mode);
  }

  @Override
  public Map<String, GoldenTensor> run(GoldenCase golden, Operands operands) {
    boolean greedy = "greedy".equals(golden.params().get("mode"));
    RejectionCall call = call(golden);
    int vocab = (int) golden.input("tree_logits").shape().last();
    GoldenTensor paths = golden.input("retrieve_indices");
    int width = (int) paths.shape().dim(1);
    RejectionVerify.Spec spec =
        relaxed
            ? RejectionVerify.Spec.relaxed(
                greedy ? RejectionRule.RELAXED_GREEDY : RejectionRule.RELAXED,
                vocab,
                width,
                relaxation(golden, ((Number) golden.params().get("delta")).floatValue()))
            : RejectionVerify.Spec.of(RejectionRule.POINT_DRAFTS, vocab, width)
                .withTarget(Distribution.LOGITS, DType.F32);
    RejectionCall.Result result = call.run(spec, operands);
    int[] path = result.path().getFirst();
    float[] row = result.distribution().getFirst();
    if (greedy) { // the reference returns logits
      RejectionCall.copy(
          golden.input("tree_logits"), (long) path[path.length - 1] * vocab, row, 0, vocab);
    }
    GoldenTensor best = number(golden, "best_candidate", RejectionCall.rowOf(paths, path));
    GoldenTensor length = number(golden, "accept_length", path.length - 1);
    GoldenTensor used = number(golden, "uniforms_used", greedy ? 0 : call.testsOf(path));
    if (!relaxed) {
      return Map.of(
          "best_candidate", best,
          "accept_length", length,
          "uniforms_used", used,
          "sample_p", RejectionCall.tensor(row, golden.output("sample_p").shape()));
    }
    RejectionCall.Result plain =
        call(golden)
            .run(
                RejectionVerify.Spec.relaxed(
                    RejectionRule.RELAXED_GREEDY, vocab, width, relaxation(golden, 0)),
                operands);
    return Map.of(
        "best_candidate", best,
        "accept_length", length,
        "uniforms_used", used,
        "sample_p_or_logits",
            RejectionCall.tensor(row, golden.output("sample_p_or_logits").shape()),
        "greedy_accept_length_no_relax",
            number(golden, "greedy_accept_length_no_relax", plain.path().getFirst().length - 1));
  }

  private static RejectionVerify.Relaxation relaxation(GoldenCase golden, float delta) {
    return new RejectionVerify.Relaxation(
        delta, ((Number) golden.params().get("k")).intValue(), DType.I32);
  }

  private RejectionCall call(GoldenCase golden) {
    GoldenTensor logits = golden.input("tree_logits");
    int nodes = (int) logits.shape().dim(0);
    int vocab = (int) logits.shape().dim(1);
    RejectionCall call = new RejectionCall(1, nodes, vocab);
    System.arraycopy(RejectionCall.ints(golden.input("tree_tokens")), 0, call.tokens, 0, nodes);
    RejectionCall.copy(logits, 0, call.target, 0, nodes * vocab);
    RejectionCall.copy(golden.input("uniforms"), 0, call.uniforms, 0, nodes);
    call.paths(golden.input("retrieve_indices"));
    if (golden.params().get("temperature") instanceof Number temperature) {
      call.temperature = temperature.floatValue();
    }
    if (relaxed) {
      call.nearest = RejectionCall.ints(golden.input("nearest"));
    }
    return call;
  }

  private static GoldenTensor number(GoldenCase golden, String output, int value) {
    return RejectionCall.tensor(new int[] {value}, golden.output(output).shape());
  }
}
