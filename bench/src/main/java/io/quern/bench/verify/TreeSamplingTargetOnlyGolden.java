package io.quern.bench.verify;

import io.quern.DType;
import io.quern.Shape;
import io.quern.op.TreeVerify;
import io.quern.op.VerifyTarget;
import java.lang.foreign.MemorySegment;
import java.util.HashMap;
import java.util.Map;
import java.util.Optional;

/**
 * SGLang's target-only sampling. Its {@code draft_probs}, of which the rows with a rejected child
 * are expected, follow from the accepted path.
 */
final class TreeSamplingTargetOnlyGolden implements GoldenOp {
  @Override
  public String name() {
    return "tree_speculative_sampling_target_only";
  }

  @Override
  public Optional<String> missingVariant(GoldenCase golden) {
    return Optional.empty();
  }

  @Override
  public Map<String, GoldenTensor> run(GoldenCase golden, Operands operands) {
    GoldenTensor candidates = golden.input("candidates");
    Shape shape = candidates.shape();
    GoldenTensor probabilities = golden.input("target_probs");
    long vocab = probabilities.shape().last();
    int width = Math.toIntExact((Long) golden.params().get("width"));
    var verify = new VerifyOperands(operands, shape.dim(0), shape.dim(1), width);
    var spec =
        TreeVerify.Spec.targetOnly(
            VerifyTarget.PROBABILITIES,
            probabilities.dtype(),
            vocab,
            width,
            new TreeVerify.Thresholds(
                threshold(golden, "threshold_single"), threshold(golden, "threshold_acc")));
    GoldenTensor firstChild = golden.input("retrieve_next_token");
    GoldenTensor nextSibling = golden.input("retrieve_next_sibling");
    GoldenTensor uniforms = golden.input("uniform_samples");
    var answers =
        verify.verify(
            spec,
            TreeVerify.Operands.ofLinks(
                    verify.offsets(),
                    verify.nodes(candidates),
                    verify.nodes(firstChild),
                    verify.nodes(nextSibling),
                    operands.input(
                        new GoldenTensor(
                            probabilities.dtype(),
                            spec.targetShape(shape.size()),
                            probabilities.data())),
                    verify.outputs())
                .withUniforms(
                    operands.input(
                        new GoldenTensor(DType.F32, Shape.of(shape.size()), uniforms.data())),
                    operands.input(golden.input("uniform_samples_for_final_sampling"))));
    Map<String, GoldenTensor> results =
        new HashMap<>(answers.asSglang(golden.input("retrieve_index"), candidates));
    results.put("rejected_mask_rows", rejected(answers, shape, width, firstChild));
    return results;
  }

  private static float threshold(GoldenCase golden, String name) {
    return ((Number) golden.params().get(name)).floatValue();
  }

  /** Nodes of which a child was looked at and not accepted. */
  private static GoldenTensor rejected(
      VerifyOperands.Answers answers, Shape shape, int width, GoldenTensor firstChild) {
    int n = (int) shape.dim(1);
    byte[] mask = new byte[(int) shape.size()];
    for (int b = 0; b < shape.dim(0); b++) {
      for (int i = 0; i <= answers.count(b) && i + 1 < width; i++) {
        int node = answers.accepted(b, i);
        int accepted = answers.accepted(b, i + 1);
        if (firstChild.asLong(b * n + node) != accepted) {
          mask[b * n + node] = 1;
        }
      }
    }
    return new GoldenTensor(DType.BOOL, shape, MemorySegment.ofArray(mask));
  }
}
