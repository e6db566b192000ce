package io.quern.bench.verify;

import io.quern.Buffer;
import io.quern.DType;
import io.quern.Shape;
import io.quern.op.KvCompaction;
import io.quern.op.TreeVerify;
import io.quern.op.VerifyRule;
import io.quern.tree.DdTree;
import io.quern.tree.DraftTree;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.stream.IntStream;

/**
 * {@code in.draft_logits} [depth, vocab] → the tree; {@code in.posterior_tokens} verify it, and
 * {@code in.kv}, whose last rows are the tree's, is compacted.
 */
final class DdTreeGolden implements GoldenOp {
  @Override
  public String name() {
    return "best_first_tree_marginals";
  }

  @Override
  public Optional<String> missingVariant(GoldenCase golden) {
    return Optional.empty();
  }

  @Override
  public Map<String, GoldenTensor> run(GoldenCase golden, Operands operands) {
    DraftTree tree = build(golden);
    int n = tree.size();
    Buffer accepted = operands.output(DType.I32, Shape.of(1, n));
    Buffer counts = operands.output(DType.I32, Shape.of(1));
    Buffer next = operands.output(DType.I32, Shape.of(1));
    int[] posterior = HostArrays.ints(golden.input("posterior_tokens"));
    TreeVerify.plan(operands.device(), TreeVerify.Spec.greedyIds(VerifyRule.GREEDY_LINKED, n))
        .run(
            operands.stream(),
            TreeVerify.Operands.ofLinks(
                operands.input(HostArrays.vector(0, n)),
                operands.input(HostArrays.vector(tree.tokens())),
                operands.input(HostArrays.vector(tree.firstChildren())),
                operands.input(HostArrays.vector(tree.nextSiblings())),
                operands.input(HostArrays.vector(posterior)),
                new TreeVerify.Outputs(
                    accepted, counts, next, operands.output(DType.I32, Shape.of(1)))));
    GoldenTensor kv = golden.input("kv");
    int heads = Math.toIntExact(kv.shape().dim(1));
    int rows = Math.toIntExact(kv.shape().dim(2));
    int dim = Math.toIntExact(kv.shape().dim(3));
    int past = rows - n;
    Buffer cache = operands.input(kv);
    KvCompaction.plan(operands.device(), KvCompaction.Spec.contiguous(DType.F32, heads, dim))
        .run(
            operands.stream(),
            KvCompaction.Operands.contiguous(
                List.of(cache),
                accepted,
                counts,
                operands.input(HostArrays.vector(past)),
                operands.output(DType.I32, Shape.of(1)),
                operands.output(DType.I32, Shape.of(1))));

    int length = HostArrays.ints(operands.result(counts))[0] + 1;
    float[] compacted = HostArrays.floats(operands.result(cache));
    int keptRows = past + length;
    float[] kept = new float[heads * keptRows * dim];
    for (int h = 0; h < heads; h++) {
      System.arraycopy(compacted, h * rows * dim, kept, h * keptRows * dim, keptRows * dim);
    }
    return Map.of(
        "node_tokens",
        HostArrays.vector(Arrays.copyOfRange(tree.tokens(), 1, n)),
        "node_depths",
        HostArrays.vector(Arrays.copyOfRange(tree.depths(), 1, n)),
        "parents",
        HostArrays.vector(tree.parents()),
        "visibility",
        HostArrays.tensor(tree.mask(), n, n),
        "accepted_indices",
        HostArrays.vector(Arrays.copyOf(HostArrays.ints(operands.result(accepted)), length)),
        "next_token",
        HostArrays.vector(HostArrays.ints(operands.result(next))),
        "kv_after_prefix",
        HostArrays.tensor(kept, 1, heads, keptRows, dim),
        "past_length",
        HostArrays.vector(past));
  }

  /** The root's token is not in the vector, nor does anything depend on it. */
  private static DraftTree build(GoldenCase golden) {
    GoldenTensor logits = golden.input("draft_logits");
    int budget = ((Long) golden.params().get("budget")).intValue();
    int depth = Math.toIntExact(logits.shape().dim(0));
    int vocab = Math.toIntExact(logits.shape().dim(1));
    int k = Math.min(budget, vocab);
    float[] values = HostArrays.floats(logits);
    int[] tokens = new int[depth * k];
    float[] logProbs = new float[depth * k];
    for (int d = 0; d < depth; d++) {
      int first = d * vocab;
      int[] ranked =
          IntStream.range(first, first + vocab)
              .boxed()
              .sorted(Comparator.comparingDouble(i -> -values[i]))
              .limit(k)
              .mapToInt(i -> i)
              .toArray();
      double sum = 0;
      for (int i = first; i < first + vocab; i++) {
        sum += Math.exp(values[i]);
      }
      for (int r = 0; r < k; r++) {
        tokens[d * k + r] = ranked[r] - first;
        logProbs[d * k + r] = values[ranked[r]] - (float) Math.log(sum);
      }
    }
    return DdTree.build(-1, tokens, logProbs, k, budget);
  }
}
