package io.quern.bench.verify;

import io.quern.DType;
import io.quern.Shape;
import io.quern.op.TreeVerify;
import io.quern.op.VerifyRule;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Arrays;
import java.util.Comparator;
import java.util.HashMap;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.stream.IntStream;

/**
 * {@code evaluate_posterior} of Medusa and EAGLE at temperature 0, and of Medusa's typical
 * acceptance. Medusa's vectors make the tree's tokens of the heads' logits: the argmax of the base
 * model, then the best ten of each head.
 */
final class TreeVerifyPathsGolden implements GoldenOp {
  private static final int HEAD_TOKENS = 10;

  @Override
  public String name() {
    return "tree_verify_paths";
  }

  @Override
  public Optional<String> missingVariant(GoldenCase golden) {
    return Set.of("greedy", "typical").contains(golden.params().get("mode"))
        ? Optional.empty()
        : Optional.of("mode=" + golden.params().get("mode"));
  }

  @Override
  public Map<String, GoldenTensor> run(GoldenCase golden, Operands operands) {
    GoldenTensor logits = golden.input("tree_logits");
    GoldenTensor paths = golden.input("retrieve_indices");
    int rows = (int) paths.shape().dim(0);
    int width = (int) paths.shape().dim(1);
    long n = logits.shape().dim(0);
    boolean medusa = !golden.outputs().contains("next_logits_row");
    GoldenTensor tokens = medusa ? medusaTokens(golden) : golden.input("tree_tokens");

    boolean typical = "typical".equals(golden.params().get("mode"));
    var spec =
        typical
            ? TreeVerify.Spec.typical(
                logits.dtype(),
                logits.shape().last(),
                width,
                new TreeVerify.Typical(
                    number(golden, "posterior_threshold"), number(golden, "posterior_alpha")))
            : TreeVerify.Spec.greedy(
                VerifyRule.GREEDY_PATH, logits.dtype(), logits.shape().last(), width);
    var verify = new VerifyOperands(operands, 1, n, width);
    var of =
        TreeVerify.Operands.ofPaths(
            verify.offsets(),
            verify.nodes(tokens),
            verify.ints(paths, Shape.of(1, rows, width)),
            operands.input(logits),
            verify.outputs());
    if (typical) {
      of = of.withTemperatures(operands.input(floats(number(golden, "temperature"))));
    }
    var answers = verify.verify(spec, of);

    Map<String, GoldenTensor> results = new HashMap<>();
    int count = answers.count(0);
    int best = count == 0 ? 0 : firstPathThrough(answers, paths, count);
    results.put("tree_candidates", tokens);
    results.put("cart_candidates", candidates(tokens, paths, medusa ? 0 : -1));
    results.put("best_candidate", VerifyOperands.tensor(Shape.of(1), new int[] {best}));
    results.put("accept_length", answers.counts());
    long row = answers.accepted(0, count) * logits.shape().last() * logits.dtype().byteSize();
    results.put(
        "next_logits_row",
        new GoldenTensor(
            logits.dtype(),
            Shape.of(logits.shape().last()),
            logits.data().asSlice(row, logits.shape().last() * logits.dtype().byteSize())));
    return results;
  }

  private static int firstPathThrough(
      VerifyOperands.Answers answers, GoldenTensor paths, int count) {
    int width = (int) paths.shape().dim(1);
    return IntStream.range(0, (int) paths.shape().dim(0))
        .filter(r -> paths.asLong((long) r * width + count) == answers.accepted(0, count))
        .findFirst()
        .orElseThrow();
  }

  /** The tokens along each path, with the reference's own padding. */
  private static GoldenTensor candidates(GoldenTensor tokens, GoldenTensor paths, int padding) {
    int[] values = new int[(int) paths.shape().size()];
    Arrays.setAll(
        values, i -> paths.asLong(i) < 0 ? padding : (int) tokens.asLong(paths.asLong(i)));
    return VerifyOperands.tensor(paths.shape(), values);
  }

  private static GoldenTensor medusaTokens(GoldenCase golden) {
    GoldenTensor base = golden.input("base_logits_last");
    GoldenTensor heads = golden.input("medusa_logits_last");
    int vocab = (int) base.shape().last();
    int[] candidates =
        IntStream.concat(
                best(base, 0, vocab, 1),
                IntStream.range(0, (int) heads.shape().dim(0))
                    .flatMap(head -> best(heads, head, vocab, HEAD_TOKENS)))
            .toArray();
    GoldenTensor indices = golden.input("tree_indices");
    int[] tokens = new int[(int) indices.shape().size()];
    Arrays.setAll(tokens, i -> candidates[(int) indices.asLong(i)]);
    return VerifyOperands.tensor(indices.shape(), tokens);
  }

  private static IntStream best(GoldenTensor logits, int row, int vocab, int k) {
    return IntStream.range(0, vocab)
        .boxed()
        .sorted(Comparator.comparing(i -> -logits.asDouble((long) row * vocab + i)))
        .limit(k)
        .mapToInt(i -> i);
  }

  private static float number(GoldenCase golden, String name) {
    return ((Number) golden.params().get(name)).floatValue();
  }

  private static GoldenTensor floats(float value) {
    return new GoldenTensor(
        DType.F32,
        Shape.of(1),
        MemorySegment.ofArray(
            ByteBuffer.allocate(Float.BYTES)
                .order(ByteOrder.LITTLE_ENDIAN)
                .putFloat(value)
                .array()));
  }
}
