package io.quern.tree;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.stream.IntStream;

/**
 * The nodes with the highest products of draft probabilities, found level by level (OPT-Tree, arXiv
 * 2406.17276). The draft model runs once per level, for all of its nodes; of their children the n
 * with the highest products make the next level. When the n highest products over all levels sum up
 * to no more than a threshold above what they were a level before, or the depth is reached, they
 * are the tree.
 *
 * <pre>{@code
 * OptTree tree = new OptTree(root, 50, 0.1f, 10);
 * while (!tree.isComplete()) {
 *   // one row of candidates for each of tree.frontier() nodes, whose tokens are tree.tokens(i)
 *   tree.add(tokens, probabilities);
 * }
 * }</pre>
 *
 * <p>Products are F32; where they are equal, the earlier node and the better rank win. Nodes are
 * numbered level by level, by descending product within a level. Not thread-safe.
 */
public final class OptTree {
  /** A node that was considered: where its parent is in the level above, −1 for the root. */
  private record Node(int parent, int token, float product) {}

  private final int root;
  private final int nodes;
  private final float threshold;
  private final int maxDepth;
  private final List<List<Node>> levels = new ArrayList<>();
  private float best;
  private boolean complete;

  /**
   * Begins a tree.
   *
   * @param root the last decided token
   * @param nodes nodes of the tree and of a level, the root not counted
   * @param threshold the gain that is worth one more run of the draft model
   * @param maxDepth the most levels
   * @throws IllegalArgumentException if nodes or depth are below 1, or the threshold is NaN
   */
  public OptTree(int root, int nodes, float threshold, int maxDepth) {
    if (nodes < 1 || maxDepth < 1 || Float.isNaN(threshold)) {
      throw new IllegalArgumentException(
          "nodes %d, threshold %s, depth %d, expected at least 1, a number, at least 1"
              .formatted(nodes, threshold, maxDepth));
    }
    this.root = root;
    this.nodes = nodes;
    this.threshold = threshold;
    this.maxDepth = maxDepth;
  }

  /** Whether no further level is wanted. */
  public boolean isComplete() {
    return complete;
  }

  /** Nodes whose candidates are wanted next: the root, then those of the last level. */
  public int frontier() {
    return levels.isEmpty() ? 1 : levels.getLast().size();
  }

  /** The tokens from the root to a node of the frontier. */
  public int[] tokens(int i) {
    int[] path = new int[levels.size() + 1];
    path[0] = root;
    int at = i;
    for (int level = levels.size(); level > 0; level--) {
      Node node = levels.get(level - 1).get(at);
      path[level] = node.token;
      at = node.parent;
    }
    return path;
  }

  /**
   * Adds a level.
   *
   * @param tokens [frontier, k] row-major: the best tokens after each node of the frontier, best
   *     first; {@code nodes} of them are enough
   * @param probabilities theirs, the same shape
   * @throws IllegalArgumentException if sizes do not fit, or a probability is NaN or outside [0,
   *     1]; nothing is added then
   * @throws IllegalStateException if the tree is complete
   */
  public void add(int[] tokens, float[] probabilities) {
    if (complete) {
      throw new IllegalStateException("the tree is complete");
    }
    int rows = frontier();
    int k = tokens.length / rows;
    if (k < 1 || k * rows != tokens.length || tokens.length != probabilities.length) {
      throw new IllegalArgumentException(
          "%d tokens and %d probabilities, expected %d × k of both"
              .formatted(tokens.length, probabilities.length, rows));
    }
    for (int i = 0; i < probabilities.length; i++) {
      if (!(probabilities[i] >= 0 && probabilities[i] <= 1)) {
        throw new IllegalArgumentException(
            "the probability of candidate %d of node %d is %s, expected 0 to 1"
                .formatted(i % k, i / k, probabilities[i]));
      }
    }
    List<Node> above = levels.isEmpty() ? List.of(new Node(-1, root, 1)) : levels.getLast();
    List<Node> level =
        IntStream.range(0, tokens.length)
            .mapToObj(i -> new Node(i / k, tokens[i], probabilities[i] * above.get(i / k).product))
            .sorted(Comparator.comparingDouble(node -> -node.product))
            .limit(nodes)
            .toList();
    levels.add(level);
    float sum = 0;
    for (Place place : highest()) {
      sum += levels.get(place.level).get(place.node).product;
    }
    complete = sum - best <= threshold || levels.size() == maxDepth;
    best = sum;
  }

  private record Place(int level, int node) {}

  /** The n highest products, by descending product; a stable sort keeps parents before children. */
  private List<Place> highest() {
    List<Place> places = new ArrayList<>();
    for (int level = 0; level < levels.size(); level++) {
      for (int node = 0; node < levels.get(level).size(); node++) {
        places.add(new Place(level, node));
      }
    }
    places.sort(
        Comparator.comparingDouble(place -> -levels.get(place.level).get(place.node).product));
    return places.subList(0, Math.min(nodes, places.size()));
  }

  /**
   * The tree of the levels so far, with tokens; {@code nodes} + 1 nodes, or fewer where there were
   * fewer candidates.
   */
  public DraftTree tree() {
    List<Place> taken = new ArrayList<>(highest());
    taken.sort(Comparator.comparingInt(Place::level).thenComparingInt(Place::node));
    int n = taken.size() + 1;
    int[] parent = new int[n];
    int[] token = new int[n];
    parent[0] = -1;
    token[0] = root;
    int[][] number = new int[levels.size()][nodes];
    for (int i = 1; i < n; i++) {
      Place place = taken.get(i - 1);
      Node node = levels.get(place.level).get(place.node);
      number[place.level][place.node] = i;
      parent[i] = place.level == 0 ? 0 : number[place.level - 1][node.parent];
      token[i] = node.token;
    }
    return DraftTree.of(parent).withTokens(token);
  }
}
