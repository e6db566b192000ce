package io.quern.bench.verify;

import io.quern.tree.DraftTree;
import io.quern.tree.OptTree;
import java.util.Arrays;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.stream.IntStream;

/**
 * {@code in.probs_0, in.probs_1, …}, one row per node of a level, → the nodes without the root.
 *
 * <p>The reference sorts the chosen nodes by level with a sort that is not stable, so that their
 * order within a level means nothing from 17 nodes on. The same nodes, told apart by the tokens on
 * their paths, are therefore put in the order of the vector; any other node gives −1.
 */
final class OptTreeGolden implements GoldenOp {
  private static final int ROOT = -1;

  @Override
  public String name() {
    return "opt_tree_build";
  }

  @Override
  public Optional<String> missingVariant(GoldenCase golden) {
    return Optional.empty();
  }

  @Override
  public Map<String, GoldenTensor> run(GoldenCase golden, Operands operands) {
    DraftTree tree = build(golden);
    Map<List<Integer>, Integer> byPath = new HashMap<>();
    for (int i = 1; i < tree.size(); i++) {
      byPath.put(path(tree, i), i);
    }
    DraftTree expected = expected(golden);
    int n = expected.size() - 1;
    int[] node = new int[n];
    int[] place = new int[tree.size()];
    Arrays.fill(place, -1);
    for (int i = 0; i < n; i++) {
      node[i] = byPath.getOrDefault(path(expected, i + 1), 0);
      place[node[i]] = i;
    }
    int[] tokens = new int[n];
    int[] depths = new int[n];
    int[] parents = new int[n];
    for (int i = 0; i < n; i++) {
      boolean found = node[i] > 0 && tree.size() == expected.size();
      int parent = tree.parent(node[i]);
      tokens[i] = found ? tree.token(node[i]) : -1;
      depths[i] = found ? tree.depth(node[i]) : -1;
      parents[i] = !found ? -1 : parent == 0 ? i : place[parent];
    }
    return Map.of(
        "input_ids",
        HostArrays.vector(tokens),
        "position_ids",
        HostArrays.vector(depths),
        "parent_last",
        HostArrays.vector(parents));
  }

  private static DraftTree build(GoldenCase golden) {
    int nodes = ((Long) golden.params().get("nodes")).intValue();
    float threshold = ((Double) golden.params().get("threshold")).floatValue();
    int depth = ((Long) golden.params().get("max_depth")).intValue();
    OptTree tree = new OptTree(ROOT, nodes, threshold, depth);
    for (int level = 0; !tree.isComplete(); level++) {
      GoldenTensor rows = golden.input("probs_" + level);
      int vocab = Math.toIntExact(rows.shape().last());
      float[] probs = HostArrays.floats(rows);
      int[] best = new int[tree.frontier() * nodes];
      float[] theirs = new float[best.length];
      for (int row = 0; row < tree.frontier(); row++) {
        int first = row * vocab;
        int[] ranked =
            IntStream.range(first, first + vocab)
                .boxed()
                .sorted(Comparator.comparingDouble(i -> -probs[i]))
                .limit(nodes)
                .mapToInt(i -> i)
                .toArray();
        for (int k = 0; k < nodes; k++) {
          best[row * nodes + k] = ranked[k] - first;
          theirs[row * nodes + k] = probs[ranked[k]];
        }
      }
      tree.add(best, theirs);
    }
    return tree.tree();
  }

  /** The expected nodes below a root; a node of the first level is its own parent in the vector. */
  private static DraftTree expected(GoldenCase golden) {
    int[] tokens = HostArrays.ints(golden.output("input_ids"));
    int[] parents = HostArrays.ints(golden.output("parent_last"));
    int[] shifted = new int[parents.length + 1];
    int[] all = new int[parents.length + 1];
    shifted[0] = -1;
    all[0] = ROOT;
    for (int i = 0; i < parents.length; i++) {
      shifted[i + 1] = parents[i] == i ? 0 : parents[i] + 1;
      all[i + 1] = tokens[i];
    }
    return DraftTree.of(shifted).withTokens(all);
  }

  private static List<Integer> path(DraftTree tree, int node) {
    return Arrays.stream(tree.path(node)).mapToObj(tree::token).toList();
  }
}
