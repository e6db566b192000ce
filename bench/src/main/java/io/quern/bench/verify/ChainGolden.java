package io.quern.bench.verify;

import io.quern.op.RejectionRule;
import io.quern.op.RejectionVerify;
import java.util.Arrays;
import java.util.Map;
import java.util.Optional;

/**
 * Chains of candidates [batch, slots], slot 0 the committed token. {@code predicts} has at each
 * accepted slot the token that follows it.
 */
final class ChainGolden implements GoldenOp {
  private static final Map<String, RejectionRule> MODES =
      Map.of("classic", RejectionRule.WITH_REPLACEMENT, "block", RejectionRule.BLOCK);

  @Override
  public String name() {
    return "chain_speculative_sampling";
  }

  @Override
  public Optional<String> missingVariant(GoldenCase golden) {
    Object mode = golden.params().get("mode");
    return MODES.containsKey(mode) ? Optional.empty() : Optional.of("mode=" + mode);
  }

  @Override
  public Map<String, GoldenTensor> run(GoldenCase golden, Operands operands) {
    GoldenTensor candidates = golden.input("candidates");
    GoldenTensor target = golden.input("target_probs");
    GoldenTensor draft = golden.input("draft_probs");
    int batch = (int) candidates.shape().dim(0);
    int slots = (int) candidates.shape().dim(1);
    int vocab = (int) target.shape().last();
    RejectionCall call = new RejectionCall(batch, slots, vocab);
    System.arraycopy(RejectionCall.ints(candidates), 0, call.tokens, 0, batch * slots);
    RejectionCall.copy(target, 0, call.target, 0, call.target.length);
    RejectionCall.copy(golden.input("uniform_samples"), 0, call.uniforms, 0, batch * slots);
    RejectionCall.copy(
        golden.input("uniform_samples_for_final_sampling"), 0, call.finalUniforms, 0, batch);
    call.draft = new float[call.target.length]; // the last slot of a chain has no draft
    int rows = (slots - 1) * vocab;
    for (int b = 0; b < batch; b++) {
      RejectionCall.copy(draft, (long) b * rows, call.draft, b * slots * vocab, rows);
    }
    RejectionCall.Result result =
        call.run(
            RejectionVerify.Spec.of(MODES.get(golden.params().get("mode")), vocab, slots),
            operands);
    int[] global = RejectionCall.ints(golden.input("retrieve_index"));
    int[] predicts = new int[batch * slots];
    int[] index = new int[batch * slots];
    int[] counts = new int[batch];
    Arrays.fill(predicts, -1);
    Arrays.fill(index, -1);
    for (int b = 0; b < batch; b++) {
      int[] path = result.path().get(b);
      counts[b] = path.length - 1;
      for (int i = 0; i < path.length; i++) {
        int last = global[b * slots + path[i]];
        index[b * slots + i] = last;
        predicts[last] =
            i + 1 < path.length ? call.tokens[b * slots + path[i + 1]] : result.next()[b];
      }
    }
    return Map.of(
        "predicts", RejectionCall.tensor(predicts, golden.output("predicts").shape()),
        "accept_index", RejectionCall.tensor(index, candidates.shape()),
        "accept_token_num",
            RejectionCall.tensor(counts, golden.output("accept_token_num").shape()));
  }
}
