package io.quern.bench.verify;

import io.quern.Buffer;
import io.quern.DType;
import io.quern.Shape;
import io.quern.op.AdjacencyFill;
import io.quern.op.IndexPolicy;
import io.quern.op.ScatterMode;
import io.quern.op.ScatterRows;
import io.quern.op.TreeVerify;
import io.quern.op.VerifyRule;
import io.quern.tree.DraftTree;
import io.quern.tree.StaticTree;
import io.quern.tree.StaticTree.Flavour;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * A step of Token Recycling: {@code in.adjacency, in.root} fill the tree of {@code in.father_index,
 * in.candi_index}; the target's {@code in.target_logits_argmax} verify it, and its {@code
 * in.target_topk}, which stand for logits, go into the matrix.
 */
final class TokenRecyclingGolden implements GoldenOp {
  @Override
  public String name() {
    return "token_recycling_step";
  }

  @Override
  public Optional<String> missingVariant(GoldenCase golden) {
    return Optional.empty();
  }

  @Override
  public Map<String, GoldenTensor> run(GoldenCase golden, Operands operands) {
    StaticTree shape = shape(golden);
    DraftTree tree = shape.tree();
    int n = tree.size();
    int width = tree.maxDepth() + 1;
    int[] paths = shape.retrieveIndices(Flavour.TOKEN_RECYCLING);
    int rows = paths.length / width;

    GoldenTensor matrix = golden.input("adjacency");
    int vocab = Math.toIntExact(matrix.shape().dim(0));
    int k = Math.toIntExact(matrix.shape().dim(1));
    Buffer adjacency = operands.input(matrix);
    Buffer offsets = operands.input(HostArrays.vector(0, n));
    Buffer tokens = operands.output(DType.I32, Shape.of(n));
    AdjacencyFill.plan(operands.device(), new AdjacencyFill.Spec(vocab, k, IndexPolicy.FAIL))
        .run(
            operands.stream(),
            new AdjacencyFill.Operands(
                adjacency,
                operands.input(HostArrays.vector(HostArrays.ints(golden.input("root")))),
                operands.input(HostArrays.vector(tree.parents())),
                operands.input(HostArrays.vector(shape.treeIndices(Flavour.TOKEN_RECYCLING, k))),
                offsets,
                tokens,
                operands.output(DType.I32, Shape.of(1))));

    GoldenTensor argmax = golden.input("target_logits_argmax");
    Buffer accepted = operands.output(DType.I32, Shape.of(1, width));
    Buffer counts = operands.output(DType.I32, Shape.of(1));
    Buffer next = operands.output(DType.I32, Shape.of(1));
    TreeVerify.plan(operands.device(), TreeVerify.Spec.greedyIds(VerifyRule.GREEDY_PATH, width))
        .run(
            operands.stream(),
            TreeVerify.Operands.ofPaths(
                offsets,
                tokens,
                operands.input(HostArrays.tensor(paths, 1, rows, width)),
                operands.input(HostArrays.vector(HostArrays.ints(argmax))),
                new TreeVerify.Outputs(
                    accepted, counts, next, operands.output(DType.I32, Shape.of(1)))));

    ScatterRows scatter =
        ScatterRows.plan(
            operands.device(),
            ScatterRows.Spec.of(DType.I32, ScatterMode.SET, k, IndexPolicy.FAIL));
    long bytes = scatter.workspaceBytes(n);
    scatter.run(
        operands.stream(),
        operands.input(golden.input("target_topk")),
        tokens,
        adjacency,
        bytes == 0 ? null : operands.output(DType.U8, Shape.of(bytes)));

    int[] filled = HostArrays.ints(operands.result(tokens));
    int[] after = HostArrays.ints(operands.result(adjacency));
    int length = HostArrays.ints(operands.result(counts))[0] + 1;
    int[] kept = Arrays.copyOf(HostArrays.ints(operands.result(accepted)), length);
    int[] rowsAfter = new int[n * k];
    for (int i = 0; i < n; i++) {
      System.arraycopy(after, filled[i] * k, rowsAfter, i * k, k);
    }
    int best = row(paths, width, kept);
    return Map.ofEntries(
        Map.entry("attn_mask", HostArrays.tensor(tree.mask(), n, n)),
        Map.entry("position_ids", HostArrays.vector(tree.depths())),
        Map.entry("search_path", HostArrays.tensor(paths, rows, width)),
        Map.entry("tree_tokens", HostArrays.vector(filled)),
        Map.entry(
            "path_reward",
            HostArrays.vector(rewards(paths, width, filled, HostArrays.ints(argmax)))),
        Map.entry("best_path", HostArrays.vector(best)),
        Map.entry("accept_len", HostArrays.vector(length)),
        Map.entry("kv_keep", HostArrays.vector(kept)),
        Map.entry("next_token", HostArrays.vector(HostArrays.ints(operands.result(next)))),
        Map.entry("adjacency_rows_after", HostArrays.tensor(rowsAfter, n, k)));
  }

  /** The tree from each node's parent and rank. */
  private static StaticTree shape(GoldenCase golden) {
    int[] parent = HostArrays.ints(golden.input("father_index"));
    int[] rank = HostArrays.ints(golden.input("candi_index"));
    List<int[]> paths = new ArrayList<>();
    for (int i = 1; i < parent.length; i++) {
      int[] prefix = parent[i] == 0 ? new int[0] : paths.get(parent[i] - 1);
      int[] path = Arrays.copyOf(prefix, prefix.length + 1);
      path[prefix.length] = rank[i];
      paths.add(path);
    }
    return StaticTree.inGivenOrder(paths);
  }

  /** How many tokens of each path are the target's. */
  private static int[] rewards(int[] paths, int width, int[] tokens, int[] argmax) {
    int[] rewards = new int[paths.length / width];
    for (int row = 0; row < rewards.length; row++) {
      int c = 1;
      while (c < width
          && paths[row * width + c] >= 0
          && tokens[paths[row * width + c]] == argmax[paths[row * width + c - 1]]) {
        c++;
      }
      rewards[row] = c - 1;
    }
    return rewards;
  }

  /** The first path that begins with these nodes. */
  private static int row(int[] paths, int width, int[] nodes) {
    int row = 0;
    while (!Arrays.equals(paths, row * width, row * width + nodes.length, nodes, 0, nodes.length)) {
      row++;
    }
    return row;
  }
}
