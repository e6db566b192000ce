package io.quern.tree;

import java.util.ArrayDeque;
import java.util.Arrays;
import java.util.Comparator;
import java.util.PriorityQueue;
import java.util.Queue;

/**
 * A tree whose nodes are drawn from the draft model, each where acceptance is estimated to be
 * likeliest (DySpec, arXiv 2410.11744). A place for a node has an estimate v; drawing token y from
 * the distribution R that is left at its parent gives the node the estimate v·R[y], and leaves a
 * place for a sibling with v·(1 − R[y]) and y taken out of R: drawing is without replacement.
 *
 * <p>The draft model runs between the draws:
 *
 * <pre>{@code
 * DySpecTree tree = DySpecTree.ofBudget(root, 64);
 * for (int node = tree.next(); node >= 0; node = tree.next()) {
 *   if (tree.needsDistribution()) {
 *     tree.distribution(draftModel.after(tree.tokens(node)));
 *   }
 *   tree.draw(random.nextDouble());
 * }
 * }</pre>
 *
 * <p>{@link #ofBudget} takes the place with the highest estimate until there are enough nodes (the
 * paper's greedy expansion), the older of equal ones. {@link #ofThreshold} draws at every place
 * whose estimate is at least t, level by level (algorithm 2, which prints {@code <}), so that the
 * draft model can run once per level. Not thread-safe.
 */
public final class DySpecTree {
  private static final int INITIAL_NODES = 64;

  /** Where the next child of a node would go. */
  private record Place(int node, long age, double estimate) {}

  private final int budget;
  private final double threshold;
  private final int maxDepth;
  private final Queue<Place> places;

  private int nodes;
  private int[] parent = new int[INITIAL_NODES];
  private int[] depth = new int[INITIAL_NODES];
  private int[] token = new int[INITIAL_NODES];
  private double[] estimate = new double[INITIAL_NODES];

  /** The draft distribution of each node, the caller's array; null before it is known. */
  private float[][] distribution = new float[INITIAL_NODES][];

  private long age;
  private Place current;

  private DySpecTree(int root, int budget, double threshold, int maxDepth, Queue<Place> places) {
    if (budget < 0) {
      throw new IllegalArgumentException("budget is " + budget + ", expected at least 0");
    }
    if (maxDepth < 0) {
      throw new IllegalArgumentException("depth is " + maxDepth + ", expected at least 0");
    }
    this.budget = budget;
    this.threshold = threshold;
    this.maxDepth = maxDepth;
    this.places = places;
    addNode(-1, 0, root, 1);
  }

  /**
   * Takes the best place until there are enough nodes.
   *
   * @param root the last decided token
   * @param budget nodes to draw, the root not counted
   */
  public static DySpecTree ofBudget(int root, int budget) {
    return new DySpecTree(
        root,
        budget,
        0,
        Integer.MAX_VALUE,
        new PriorityQueue<>(
            Comparator.comparingDouble(Place::estimate).reversed().thenComparingLong(Place::age)));
  }

  /**
   * Takes every place with an estimate of at least a threshold, level by level.
   *
   * @param root the last decided token
   * @param threshold in (0, 1]; about 1 / nodes
   * @param maxDepth nodes at this depth get no children
   * @param budget the most nodes to draw, the root not counted
   */
  public static DySpecTree ofThreshold(int root, double threshold, int maxDepth, int budget) {
    if (!(threshold > 0 && threshold <= 1)) {
      throw new IllegalArgumentException("threshold is " + threshold + ", expected in (0, 1]");
    }
    return new DySpecTree(root, budget, threshold, maxDepth, new ArrayDeque<>());
  }

  /**
   * Goes to the next place.
   *
   * @return the node that gets a child there, or −1 when the tree is complete
   * @throws IllegalStateException if nothing was drawn at the last one
   */
  public int next() {
    if (current != null) {
      throw new IllegalStateException("nothing was drawn for node " + current.node);
    }
    if (nodes > budget) {
      return -1;
    }
    current = places.poll();
    return current == null ? -1 : current.node;
  }

  /** Whether the draft model's distribution after the node is not known yet. */
  public boolean needsDistribution() {
    return distribution[requireCurrent().node] == null;
  }

