package io.quern.op;

import io.quern.internal.cpu.Philox;

/**
 * What ToMeSD does in one block of a diffusion model, whose tokens are a grid of the latent image,
 * perhaps made coarser.
 *
 * @param applies whether the block's grid is fine enough
 * @param grid of the block's tokens
 * @param r tokens to merge
 * @param random whether destinations lie anywhere in their cells, not at the top left
 */
public record DiffusionMerge(boolean applies, MergeScheme.Grid grid, long r, boolean random) {
  /** Which draw of {@link Philox} the offsets are. */
  private static final int PURPOSE = 0x746f6d65;

  /**
   * The published rule: the block is coarser by {@code d = ⌈√⌊H·W / N⌋⌉}; it is merged where d is
   * at most {@code maxDownsample}, in a grid of {@code ⌈W/d⌉ × ⌈H/d⌉} by {@code r = ⌊N · ratio⌋}.
   * An odd batch is not drawn at random.
   *
   * @param latentHeight H
   * @param latentWidth W
   * @param tokens N, of the block
   */
  public static DiffusionMerge of(
      int latentHeight,
      int latentWidth,
      long tokens,
      long batch,
      double ratio,
      int maxDownsample,
      int strideX,
      int strideY,
      boolean random) {
    int downsample =
        (int) Math.ceil(Math.sqrt((double) ((long) latentHeight * latentWidth / tokens)));
    MergeScheme.Grid grid =
        new MergeScheme.Grid(
            Math.ceilDiv(latentWidth, downsample),
            Math.ceilDiv(latentHeight, downsample),
            strideX,
            strideY);
    return new DiffusionMerge(
        downsample <= maxDownsample, grid, (long) (tokens * ratio), random && batch % 2 == 0);
  }

  /**
   * Offsets for {@link TokenMatch.Operands}: where in its cell each destination is, the same for
   * every back end and machine; all 0 where they are not random.
   *
   * @param position which draw of the seed, such as the step of the diffusion
   */
  public int[] offsets(long seed, long position) {
    int[] offsets = new int[Math.multiplyExact(grid.columns(), grid.rows())];
    for (int cell = 0; random && cell < offsets.length; cell++) {
      int inside = Math.multiplyExact(grid.strideX(), grid.strideY());
      offsets[cell] =
          Math.min(inside - 1, (int) (Philox.uniform(seed, position, PURPOSE, cell) * inside));
    }
    return offsets;
  }
}
