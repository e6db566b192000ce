package io.quern.bench.verify;

import io.quern.op.RejectionRule;
import io.quern.op.RejectionVerify;
import java.util.Map;
import java.util.Optional;

/**
 * Children {@code tokens} [cases, k] of one node. {@code residual} is what is left when a child is
 * accepted, or of all; it is what the next token is drawn from where there are only the children
 * before.
 */
final class RecursiveRejectionGolden implements GoldenOp {
  @Override
  public String name() {
    return "recursive_rejection_sampling";
  }

  @Override
  public Optional<String> missingVariant(GoldenCase golden) {
    return Optional.empty();
  }

  @Override
  public Map<String, GoldenTensor> run(GoldenCase golden, Operands operands) {
    GoldenTensor tokens = golden.input("tokens");
    int cases = (int) tokens.shape().dim(0);
    int k = (int) tokens.shape().dim(1);
    int vocab = (int) golden.input("p_target").shape().last();
    int[] accepted = new int[cases];
    float[] residual = new float[cases * vocab];
    for (int i = 0; i < cases; i++) {
      RejectionCall.Result all = verify(golden, operands, i, k, vocab);
      int[] path = all.path().getFirst();
      accepted[i] = path.length > 1 ? path[1] - 1 : -1;
      float[] left =
          (path.length > 1 ? verify(golden, operands, i, accepted[i], vocab) : all)
              .distribution()
              .getFirst();
      System.arraycopy(left, 0, residual, i * vocab, vocab);
    }
    return Map.of(
        "accepted", RejectionCall.tensor(accepted, golden.output("accepted").shape()),
        "residual", RejectionCall.tensor(residual, golden.output("residual").shape()));
  }

  /** Case {@code i} with its first {@code children} only. */
  private static RejectionCall.Result verify(
      GoldenCase golden, Operands operands, int i, int children, int vocab) {
    RejectionCall call = new RejectionCall(1, children + 1, vocab);
    int k = (int) golden.input("tokens").shape().dim(1);
    call.draft = new float[call.target.length];
    call.oneLevel();
    RejectionCall.copy(golden.input("p_target"), (long) i * vocab, call.target, 0, vocab);
    RejectionCall.copy(golden.input("q_draft"), (long) i * vocab, call.draft, 0, vocab);
    RejectionCall.copy(golden.input("uniforms"), (long) i * k, call.uniforms, 0, children);
    for (int c = 0; c < children; c++) {
      call.tokens[c + 1] = (int) golden.input("tokens").asLong((long) i * k + c);
    }
    boolean replacement = Boolean.TRUE.equals(golden.params().get("replacement"));
    return call.run(
        RejectionVerify.Spec.of(
            replacement ? RejectionRule.WITH_REPLACEMENT : RejectionRule.WITHOUT_REPLACEMENT,
            vocab,
            2),
        operands);
  }
}
