package io.quern.bench.verify;

import io.quern.op.RejectionRule;
import io.quern.op.RejectionVerify;
import java.util.Arrays;
import java.util.Map;
import java.util.Optional;

/**
 * Independent drafts [cases, k] of one node. {@code residual} is what the next token is drawn from
 * when every draft is rejected, as coins that are NaN make happen.
 */
final class KSeqGolden implements GoldenOp {
  @Override
  public String name() {
    return "kseq_verify";
  }

  @Override
  public Optional<String> missingVariant(GoldenCase golden) {
    return Optional.empty();
  }

  @Override
  public Map<String, GoldenTensor> run(GoldenCase golden, Operands operands) {
    GoldenTensor drafts = golden.input("drafts");
    int cases = (int) drafts.shape().dim(0);
    int k = (int) drafts.shape().dim(1);
    GoldenTensor p = golden.input("q_target");
    GoldenTensor q = golden.input("p_draft");
    int vocab = (int) p.shape().dim(1);
    RejectionCall call = new RejectionCall(cases, k + 1, vocab);
    call.oneLevel();
    call.draft = new float[call.target.length];
    for (int i = 0; i < cases; i++) {
      int row = i * (k + 1) * vocab;
      RejectionCall.copy(p, (long) i * vocab, call.target, row, vocab);
      RejectionCall.copy(q, (long) i * vocab, call.draft, row, vocab);
      RejectionCall.copy(golden.input("uniforms"), (long) i * k, call.uniforms, i * (k + 1), k);
      for (int c = 0; c < k; c++) {
        call.tokens[i * (k + 1) + 1 + c] = (int) drafts.asLong((long) i * k + c);
      }
    }
    RejectionCall.copy(golden.input("uniform_final"), 0, call.finalUniforms, 0, cases);
    RejectionVerify.Spec spec = RejectionVerify.Spec.of(RejectionRule.K_SEQ, vocab, 2);
    RejectionCall.Result result = call.run(spec, operands);
    Arrays.fill(call.uniforms, Float.NaN);
    RejectionCall.Result rejected = call.run(spec, operands);
    int[] accepted = new int[cases];
    int[] token = new int[cases];
    float[] beta = new float[cases];
    float[] residual = new float[cases * vocab];
    for (int i = 0; i < cases; i++) {
      int[] path = result.path().get(i);
      accepted[i] = path.length > 1 ? path[1] - 1 : -1;
      token[i] = path.length > 1 ? call.tokens[i * (k + 1) + path[1]] : result.next()[i];
      double sum = 0;
      for (int v = 0; v < vocab; v++) {
        long at = (long) i * vocab + v;
        sum += Math.min(q.asDouble(at), p.asDouble(at) / result.rho()[i]);
      }
      beta[i] = (float) sum;
      System.arraycopy(rejected.distribution().get(i), 0, residual, i * vocab, vocab);
    }
    return Map.of(
        "rho", RejectionCall.tensor(result.rho(), golden.output("rho").shape()),
        "beta", RejectionCall.tensor(beta, golden.output("beta").shape()),
        "accepted", RejectionCall.tensor(accepted, golden.output("accepted").shape()),
        "token", RejectionCall.tensor(token, golden.output("token").shape()),
        "residual", RejectionCall.tensor(residual, golden.output("residual").shape()));
  }
}
