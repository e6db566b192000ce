package io.quern.bench.verify;

import io.quern.DType;
import io.quern.op.CoinOrder;
import io.quern.op.Distribution;
import io.quern.op.RejectionRule;
import io.quern.op.RejectionVerify;
import java.util.Map;
import java.util.Optional;

/** A tree by parents, draft logits, target probabilities, and a coin for each node. */
final class SequoiaVerifyGolden implements GoldenOp {
  @Override
  public String name() {
    return "sequoia_tree_verify";
  }

  @Override
  public Optional<String> missingVariant(GoldenCase golden) {
    return Optional.empty();
  }

  @Override
  public Map<String, GoldenTensor> run(GoldenCase golden, Operands operands) {
    int[] parents = RejectionCall.ints(golden.input("parents"));
    int nodes = parents.length;
    int vocab = (int) golden.input("target_probs").shape().last();
    RejectionCall call = new RejectionCall(1, nodes, vocab);
    call.parents(parents);
    System.arraycopy(RejectionCall.ints(golden.input("tokens")), 0, call.tokens, 0, nodes);
    RejectionCall.copy(golden.input("target_probs"), 0, call.target, 0, nodes * vocab);
    call.draft = new float[nodes * vocab];
    RejectionCall.copy(golden.input("draft_logits"), 0, call.draft, 0, nodes * vocab);
    RejectionCall.copy(golden.input("r"), 0, call.uniforms, 0, nodes);
    call.temperature = ((Number) golden.params().get("temperature")).floatValue();
    RejectionCall.Result result =
        call.run(
            RejectionVerify.Spec.of(RejectionRule.WITHOUT_REPLACEMENT, vocab, nodes)
                .withCoins(CoinOrder.NODE)
                .withDraft(Distribution.LOGITS, DType.F32),
            operands);
    int[] depth = new int[nodes];
    int[] mask = new int[nodes * nodes];
    for (int i = 0; i < nodes; i++) {
      for (int j = i; j >= 0; j = parents[j]) {
        mask[i * nodes + j] = 1;
      }
      depth[i] = i == 0 ? 0 : depth[parents[i]] + 1;
    }
    return Map.of(
        "accept_path",
            RejectionCall.tensor(result.path().getFirst(), golden.output("accept_path").shape()),
        "residual",
            RejectionCall.tensor(
                result.distribution().getFirst(), golden.output("residual").shape()),
        "depth", RejectionCall.tensor(depth, golden.output("depth").shape()),
        "tree_mask", RejectionCall.tensor(mask, golden.output("tree_mask").shape()));
  }
}
