package io.quern.tree;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * A draft tree whose shape is fixed in advance: each node takes the candidate of a certain rank (0
 * is the best) for the token after its parent. Published trees are lists of paths of such ranks,
 * {@code [0], [1], [0, 0], …}. Immutable and thread-safe.
 *
 * <p>The projections {@link #treeIndices} and {@link #retrieveIndices} are those of {@code
 * generate_medusa_buffers}, {@code generate_tree_buffers} (EAGLE-1) and {@code prepare_data} (Token
 * Recycling), which order rows differently; mask and position ids are the {@link DraftTree}'s.
 */
public final class StaticTree {
  /** Whose order of rows and numbering of candidates. */
  public enum Flavour {
    /** Medusa: one block of candidates per head, leaves from the last to the first. */
    MEDUSA,
    /** EAGLE-1 and LANTERN: one block of candidates per group of siblings, rows sorted. */
    EAGLE,
    /** Token Recycling: the rank is all there is, leaves from the first to the last. */
    TOKEN_RECYCLING
  }

  private final DraftTree tree;
  private final int[] ranks;

  private StaticTree(DraftTree tree, int[] ranks) {
    this.tree = tree;
    this.ranks = ranks;
  }

  /**
   * Each node takes the rank that is its place among its siblings.
   *
   * @param tree its tokens do not matter
   */
  public static StaticTree of(DraftTree tree) {
    int[] ranks = new int[tree.size()];
    for (int i = 0; i < tree.size(); i++) {
      int rank = 0;
      for (int child = tree.firstChild(i); child >= 0; child = tree.nextSibling(child)) {
        ranks[child] = rank++;
      }
    }
    return new StaticTree(tree, ranks);
  }

  /**
   * From paths in any order; nodes are numbered by (length, lexicographic) as Medusa, EAGLE and
   * vLLM do.
   *
   * @param paths without the empty path, which is the root
   * @throws IllegalArgumentException if a path is empty, has a negative rank, is given twice, or
   *     its proper prefixes are not all given
   */
  public static StaticTree ofPaths(List<int[]> paths) {
    List<int[]> sorted = new ArrayList<>(paths);
    sorted.sort(Comparator.<int[]>comparingInt(path -> path.length).thenComparing(Arrays::compare));
    return inGivenOrder(sorted);
  }

  /**
   * From paths in the order of the nodes, as Token Recycling keeps them: a path comes after its
   * prefixes.
   *
   * @throws IllegalArgumentException as for {@link #ofPaths}, and if a path comes before a prefix
   */
  public static StaticTree inGivenOrder(List<int[]> paths) {
    int n = paths.size() + 1;
    int[] parent = new int[n];
    int[] ranks = new int[n];
    parent[0] = -1;
    Map<Long, Integer> nodes = new HashMap<>();
    for (int i = 1; i < n; i++) {
      int[] path = paths.get(i - 1);
      if (path.length == 0) {
        throw new IllegalArgumentException("a path is empty; the root is not to be listed");
      }
      int node = 0;
      for (int d = 0; d < path.length - 1; d++) {
        Integer next = nodes.get(edge(node, path[d]));
        if (next == null) {
          throw new IllegalArgumentException(
              "path %s is not preceded by its prefix of length %d".formatted(text(path), d + 1));
        }
        node = next;
      }
      int rank = path[path.length - 1];
      if (rank < 0) {
        throw new IllegalArgumentException("path %s has a negative rank".formatted(text(path)));
      }
      if (nodes.put(edge(node, rank), i) != null) {
        throw new IllegalArgumentException("path %s is given twice".formatted(text(path)));
      }
      parent[i] = node;
      ranks[i] = rank;
    }
    return new StaticTree(DraftTree.of(parent), ranks);
  }

  private static long edge(int node, int rank) {
    return (long) node << Integer.SIZE | Integer.toUnsignedLong(rank);
  }

  private static String text(int[] path) {
    return path.length <= 16
        ? Arrays.toString(path)
        : Arrays.toString(Arrays.copyOf(path, 16)) + "… of " + path.length;
  }

