package io.quern.tree;

import java.util.Arrays;

/**
 * A draft tree: node 0 is the root, the last token that the target has decided; every other node is
 * a candidate for the token after its parent, and has a higher number than it. Immutable and
 * thread-safe.
 *
 * <p>{@code parent[0] = −1} and {@code parent[i] < i}; everything else (depth, children, masks,
 * leaf paths) follows from it. Siblings have an order, the order in which they were drawn:
 * ascending in number, unless {@link #reorder} renumbered the nodes. Verification without
 * replacement depends on it.
 */
public final class DraftTree {
  private static final int NONE = -1;

  private final int[] parent;
  private final int[] depth;
  private final int[] firstChild;
  private final int[] nextSibling;
  private final int[] tokens;

  private DraftTree(int[] parent, int[] firstChild, int[] nextSibling, int[] tokens) {
    this.parent = parent;
    this.firstChild = firstChild;
    this.nextSibling = nextSibling;
    this.tokens = tokens;
    this.depth = new int[parent.length];
    for (int i = 1; i < parent.length; i++) {
      depth[i] = depth[parent[i]] + 1;
    }
  }

  /**
   * A tree without tokens.
   *
   * @param parent one number per node, copied
   * @throws IllegalArgumentException if there is no node, node 0 has a parent, or the parent of
   *     another node is not before it
   */
  public static DraftTree of(int... parent) {
    int n = parent.length;
    if (n == 0) {
      throw new IllegalArgumentException("no nodes, expected at least the root");
    }
    for (int i = 0; i < n; i++) {
      if (i == 0 ? parent[0] != NONE : parent[i] < 0 || parent[i] >= i) {
        throw new IllegalArgumentException(
            "the parent of node %d is %d, expected %s"
                .formatted(i, parent[i], i == 0 ? "-1" : "0 to " + (i - 1)));
      }
    }
    int[] firstChild = filled(n);
    int[] nextSibling = filled(n);
    for (int i = n - 1; i > 0; i--) {
      nextSibling[i] = firstChild[parent[i]];
      firstChild[parent[i]] = i;
    }
    return new DraftTree(parent.clone(), firstChild, nextSibling, null);
  }

  /** The root alone. */
  public static DraftTree root() {
    return of(NONE);
  }

  /**
   * One child per node: the root and {@code length} nodes below it.
   *
   * @throws IllegalArgumentException if the length is negative
   */
  public static DraftTree chain(int length) {
    if (length < 0) {
      throw new IllegalArgumentException("length is " + length + ", expected at least 0");
    }
    int[] parent = new int[length + 1];
    Arrays.setAll(parent, i -> i - 1);
    return of(parent);
  }

  /**
   * Every node of a level has the same number of children, numbered level by level: the {@code
   * k_config} of multi-candidate speculative decoding (MCSD), which does not count the root.
   *
   * @param branching children of each node at depth 0, 1, …
   * @throws IllegalArgumentException if one is below 1, or there would be more than 2^31 − 1 nodes
   */
  public static DraftTree kAry(int... branching) {
    long level = 1;
    long nodes = 1;
    for (int k : branching) {
      if (k < 1) {
        throw new IllegalArgumentException(
            "branching is " + Arrays.toString(branching) + ", expected 1 or more everywhere");
      }
      level *= k;
      nodes += level;
      if (nodes > Integer.MAX_VALUE) {
        throw new IllegalArgumentException(
            "branching " + Arrays.toString(branching) + " gives more than 2^31 - 1 nodes");
      }
    }
    int[] parent = new int[(int) nodes];
    parent[0] = NONE;
    int begin = 0;
    int end = 1;
    for (int k : branching) {
      int next = end;
      for (int i = begin; i < end; i++) {
        Arrays.fill(parent, next, next + k, i);
        next += k;
      }
      begin = end;
      end = next;
    }
    return of(parent);
  }

  /**
   * Reconstructs a tree from its mask, as SGLang's n-gram speculation does: the parent of a node is
   * the highest-numbered other node that it sees.
   *
   * @param visible [n, n], row-major: whether node {@code i} sees node {@code j}
   * @throws IllegalArgumentException if the mask is that of no tree in canonical form
   */
  public static DraftTree ofMask(boolean... visible) {
    int n = (int) Math.sqrt(visible.length);
    if (n == 0 || n * n != visible.length) {
      throw new IllegalArgumentException(
          "a mask of %d elements, expected n × n with n at least 1".formatted(visible.length));
    }
    int[] parent = new int[n];
    for (int i = 0; i < n; i++) {
      int j = i - 1;
      while (j >= 0 && !visible[i * n + j]) {
        j--;
      }
      parent[i] = j;
    }
    DraftTree tree = of(parent);
    int different = Arrays.mismatch(tree.mask(), visible);
    if (different >= 0) {
      throw new IllegalArgumentException(
          "the mask is that of no tree: node %d %s node %d"
              .formatted(
                  different / n, visible[different] ? "sees" : "does not see", different % n));
    }
    return tree;
  }

