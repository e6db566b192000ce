package io.quern.tree;

import io.quern.Buffer;
import io.quern.DType;
import io.quern.Stream;
import java.lang.foreign.MemorySegment;
import java.util.List;
import java.util.function.Function;

/**
 * Several trees as operators take them: the arrays of their nodes back to back, and where each tree
 * begins. Numbers of nodes stay local to their tree. Immutable and thread-safe.
 */
public final class TreeBatch {
  private final List<DraftTree> trees;
  private final int[] offsets;

  private TreeBatch(List<DraftTree> trees, int[] offsets) {
    this.trees = trees;
    this.offsets = offsets;
  }

  /**
   * A batch of any number of trees.
   *
   * @throws IllegalArgumentException if they have more than 2^31 − 1 nodes together
   */
  public static TreeBatch of(List<DraftTree> trees) {
    int[] offsets = new int[trees.size() + 1];
    for (int b = 0; b < trees.size(); b++) {
      long end = (long) offsets[b] + trees.get(b).size();
      if (end > Integer.MAX_VALUE) {
        throw new IllegalArgumentException("the trees have more than 2^31 - 1 nodes");
      }
      offsets[b + 1] = (int) end;
    }
    return new TreeBatch(List.copyOf(trees), offsets);
  }

  /** A batch of these trees. */
  public static TreeBatch of(DraftTree... trees) {
    return of(List.of(trees));
  }

  /** The trees. */
  public List<DraftTree> trees() {
    return trees;
  }

  /** Nodes of all trees. */
  public int nodes() {
    return offsets[trees.size()];
  }

  /** Where each tree begins, and where the last one ends: [trees + 1]. */
  public int[] offsets() {
    return offsets.clone();
  }

  /**
   * Copies {@link #offsets} into an I32 buffer of shape [trees + 1], in stream order.
   *
   * @throws IllegalArgumentException if the buffer has another dtype or shape
   */
  public void copyOffsets(Buffer to, Stream stream) {
    copy("offsets", offsets, to, stream);
  }

  /** Copies the parents into an I32 buffer of shape [nodes]. */
  public void copyParents(Buffer to, Stream stream) {
    copy("parents", concatenated(DraftTree::parents), to, stream);
  }

  /** Copies the first children into an I32 buffer of shape [nodes]. */
  public void copyFirstChildren(Buffer to, Stream stream) {
    copy("first children", concatenated(DraftTree::firstChildren), to, stream);
  }

  /** Copies the next siblings into an I32 buffer of shape [nodes]. */
  public void copyNextSiblings(Buffer to, Stream stream) {
    copy("next siblings", concatenated(DraftTree::nextSiblings), to, stream);
  }

  /**
   * Copies the tokens into an I32 buffer of shape [nodes].
   *
   * @throws IllegalStateException if a tree has no tokens
   */
  public void copyTokens(Buffer to, Stream stream) {
    copy("tokens", concatenated(DraftTree::tokens), to, stream);
  }

  private int[] concatenated(Function<DraftTree, int[]> array) {
    int[] all = new int[nodes()];
    for (int b = 0; b < trees.size(); b++) {
      int[] part = array.apply(trees.get(b));
      System.arraycopy(part, 0, all, offsets[b], part.length);
    }
    return all;
  }

  private static void copy(String what, int[] values, Buffer to, Stream stream) {
    if (to.dtype() != DType.I32 || to.shape().rank() != 1 || to.shape().dim(0) != values.length) {
      throw new IllegalArgumentException(
          "%s copied into %s %s, expected I32 [%d]"
              .formatted(what, to.dtype(), to.shape(), values.length));
    }
    to.copyFrom(MemorySegment.ofArray(values), stream);
  }
}
