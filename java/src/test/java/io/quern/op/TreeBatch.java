package io.quern.op;

import io.quern.DType;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;

/**
 * Draft trees of several requests, drawn by a seed, and what documentation says of each.
 *
 * @param sizes nodes of each request
 * @param kinds of the requests in turn
 * @param badOffsets whether some offsets descend or leave the nodes
 */
public record TreeBatch(List<Integer> sizes, List<TreeKind> kinds, boolean badOffsets, long seed) {
  /** Nodes before the first and behind the last request, which belong to none. */
  private static final int LEAD = 2;

  /** Copies the lists. */
  public TreeBatch {
    sizes = List.copyOf(sizes);
    kinds = List.copyOf(kinds);
  }

  /** Trees of one kind. */
  public static TreeBatch of(TreeKind kind, Integer... sizes) {
    return new TreeBatch(List.of(sizes), List.of(kind), false, sizes.length);
  }

  int requests() {
    return sizes.size();
  }

  int nodes() {
    return 2 * LEAD + sizes.stream().mapToInt(n -> n).sum();
  }

  long[] parents() {
    SplittableRandom random = new SplittableRandom(seed);
    long[] parents = new long[nodes()];
    int at = LEAD;
    for (int b = 0; b < requests(); b++) {
      for (int parent : kinds.get(b % kinds.size()).parents(sizes.get(b), random)) {
        parents[at++] = parent;
      }
    }
    return parents;
  }

  long[] offsets() {
    long[] offsets = new long[requests() + 1];
    offsets[0] = LEAD;
    for (int b = 0; b < requests(); b++) {
      offsets[b + 1] = offsets[b] + sizes.get(b);
    }
    if (badOffsets) {
      BadIndices.among(offsets, nodes() + 1L, DType.I32, new SplittableRandom(~seed));
    }
    return offsets;
  }

  /** Prefix lengths up to a limit, every third a bad one; those of I32 fit it. */
  long[] prefixes(int limit, DType dtype, boolean bad) {
    SplittableRandom random = new SplittableRandom(seed ^ 77);
    long[] prefixes = new long[requests()];
    for (int b = 0; b < prefixes.length; b++) {
      prefixes[b] = random.nextInt(limit + 1);
      if (bad && b % 3 == 1) {
        prefixes[b] = dtype == DType.I64 && random.nextBoolean() ? 1L << 31 : -1 - prefixes[b];
      }
    }
    return prefixes;
  }

  /**
   * What a request is.
   *
   * @param first its first row
   * @param parents of its nodes, good or bad; none where the offsets are bad
   * @param own nodes between its own offsets, were it not for those of others
   */
  record Request(TreeStatus status, int first, int[] parents, int own) {
    int count() {
      return parents.length;
    }

    /** What each node sees, itself included. Only where the request is OK. */
    boolean[][] visible() {
      boolean[][] visible = new boolean[count()][count()];
      for (int i = 0; i < count(); i++) {
        if (i > 0) {
          System.arraycopy(visible[parents[i]], 0, visible[i], 0, i);
        }
        visible[i][i] = true;
      }
      return visible;
    }
  }

  List<Request> judge() {
    long[] parents = parents();
    long[] offsets = offsets();
    List<Request> requests = new ArrayList<>();
    for (int b = 0; b < requests(); b++) {
      boolean own = 0 <= offsets[b] && offsets[b] <= offsets[b + 1] && offsets[b + 1] <= nodes();
      boolean apart = true;
      for (int a = 0; a < b; a++) {
        apart &= offsets[a] <= offsets[b];
      }
      int nodes = own ? (int) (offsets[b + 1] - offsets[b]) : 0;
      if (!own || !apart) {
        requests.add(new Request(TreeStatus.OFFSETS, 0, new int[0], nodes));
        continue;
      }
      int[] local = new int[nodes];
      for (int i = 0; i < nodes; i++) {
        local[i] = (int) parents[(int) offsets[b] + i];
      }
      requests.add(new Request(judge(local), (int) offsets[b], local, nodes));
    }
    return requests;
  }

  static TreeStatus judge(int[] parents) {
    TreeStatus status = TreeStatus.OK;
    for (int i = parents.length - 1; i > 0; i--) {
      status = parents[i] < 0 || parents[i] >= i ? TreeStatus.PARENT : status;
    }
    return parents.length > 0 && parents[0] != -1 ? TreeStatus.ROOT : status;
  }
}
