package io.quern.op;

/**
 * Which tokens may be merged (sources) into which (destinations), and in which order the rest
 * stands by {@link TokenOrder#PUBLISHED}.
 */
public sealed interface MergeScheme {
  /** Every token is itself: nothing to merge. */
  boolean isIdentity(long tokens, long merges);

  /** Number of sources. */
  long sources(long tokens);

  /** Number of destinations. */
  long destinations(long tokens);

  /** How many sources are merged at most where {@code asked} are asked for. */
  long merges(long tokens, long asked);

  /** Whether only the most similar sources are merged, not all of them. */
  boolean selects();

  /**
   * ToMe: even tokens are sources, odd ones destinations. Left: the unmerged sources, by token
   * where there is a class token, else by descending similarity; then the destinations. With a
   * distillation token the first destination stands second.
   *
   * @param classToken token 0 is never merged
   * @param distillToken nothing is merged into token 1
   */
  record Bipartite(boolean classToken, boolean distillToken) implements MergeScheme {
    @Override
    public boolean isIdentity(long tokens, long merges) {
      return merges == 0;
    }

    @Override
    public long sources(long tokens) {
      return tokens - tokens / 2;
    }

    @Override
    public long destinations(long tokens) {
      return tokens / 2;
    }

    @Override
    public long merges(long tokens, long asked) {
      long isolated = (classToken ? 1 : 0) + (distillToken ? 1 : 0);
      long free = destinations(tokens) - (distillToken ? 1 : 0);
      return free < 1 ? 0 : Math.clamp((tokens - isolated) / 2, 0, Math.max(0, asked));
    }

    @Override
    public boolean selects() {
      return true;
    }
  }

  /**
   * ToMe's every k-th token is a destination, the others are sources and all merged. Tokens beyond
   * the last whole group of k are dropped. Left: the destinations. With k ≤ 1 nothing happens.
   */
  record EveryKth(long k) implements MergeScheme {
    @Override
    public boolean isIdentity(long tokens, long merges) {
      return k <= 1;
    }

    @Override
    public long sources(long tokens) {
      return k <= 1 ? 0 : tokens / k * (k - 1);
    }

    @Override
    public long destinations(long tokens) {
      return k <= 1 ? tokens : tokens / k;
    }

    @Override
    public long merges(long tokens, long asked) {
      return sources(tokens);
    }

    @Override
    public boolean selects() {
      return false;
    }
  }

  /**
   * ToMe's random partition: by the given permutation the first tokens are sources and all merged,
   * the rest are destinations and left, in the permutation's order.
   *
   * @param merged sources; with 0 or fewer nothing happens
   */
  record Permuted(long merged) implements MergeScheme {
    @Override
    public boolean isIdentity(long tokens, long merges) {
      return merged <= 0;
    }

    @Override
    public long sources(long tokens) {
      return Math.max(0, merged);
    }

    @Override
    public long destinations(long tokens) {
      return tokens - sources(tokens);
    }

    @Override
    public long merges(long tokens, long asked) {
      return sources(tokens);
    }

    @Override
    public boolean selects() {
      return false;
    }
  }

  /**
   * ToMeSD: in a grid of tokens each whole cell has one destination, everything else is a source.
   * Left: the unmerged sources by descending similarity, then the destinations by token.
   *
   * @param width tokens of a line; token y · width + x
   * @param height lines
   * @param strideX width of a cell
   * @param strideY height of a cell
   */
  record Grid(int width, int height, int strideX, int strideY) implements MergeScheme {
    /** Checks the sizes. */
    public Grid {
      if (width < 0 || height < 0 || strideX < 1 || strideY < 1) {
        throw new IllegalArgumentException(
            "grid of %d × %d in cells of %d × %d".formatted(width, height, strideX, strideY));
      }
    }

    /** Cells of a line. */
    public int columns() {
      return width / strideX;
    }

    /** Lines of cells. */
    public int rows() {
      return height / strideY;
    }

    @Override
    public boolean isIdentity(long tokens, long merges) {
      return merges == 0;
    }

    @Override
    public long sources(long tokens) {
      return tokens - destinations(tokens);
    }

    @Override
    public long destinations(long tokens) {
      return (long) columns() * rows();
    }

    @Override
    public long merges(long tokens, long asked) {
      return destinations(tokens) == 0 ? 0 : Math.clamp(asked, 0, sources(tokens));
    }

    @Override
    public boolean selects() {
      return true;
    }
  }

  /**
   * DiffRate: of the tokens in a given order, the first {@code prune} are kept at all; the first
   * {@code keep} of them are destinations, the others sources and all merged. Left: the
   * destinations in that order.
   *
   * @param prune tokens kept; more than there are keeps all
   * @param keep tokens left; as many as are kept, or more, merges none
   * @param classToken nothing is merged into the first token of the order
   */
  record HeadTail(long prune, long keep, boolean classToken) implements MergeScheme {
    @Override
    public boolean isIdentity(long tokens, long merges) {
      return false; // the order is applied all the same
    }

    @Override
    public long sources(long tokens) {
      return Math.min(prune, tokens) - destinations(tokens);
    }

    @Override
    public long destinations(long tokens) {
      return Math.min(keep, Math.min(prune, tokens));
    }

    @Override
    public long merges(long tokens, long asked) {
      return sources(tokens);
    }

    @Override
    public boolean selects() {
      return false;
    }
  }
}
