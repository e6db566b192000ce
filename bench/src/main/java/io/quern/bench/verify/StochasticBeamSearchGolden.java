package io.quern.bench.verify;

import io.quern.Buffer;
import io.quern.DType;
import io.quern.Shape;
import io.quern.op.BeamExpand;
import io.quern.op.SampleRows;
import java.lang.foreign.MemorySegment;
import java.util.HashMap;
import java.util.Map;
import java.util.Optional;

/**
 * Step by step {@code in.logp_i, in.u_i → out.parent_i, token_i, phi_i, G_i}: every beam's
 * candidates are sampled, then all beams' extensions are ranked.
 */
final class StochasticBeamSearchGolden implements GoldenOp {
  @Override
  public String name() {
    return "stochastic_beam_search";
  }

  @Override
  public Optional<String> missingVariant(GoldenCase golden) {
    return Optional.empty();
  }

  @Override
  public Map<String, GoldenTensor> run(GoldenCase golden, Operands operands) {
    int keep = ((Number) golden.params().get("beam")).intValue();
    int depth = ((Number) golden.params().get("depth")).intValue();
    Map<String, GoldenTensor> results = new HashMap<>();
    Buffer phi = zero(operands);
    Buffer perturbed = zero(operands);
    for (int step = 0; step < depth; step++) {
      GoldenTensor logp = golden.input("logp_" + step);
      int beams = (int) logp.shape().dim(0);
      var sampling = SampleRows.Spec.of(logp.dtype(), logp.shape().last(), keep);
      Buffer noisy = operands.output(DType.F32, sampling.outputShape(beams));
      Buffer values = operands.output(DType.F32, sampling.outputShape(beams));
      Buffer tokens = operands.output(DType.I32, sampling.outputShape(beams));
      SampleRows.plan(operands.device(), sampling)
          .run(
              operands.stream(),
              SampleRows.Operands.of(
                      operands.input(logp), operands.input(golden.input("u_" + step)), tokens)
                  .with(noisy, values));
      var spec = BeamExpand.Spec.of(BeamExpand.Mode.STOCHASTIC, beams, keep, keep);
      Buffer parents = operands.output(DType.I32, spec.outputShape(1));
      Buffer outTokens = operands.output(DType.I32, spec.outputShape(1));
      Buffer outPhi = operands.output(DType.F32, spec.outputShape(1));
      Buffer outPerturbed = operands.output(DType.F32, spec.outputShape(1));
      BeamExpand.plan(operands.device(), spec)
          .run(
              operands.stream(),
              BeamExpand.Operands.sum(tokens, values, phi, parents, outTokens, outPhi)
                  .withNoise(noisy, perturbed, outPerturbed));
      results.put("parent_" + step, flat(operands.result(parents)));
      results.put("token_" + step, flat(operands.result(outTokens)));
      results.put("phi_" + step, flat(operands.result(outPhi)));
      results.put("G_" + step, flat(operands.result(outPerturbed)));
      phi = outPhi;
      perturbed = outPerturbed;
    }
    return results;
  }

  private static Buffer zero(Operands operands) {
    return operands.input(
        new GoldenTensor(DType.F32, Shape.of(1, 1), MemorySegment.ofArray(new byte[Float.BYTES])));
  }

  private static GoldenTensor flat(GoldenTensor tensor) {
    return new GoldenTensor(tensor.dtype(), Shape.of(tensor.shape().size()), tensor.data());
  }
}