  /**
   * The same tree with tokens.
   *
   * @param tokens one per node, the root's included; copied
   * @throws IllegalArgumentException if there are more or fewer than nodes
   */
  public DraftTree withTokens(int... tokens) {
    if (tokens.length != size()) {
      throw new IllegalArgumentException("%d tokens, expected %d".formatted(tokens.length, size()));
    }
    return new DraftTree(parent, firstChild, nextSibling, tokens.clone());
  }

  /** Number of nodes, the root included. */
  public int size() {
    return parent.length;
  }

  /** The parent of a node, −1 for the root. */
  public int parent(int node) {
    return parent[node];
  }

  /** The parents of all nodes. */
  public int[] parents() {
    return parent.clone();
  }

  /** Whether the nodes have tokens. */
  public boolean hasTokens() {
    return tokens != null;
  }

  /**
   * The token of a node.
   *
   * @throws IllegalStateException if the tree has no tokens
   */
  public int token(int node) {
    requireTokens();
    return tokens[node];
  }

  /**
   * The tokens of all nodes.
   *
   * @throws IllegalStateException if the tree has no tokens
   */
  public int[] tokens() {
    requireTokens();
    return tokens.clone();
  }

  private void requireTokens() {
    if (tokens == null) {
      throw new IllegalStateException("the tree has no tokens");
    }
  }

  /** Edges between a node and the root. */
  public int depth(int node) {
    return depth[node];
  }

  /** The depths of all nodes; a position id is the depth and the length of the prefix. */
  public int[] depths() {
    return depth.clone();
  }

  /** The largest depth. */
  public int maxDepth() {
    return Arrays.stream(depth).max().getAsInt();
  }

  /** The child of a node that was drawn first, −1 for a leaf. */
  public int firstChild(int node) {
    return firstChild[node];
  }

  /** The first children of all nodes. */
  public int[] firstChildren() {
    return firstChild.clone();
  }

  /** The sibling that was drawn next, −1 for the last. */
  public int nextSibling(int node) {
    return nextSibling[node];
  }

  /** The next siblings of all nodes. */
  public int[] nextSiblings() {
    return nextSibling.clone();
  }

  /** Whether a node has no children. */
  public boolean isLeaf(int node) {
    return firstChild[node] == NONE;
  }

  /** The children of a node, in the order in which they were drawn. */
  public int[] children(int node) {
    int count = 0;
    for (int child = firstChild[node]; child != NONE; child = nextSibling[child]) {
      count++;
    }
    int[] children = new int[count];
    int i = 0;
    for (int child = firstChild[node]; child != NONE; child = nextSibling[child]) {
      children[i++] = child;
    }
    return children;
  }

  /** The nodes without children, ascending. */
  public int[] leaves() {
    int[] leaves = new int[size()];
    int count = 0;
    for (int i = 0; i < size(); i++) {
      if (isLeaf(i)) {
        leaves[count++] = i;
      }
    }
    return Arrays.copyOf(leaves, count);
  }

  /** The nodes from the root to a node, both included. */
  public int[] path(int node) {
    int[] path = new int[depth[node] + 1];
    for (int i = node; i != NONE; i = parent[i]) {
      path[depth[i]] = i;
    }
    return path;
  }

  /** Whether {@code node} sees {@code other}: itself and its ancestors. */
  public boolean isVisible(int node, int other) {
    int ancestor = node;
    while (ancestor > other) {
      ancestor = parent[ancestor];
    }
    return ancestor == other;
  }

  /** The mask, [n, n] row-major: whether node {@code i} sees node {@code j}. */
  public boolean[] mask() {
    int n = size();
    boolean[] mask = new boolean[Math.multiplyExact(n, n)];
    for (int i = 0; i < n; i++) {
      for (int j = i; j != NONE; j = parent[j]) {
        mask[i * n + j] = true;
      }
    }
    return mask;
  }

  /** Nodes of the subtree below and including each node. */
  public int[] subtreeSizes() {
    int[] sizes = new int[size()];
    for (int i = size() - 1; i >= 0; i--) {
      sizes[i]++;
      if (i > 0) {
        sizes[parent[i]] += sizes[i];
      }
    }
    return sizes;
  }