  /** The tree, without tokens. */
  public DraftTree tree() {
    return tree;
  }

  /** The rank that a node takes; 0 for the root, where it means nothing. */
  public int rank(int node) {
    return ranks[node];
  }

  /** The ranks of all nodes. */
  public int[] ranks() {
    return ranks.clone();
  }

  /** How many candidates a node must have at least: the highest rank and one more. */
  public int candidates() {
    return tree.size() == 1 ? 0 : Arrays.stream(ranks).max().getAsInt() + 1;
  }

  /** The ranks from the root to a node; empty for the root. */
  public int[] path(int node) {
    int[] path = new int[tree.depth(node)];
    for (int i = node; i != 0; i = tree.parent(i)) {
      path[tree.depth(i) - 1] = ranks[i];
    }
    return path;
  }

  /** The paths of all nodes but the root, in their order. */
  public List<int[]> paths() {
    List<int[]> paths = new ArrayList<>();
    for (int i = 1; i < tree.size(); i++) {
      paths.add(path(i));
    }
    return paths;
  }

  /**
   * Which candidate each node takes out of the list {@code [root, candidates of block 0, candidates
   * of block 1, …]}: the block of a node at depth d is d − 1 with MEDUSA. With EAGLE one more is
   * added for each change of parent between neighbours of a level, counted over the whole tree.
   * With TOKEN_RECYCLING it is the rank, −1 for the root.
   *
   * @param block candidates of a block; 10 in what was published; not used by TOKEN_RECYCLING
   * @throws IllegalArgumentException if a block has fewer candidates than the tree needs
   */
  public int[] treeIndices(Flavour flavour, int block) {
    int[] indices = ranks.clone();
    if (flavour == Flavour.TOKEN_RECYCLING) {
      indices[0] = -1;
      return indices;
    }
    if (block < candidates()) {
      throw new IllegalArgumentException(
          "blocks of %d candidates, expected at least %d".formatted(block, candidates()));
    }
    int changes = 0;
    for (int i = 1; i < indices.length; i++) {
      if (flavour == Flavour.EAGLE
          && tree.depth(i) == tree.depth(i - 1)
          && tree.parent(i) != tree.parent(i - 1)) {
        changes++;
      }
      indices[i] =
          Math.addExact(ranks[i] + 1, Math.multiplyExact(block, tree.depth(i) - 1 + changes));
    }
    return indices;
  }

  /**
   * The nodes of each path from the root to a leaf, [leaves, max depth + 1] row-major, padded with
   * −1. The order of rows decides which of several equally long accepted paths is taken.
   */
  public int[] retrieveIndices(Flavour flavour) {
    List<int[]> rows = new ArrayList<>();
    for (int leaf : tree.leaves()) {
      rows.add(tree.path(leaf));
    }
    switch (flavour) {
      case MEDUSA -> rows = rows.reversed();
      // EAGLE has padding come after every node, but no row is a prefix of another.
      case EAGLE -> rows.sort(Arrays::compare);
      case TOKEN_RECYCLING -> {}
    }
    int width = tree.maxDepth() + 1;
    int[] indices = new int[Math.multiplyExact(rows.size(), width)];
    Arrays.fill(indices, -1);
    for (int i = 0; i < rows.size(); i++) {
      System.arraycopy(rows.get(i), 0, indices, i * width, rows.get(i).length);
    }
    return indices;
  }

  /** Equal are trees with the same nodes, in the same order, with the same ranks. */
  @Override
  public boolean equals(Object other) {
    return other instanceof StaticTree that
        && tree.equals(that.tree)
        && Arrays.equals(ranks, that.ranks);
  }

  @Override
  public int hashCode() {
    return 31 * tree.hashCode() + Arrays.hashCode(ranks);
  }

  @Override
  public String toString() {
    return "%d nodes, depth %d, %d candidates"
        .formatted(tree.size(), tree.maxDepth(), candidates());
  }
}
