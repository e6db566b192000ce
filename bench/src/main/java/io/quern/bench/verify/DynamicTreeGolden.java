package io.quern.bench.verify;

import io.quern.Buffer;
import io.quern.DType;
import io.quern.Shape;
import io.quern.op.CandidateNumbering;
import io.quern.op.DynamicTree;
import io.quern.op.TreeMaskFormat;
import io.quern.op.TreeTopology;
import java.util.HashMap;
import java.util.Map;
import java.util.Optional;
import java.util.stream.LongStream;

/**
 * Trees of the best candidates, as SGLang ({@code build_tree_efficient}) and EAGLE ({@code
 * eagle2_build_dynamic_tree}) build them, with their masks, positions and links.
 */
final class DynamicTreeGolden implements GoldenOp {
  private final boolean eagle;

  private DynamicTreeGolden(boolean eagle) {
    this.eagle = eagle;
  }

  static GoldenOp ofEagle() {
    return new DynamicTreeGolden(true);
  }

  static GoldenOp ofSglang() {
    return new DynamicTreeGolden(false);
  }

  @Override
  public String name() {
    return eagle ? "eagle2_build_dynamic_tree" : "build_tree_efficient";
  }

  @Override
  public Optional<String> missingVariant(GoldenCase golden) {
    return Optional.empty();
  }

  @Override
  public Map<String, GoldenTensor> run(GoldenCase golden, Operands operands) {
    GoldenTensor scores = rows(golden.input("scores_flat"));
    GoldenTensor parents = rows(golden.input(eagle ? "parents_flat" : "parent_list"));
    GoldenTensor tokens = rows(golden.input("tokens_flat"));
    GoldenTensor prefix = eagle ? null : golden.input("verified_seq_len");
    int requests = (int) scores.shape().dim(0);
    int nodes = (int) number(golden, eagle ? "total_tokens" : "num_verify_tokens");
    DType positions = prefix == null ? DType.I32 : DType.I64;
    var spec =
        new DynamicTree.Spec(
            nodes,
            scores.shape().last(),
            parents.shape().last(),
            number(golden, eagle ? "top_k" : "topk"),
            eagle ? CandidateNumbering.FROM_ONE : CandidateNumbering.FROM_ZERO,
            parents.dtype(),
            new TreeTopology.Spec(positions, positions, DType.U64));
    TreeResults trees = new TreeResults(operands, requests, requests * nodes, positions);
    Buffer selected = operands.output(spec.indices(), Shape.of(requests, spec.selected()));
    var of =
        DynamicTree.Operands.ofScores(
            operands.input(scores), operands.input(parents), selected, trees.outputs());
    if (prefix != null) {
      of = of.withPrefix(operands.input(prefix));
    }
    DynamicTree.plan(operands.device(), spec).run(operands.stream(), of);
    GoldenTensor chosen = operands.result(selected);
    return eagle
        ? eagle(golden, trees, chosen, tokens, nodes)
        : sglang(golden, trees, chosen, tokens, prefix, requests, nodes);
  }

  private static Map<String, GoldenTensor> eagle(
      GoldenCase golden, TreeResults trees, GoldenTensor chosen, GoldenTensor tokens, int nodes) {
    boolean sorted = Boolean.TRUE.equals(golden.params().get("sort_retrieve"));
    return Map.of(
        "selected_index",
        TreeResults.reshaped(chosen, Shape.of(nodes - 1)),
        "draft_tokens",
        TreeResults.gather(tokens, chosen, golden.input("root_token")),
        "tree_mask",
        trees.mask(TreeMaskFormat.ONE_ZERO, DType.U8, nodes, null),
        "position_ids",
        trees.flat(trees.outputs().depth()),
        "retrieve_indices",
        trees.paths(sorted));
  }

  private static Map<String, GoldenTensor> sglang(
      GoldenCase golden,
      TreeResults trees,
      GoldenTensor chosen,
      GoldenTensor tokens,
      GoldenTensor prefix,
      int requests,
      int nodes) {
    Map<String, GoldenTensor> results = new HashMap<>();
    results.put("selected_index", chosen);
    results.put("draft_tokens", TreeResults.gather(tokens, chosen, null));
    results.put("parents", trees.perNode(trees.outputs().parent()));
    results.put("positions", trees.flat(trees.outputs().positions()));
    results.put("retrieve_index", runningNumbers(requests, nodes));
    results.put("retrieve_next_token", trees.perNode(trees.outputs().firstChild()));
    results.put("retrieve_next_sibling", trees.perNode(trees.outputs().nextSibling()));
    long total = LongStream.range(0, requests).map(b -> nodes * (prefix.asLong(b) + nodes)).sum();
    results.put(
        "mask_full_flat", trees.mask(TreeMaskFormat.FLAT, DType.BOOL, Shape.of(total), prefix));
    results.put(
        "mask_qlen",
        TreeResults.reshaped(
            trees.mask(
                TreeMaskFormat.FLAT, DType.BOOL, Shape.of((long) requests * nodes * nodes), null),
            Shape.of(requests, nodes, nodes)));
    if (golden.outputs().contains("mask_packed_bytes")) {
      results.put(
          "mask_packed_bytes",
          trees.mask(
              TreeMaskFormat.BITS,
              DType.U8,
              golden.output("mask_packed_bytes").shape().last(),
              null));
    }
    return results;
  }

  /** A node's place among the nodes of all requests. */
  static GoldenTensor runningNumbers(int requests, int nodes) {
    int[] numbers = new int[requests * nodes];
    for (int i = 0; i < numbers.length; i++) {
      numbers[i] = i;
    }
    return TreeResults.tensor(Shape.of(requests, nodes), numbers);
  }

  /** A vector as one row. */
  private static GoldenTensor rows(GoldenTensor tensor) {
    return tensor.shape().rank() == 1
        ? TreeResults.reshaped(tensor, Shape.of(1, tensor.shape().size()))
        : tensor;
  }

  private static long number(GoldenCase golden, String parameter) {
    return ((Number) golden.params().get(parameter)).longValue();
  }
}