  /**
   * The nodes in depth-first order, siblings as drawn: an argument for {@link #reorder}.
   *
   * @return which node comes at each place
   */
  public int[] depthFirstOrder() {
    int[] order = new int[size()];
    int node = 0;
    for (int i = 0; i < order.length; i++) {
      order[i] = node;
      int next = firstChild[node];
      while (next == NONE && node != 0) {
        next = nextSibling[node];
        node = parent[node];
      }
      node = next;
    }
    return order;
  }

  /**
   * The nodes in depth-first order, siblings by descending size of their subtrees (as drawn where
   * these are equal): an argument for {@link #reorder} that leaves few non-empty blocks in the mask
   * (DySpec, arXiv 2410.11744, appendix C).
   *
   * @return which node comes at each place
   */
  public int[] heavyPathOrder() {
    int[] sizes = subtreeSizes();
    int[] stack = new int[size()];
    int[] order = new int[size()];
    int top = 1; // the root lies there already
    for (int i = 0; i < order.length; i++) {
      int node = stack[--top];
      order[i] = node;
      Integer[] children = Arrays.stream(children(node)).boxed().toArray(Integer[]::new);
      Arrays.sort(children, (a, b) -> Integer.compare(sizes[b], sizes[a]));
      for (int c = children.length - 1; c >= 0; c--) {
        stack[top++] = children[c];
      }
    }
    return order;
  }

  /**
   * The same tree with its nodes renumbered; siblings keep the order in which they were drawn.
   *
   * @param order which node of this tree comes at each place
   * @throws IllegalArgumentException if it is no permutation, or a node comes before its parent
   */
  public DraftTree reorder(int... order) {
    int n = size();
    if (order.length != n) {
      throw new IllegalArgumentException(
          "an order of %d nodes, expected %d".formatted(order.length, n));
    }
    int[] place = filled(n);
    for (int i = 0; i < n; i++) {
      int node = order[i];
      if (node < 0 || node >= n || place[node] != NONE) {
        throw new IllegalArgumentException(
            "place %d of the order has node %d, expected each of 0 to %d once"
                .formatted(i, node, n - 1));
      }
      if (node != 0 && place[parent[node]] == NONE) {
        throw new IllegalArgumentException(
            "place %d of the order has node %d, before its parent %d"
                .formatted(i, node, parent[node]));
      }
      place[node] = i;
    }
    int[] newTokens = tokens == null ? null : new int[n];
    for (int i = 0; i < n && tokens != null; i++) {
      newTokens[i] = tokens[order[i]];
    }
    return new DraftTree(
        renumbered(parent, order, place),
        renumbered(firstChild, order, place),
        renumbered(nextSibling, order, place),
        newTokens);
  }

  private static int[] renumbered(int[] nodes, int[] order, int[] place) {
    int[] renumbered = new int[nodes.length];
    for (int i = 0; i < nodes.length; i++) {
      int node = nodes[order[i]];
      renumbered[i] = node == NONE ? NONE : place[node];
    }
    return renumbered;
  }

  /**
   * How many blocks of {@code block} × {@code block} elements of the mask are not empty; what a
   * block-sparse attention kernel has to compute.
   *
   * @throws IllegalArgumentException if the block is smaller than 1
   */
  public long maskBlocks(int block) {
    if (block < 1) {
      throw new IllegalArgumentException("block is " + block + ", expected at least 1");
    }
    int[] seenBy = filled((size() + block - 1) / block);
    long blocks = 0;
    for (int i = 0; i < size(); i++) {
      for (int j = i; j != NONE; j = parent[j]) {
        if (seenBy[j / block] != i / block) {
          seenBy[j / block] = i / block;
          blocks++;
        }
      }
    }
    return blocks;
  }

  private static int[] filled(int n) {
    int[] filled = new int[n];
    Arrays.fill(filled, NONE);
    return filled;
  }

  /** Equal are trees with the same parents, order of siblings and tokens. */
  @Override
  public boolean equals(Object other) {
    return other instanceof DraftTree tree
        && Arrays.equals(parent, tree.parent)
        && Arrays.equals(firstChild, tree.firstChild)
        && Arrays.equals(nextSibling, tree.nextSibling)
        && Arrays.equals(tokens, tree.tokens);
  }

  @Override
  public int hashCode() {
    return 31 * Arrays.hashCode(parent) + Arrays.hashCode(tokens);
  }

  @Override
  public String toString() {
    return size() <= 32
        ? "parents "
            + Arrays.toString(parent)
            + (tokens == null ? "" : " tokens " + Arrays.toString(tokens))
        : "%d nodes, depth %d".formatted(size(), maxDepth());
  }
}
