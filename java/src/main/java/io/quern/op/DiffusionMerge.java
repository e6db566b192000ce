package io.quern.op;

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
   * Offsets for {@link TokenMatch.Operands}: where in its cell each destination is; all 0 where
   * they are not random.
   *
   * @param uniforms a number in [0, 1) for each cell, such as {@link SeededCoins} gives for a seed;
   *     not read where offsets are not random
   */
  public int[] offsets(float[] uniforms) {
    int[] offsets = new int[Math.multiplyExact(grid.columns(), grid.rows())];
    int inside = Math.multiplyExact(grid.strideX(), grid.strideY());
    for (int cell = 0; random && cell < offsets.length; cell++) {
      offsets[cell] = Math.clamp((long) (uniforms[cell] * inside), 0, inside - 1);
    }
    return offsets;
  }
}
