package io.quern.bench.verify;

import io.quern.Shape;
import io.quern.op.TreeVerify;
import io.quern.op.VerifyRule;
import java.util.Map;
import java.util.Optional;

/** SGLang's greedy walk by links over predicted ids; node numbers there count the whole batch. */
final class VerifyTreeGreedyGolden implements GoldenOp {
  @Override
  public String name() {
    return "verify_tree_greedy";
  }

  @Override
  public Optional<String> missingVariant(GoldenCase golden) {
    return Optional.empty();
  }

  @Override
  public Map<String, GoldenTensor> run(GoldenCase golden, Operands operands) {
    GoldenTensor candidates = golden.input("candidates");
    Shape shape = candidates.shape();
    int width = Math.toIntExact((Long) golden.params().get("num_spec_step"));
    var verify = new VerifyOperands(operands, shape.dim(0), shape.dim(1), width);
    var answers =
        verify.verify(
            TreeVerify.Spec.greedyIds(VerifyRule.GREEDY_LINKED, width),
            TreeVerify.Operands.ofLinks(
                verify.offsets(),
                verify.nodes(candidates),
                verify.nodes(golden.input("retrieve_next_token")),
                verify.nodes(golden.input("retrieve_next_sibling")),
                verify.nodes(golden.input("target_predict")),
                verify.outputs()));
    return answers.asSglang(golden.input("retrieve_index"), candidates);
  }
}