  /**
   * Gives the draft model's distribution after the node.
   *
   * @param probabilities one per token, summing to about 1; kept, not copied
   * @throws IllegalArgumentException if one is NaN, negative or infinite, or all are 0
   */
  public void distribution(float[] probabilities) {
    double sum = 0;
    for (int i = 0; i < probabilities.length; i++) {
      if (!(probabilities[i] >= 0 && probabilities[i] < Float.POSITIVE_INFINITY)) {
        throw new IllegalArgumentException(
            "the probability of token %d is %s, expected at least 0"
                .formatted(i, probabilities[i]));
      }
      sum += probabilities[i];
    }
    if (sum == 0) {
      throw new IllegalArgumentException("no token has a probability above 0");
    }
    distribution[requireCurrent().node] = probabilities;
  }

  /**
   * Draws a child for the node.
   *
   * @param uniform in [0, 1): the first token whose share of what is left, summed up to it in F64,
   *     exceeds it
   * @return the new node
   * @throws IllegalArgumentException if the number is outside [0, 1)
   * @throws IllegalStateException if there is no current node or its distribution is missing
   */
  public int draw(double uniform) {
    if (!(uniform >= 0 && uniform < 1)) {
      throw new IllegalArgumentException("uniform is " + uniform + ", expected in [0, 1)");
    }
    if (needsDistribution()) {
      throw new IllegalStateException(
          "the distribution after node " + current.node + " is missing");
    }
    Place place = current;
    current = null;
    float[] left = left(place.node);
    double total = 0;
    for (float p : left) {
      total += p;
    }
    int drawn = -1;
    double sum = 0;
    for (int i = 0; i < left.length; i++) {
      sum += left[i];
      if (left[i] > 0) {
        drawn = i; // the last of positive probability, if rounding keeps the sum below
        if (sum > uniform * total) {
          break;
        }
      }
    }
    double share = left[drawn] / total;
    int node = addNode(place.node, depth[place.node] + 1, drawn, place.estimate * share);
    // What is left is 0 exactly when the last token was drawn, whatever 1 − share rounds to.
    boolean exhausted = true;
    for (int i = 0; i < left.length && exhausted; i++) {
      exhausted = left[i] == 0 || i == drawn;
    }
    if (!exhausted) {
      addSibling(place, place.estimate * (1 - share));
    }
    return node;
  }

  /** A node's distribution without the tokens of its children. */
  private float[] left(int node) {
    float[] left = distribution[node].clone();
    for (int i = node + 1; i < nodes; i++) {
      if (parent[i] == node) {
        left[token[i]] = 0;
      }
    }
    return left;
  }

  private int addNode(int parentNode, int nodeDepth, int nodeToken, double nodeEstimate) {
    if (nodes == parent.length) {
      int longer = 2 * nodes;
      parent = Arrays.copyOf(parent, longer);
      depth = Arrays.copyOf(depth, longer);
      token = Arrays.copyOf(token, longer);
      estimate = Arrays.copyOf(estimate, longer);
      distribution = Arrays.copyOf(distribution, longer);
    }
    parent[nodes] = parentNode;
    depth[nodes] = nodeDepth;
    token[nodes] = nodeToken;
    estimate[nodes] = nodeEstimate;
    if (nodeDepth < maxDepth && nodeEstimate >= threshold) {
      places.add(new Place(nodes, age++, nodeEstimate));
    }
    return nodes++;
  }

  private void addSibling(Place place, double left) {
    if (left < threshold) {
      return;
    }
    Place sibling = new Place(place.node, age++, left);
    if (places instanceof ArrayDeque<Place> queue) {
      queue.addFirst(sibling); // a node's children come one after the other
    } else {
      places.add(sibling);
    }
  }

  private Place requireCurrent() {
    if (current == null) {
      throw new IllegalStateException("no current node; call next()");
    }
    return current;
  }

  /** The tokens from the root to a node. */
  public int[] tokens(int node) {
    int[] path = new int[depth[node] + 1];
    for (int i = node; i >= 0; i = parent[i]) {
      path[depth[i]] = token[i];
    }
    return path;
  }

  /** The estimated probability that a node is accepted; 1 for the root. */
  public double estimate(int node) {
    return estimate[node];
  }

  /** The tree so far, with tokens; children are in the order in which they were drawn. */
  public DraftTree tree() {
    return DraftTree.of(Arrays.copyOf(parent, nodes)).withTokens(Arrays.copyOf(token, nodes));
  }
}
