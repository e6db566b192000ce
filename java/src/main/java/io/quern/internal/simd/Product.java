package io.quern.internal.simd;

import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.VectorMask;
import jdk.incubator.vector.VectorOperators;

/**
 * {@code out[i, j] = Σ_k left[i, k] · right[j, k]}: every element one chain of fma over k
 * ascending, from +0 (rule 3), however the work is cut. Both operands are packed into panels first:
 * {@link #ROWS} rows of the left or {@link #COLUMNS} rows of the right one, element k of all of
 * them side by side.
 *
 * <p>A tile of ROWS × COLUMNS sums stays in registers while k runs. Tiles go through blocks of
 * {@link #BLOCK_ROWS} left rows and {@link #BLOCK_PANELS} right panels, which stay in the
 * second-level cache.
 */
final class Product {
  private static final int LANES = Species.LANES;

  /** As many sums as registers hold: 24 of 32 at 512 bit, 12 of 16 below. */
  static final int ROWS = Species.bits() >= 512 ? 12 : 6;

  /** Rows of the right operand in a panel, which are columns of the result. */
  static final int COLUMNS = 2 * LANES;

  /** Left rows of a block; a multiple of {@link #ROWS}. */
  static final int BLOCK_ROWS = 96;

  /** Right panels of a block. */
  static final int BLOCK_PANELS = 4;

  private Product() {}

  /** Panels that {@code rows} left rows fill. */
  static int leftPanels(int rows) {
    return Math.ceilDiv(rows, ROWS);
  }

  /** Panels that {@code rows} right rows fill. */
  static int rightPanels(int rows) {
    return Math.ceilDiv(rows, COLUMNS);
  }

  /**
   * Puts a row of {@code depth} elements into its place in a panel.
   *
   * @param width {@link #ROWS} or {@link #COLUMNS}
   * @param at the panel's first element plus the row's number in it
   */
  static void pack(float[] row, int from, int depth, float[] panels, int at, int width) {
    for (int k = 0; k < depth; k++) {
      panels[at] = row[from + k];
      at += width;
    }
  }

  /**
   * Puts {@code width} rows of {@code depth} elements into their places in a panel, four at a time:
   * stores side by side cost half of stores a panel's width apart.
   *
   * @param pitch elements from one row to the next
   * @param at the panel's first element
   */
  static void packRows(float[] rows, int pitch, int depth, float[] panels, int at, int width) {
    int row = 0;
    for (; row <= width - 4; row += 4) {
      packFour(rows, row * pitch, pitch, depth, panels, at + row, width);
    }
    for (; row < width; row++) {
      pack(rows, row * pitch, depth, panels, at + row, width);
    }
  }

  private static void packFour(
      float[] rows, int from, int pitch, int depth, float[] panels, int at, int width) {
    int second = from + pitch;
    int third = second + pitch;
    int fourth = third + pitch;
    for (int k = 0; k < depth; k++) {
      panels[at] = rows[from + k];
      panels[at + 1] = rows[second + k];
      panels[at + 2] = rows[third + k];
      panels[at + 3] = rows[fourth + k];
      at += width;
    }
  }

  /**
   * Fills a row's place in a panel with one value: what is beyond the last row, or shall not be
   * found.
   */
  static void fill(float value, int depth, float[] panels, int at, int width) {
    for (int k = 0; k < depth; k++) {
      panels[at] = value;
      at += width;
    }
  }

  /**
   * The product of packed operands.
   *
   * @param out row-major, with room for whole panels
   * @param stride elements from one row of {@code out} to the next, at least {@code rightPanels ·
   *     COLUMNS}
   */
  static void multiply(
      float[] left,
      int leftPanels,
      float[] right,
      int rightPanels,
      int depth,
      float[] out,
      int stride) {
    int blockPanels = BLOCK_ROWS / ROWS;
    for (int firstLeft = 0; firstLeft < leftPanels; firstLeft += blockPanels) {
      int endLeft = Math.min(leftPanels, firstLeft + blockPanels);
      for (int firstRight = 0; firstRight < rightPanels; firstRight += BLOCK_PANELS) {
        int endRight = Math.min(rightPanels, firstRight + BLOCK_PANELS);
        for (int l = firstLeft; l < endLeft; l++) {
          for (int r = firstRight; r < endRight; r++) {
            int at = l * ROWS * stride + r * COLUMNS;
            tile(left, l * ROWS * depth, right, r * COLUMNS * depth, depth, out, at, stride);
          }
        }
      }
    }
  }

  /**
   * One tile: a left panel that begins at {@code l} times a right panel that begins at {@code r}.
   */
  static void tile(
      float[] left, int l, float[] right, int r, int depth, float[] out, int at, int stride) {
    if (ROWS == 12) {
      tile12(left, l, right, r, depth, out, at, stride);
    } else {
      tile6(left, l, right, r, depth, out, at, stride);
    }
  }

  /**
   * The first {@link Species#LANES} columns of a tile, in half the time where there are so many
   * registers; the others are undefined.
   */
  static void halfTile(
      float[] left, int l, float[] right, int r, int depth, float[] out, int at, int stride) {
    if (ROWS == 12) {
      halfTile12(left, l, right, r, depth, out, at, stride);
    } else {
      tile6(left, l, right, r, depth, out, at, stride);
    }
  }

  /**
   * Takes a tile's rows, each times a factor, into the best of each column. The first of equals
   * stays; NaN is never better.
   *
   * @param tile ROWS × COLUMNS
   * @param factors of the tile's rows, from {@code factor} on
   * @param row the number of the tile's first row
   * @param best values and
   * @param index rows, one of each for a column, from {@code at} on
   */
  static void best(
      float[] tile, float[] factors, int factor, int row, float[] best, int[] index, int at) {
    FloatVector best0 = FloatVector.fromArray(Species.FLOAT, best, at);
    FloatVector best1 = FloatVector.fromArray(Species.FLOAT, best, at + LANES);
    IntVector index0 = IntVector.fromArray(Species.INT, index, at);
    IntVector index1 = IntVector.fromArray(Species.INT, index, at + LANES);
    for (int i = 0; i < ROWS; i++) {
      FloatVector times = FloatVector.broadcast(Species.FLOAT, factors[factor + i]);
      FloatVector x = FloatVector.fromArray(Species.FLOAT, tile, i * COLUMNS).mul(times);
      FloatVector y = FloatVector.fromArray(Species.FLOAT, tile, i * COLUMNS + LANES).mul(times);
      VectorMask<Float> better = x.compare(VectorOperators.GT, best0);
      best0 = best0.blend(x, better);
      index0 = index0.blend(row + i, better.cast(Species.INT));
      better = y.compare(VectorOperators.GT, best1);
      best1 = best1.blend(y, better);
      index1 = index1.blend(row + i, better.cast(Species.INT));
    }
    best0.intoArray(best, at);
    best1.intoArray(best, at + LANES);
    index0.intoArray(index, at);
    index1.intoArray(index, at + LANES);
  }

  /** 12 rows; all sums stay in registers. */
  private static void tile12(
      float[] left, int l, float[] right, int r, int depth, float[] out, int at, int stride) {
    FloatVector s0 = FloatVector.zero(Species.FLOAT);
    FloatVector t0 = s0;
    FloatVector s1 = s0;
    FloatVector t1 = s0;
    FloatVector s2 = s0;
    FloatVector t2 = s0;
    FloatVector s3 = s0;
    FloatVector t3 = s0;
    FloatVector s4 = s0;
    FloatVector t4 = s0;
    FloatVector s5 = s0;
    FloatVector t5 = s0;
    FloatVector s6 = s0;
    FloatVector t6 = s0;
    FloatVector s7 = s0;
    FloatVector t7 = s0;
    FloatVector s8 = s0;
    FloatVector t8 = s0;
    FloatVector s9 = s0;
    FloatVector t9 = s0;
    FloatVector s10 = s0;
    FloatVector t10 = s0;
    FloatVector s11 = s0;
    FloatVector t11 = s0;
    for (int k = 0; k < depth; k++) {
      FloatVector x = FloatVector.fromArray(Species.FLOAT, right, r);
      FloatVector y = FloatVector.fromArray(Species.FLOAT, right, r + LANES);
      FloatVector a = FloatVector.broadcast(Species.FLOAT, left[l]);
      s0 = a.fma(x, s0);
      t0 = a.fma(y, t0);
      a = FloatVector.broadcast(Species.FLOAT, left[l + 1]);
      s1 = a.fma(x, s1);
      t1 = a.fma(y, t1);
      a = FloatVector.broadcast(Species.FLOAT, left[l + 2]);
      s2 = a.fma(x, s2);
      t2 = a.fma(y, t2);
      a = FloatVector.broadcast(Species.FLOAT, left[l + 3]);
      s3 = a.fma(x, s3);
      t3 = a.fma(y, t3);
      a = FloatVector.broadcast(Species.FLOAT, left[l + 4]);
      s4 = a.fma(x, s4);
      t4 = a.fma(y, t4);
      a = FloatVector.broadcast(Species.FLOAT, left[l + 5]);
      s5 = a.fma(x, s5);
      t5 = a.fma(y, t5);
      a = FloatVector.broadcast(Species.FLOAT, left[l + 6]);
      s6 = a.fma(x, s6);
      t6 = a.fma(y, t6);
      a = FloatVector.broadcast(Species.FLOAT, left[l + 7]);
      s7 = a.fma(x, s7);
      t7 = a.fma(y, t7);
      a = FloatVector.broadcast(Species.FLOAT, left[l + 8]);
      s8 = a.fma(x, s8);
      t8 = a.fma(y, t8);
      a = FloatVector.broadcast(Species.FLOAT, left[l + 9]);
      s9 = a.fma(x, s9);
      t9 = a.fma(y, t9);
      a = FloatVector.broadcast(Species.FLOAT, left[l + 10]);
      s10 = a.fma(x, s10);
      t10 = a.fma(y, t10);
      a = FloatVector.broadcast(Species.FLOAT, left[l + 11]);
      s11 = a.fma(x, s11);
      t11 = a.fma(y, t11);
      l += 12;
      r += COLUMNS;
    }
    s0.intoArray(out, at);
    t0.intoArray(out, at + LANES);
    at += stride;
    s1.intoArray(out, at);
    t1.intoArray(out, at + LANES);
    at += stride;
    s2.intoArray(out, at);
    t2.intoArray(out, at + LANES);
    at += stride;
    s3.intoArray(out, at);
    t3.intoArray(out, at + LANES);
    at += stride;
    s4.intoArray(out, at);
    t4.intoArray(out, at + LANES);
    at += stride;
    s5.intoArray(out, at);
    t5.intoArray(out, at + LANES);
    at += stride;
    s6.intoArray(out, at);
    t6.intoArray(out, at + LANES);
    at += stride;
    s7.intoArray(out, at);
    t7.intoArray(out, at + LANES);
    at += stride;
    s8.intoArray(out, at);
    t8.intoArray(out, at + LANES);
    at += stride;
    s9.intoArray(out, at);
    t9.intoArray(out, at + LANES);
    at += stride;
    s10.intoArray(out, at);
    t10.intoArray(out, at + LANES);
    at += stride;
    s11.intoArray(out, at);
    t11.intoArray(out, at + LANES);
  }

  /** 12 rows of one vector: as many sums as hide the latency of fma. */
  private static void halfTile12(
      float[] left, int l, float[] right, int r, int depth, float[] out, int at, int stride) {
    FloatVector s0 = FloatVector.zero(Species.FLOAT);
    FloatVector s1 = s0;
    FloatVector s2 = s0;
    FloatVector s3 = s0;
    FloatVector s4 = s0;
    FloatVector s5 = s0;
    FloatVector s6 = s0;
    FloatVector s7 = s0;
    FloatVector s8 = s0;
    FloatVector s9 = s0;
    FloatVector s10 = s0;
    FloatVector s11 = s0;
    for (int k = 0; k < depth; k++) {
      FloatVector x = FloatVector.fromArray(Species.FLOAT, right, r);
      s0 = FloatVector.broadcast(Species.FLOAT, left[l]).fma(x, s0);
      s1 = FloatVector.broadcast(Species.FLOAT, left[l + 1]).fma(x, s1);
      s2 = FloatVector.broadcast(Species.FLOAT, left[l + 2]).fma(x, s2);
      s3 = FloatVector.broadcast(Species.FLOAT, left[l + 3]).fma(x, s3);
      s4 = FloatVector.broadcast(Species.FLOAT, left[l + 4]).fma(x, s4);
      s5 = FloatVector.broadcast(Species.FLOAT, left[l + 5]).fma(x, s5);
      s6 = FloatVector.broadcast(Species.FLOAT, left[l + 6]).fma(x, s6);
      s7 = FloatVector.broadcast(Species.FLOAT, left[l + 7]).fma(x, s7);
      s8 = FloatVector.broadcast(Species.FLOAT, left[l + 8]).fma(x, s8);
      s9 = FloatVector.broadcast(Species.FLOAT, left[l + 9]).fma(x, s9);
      s10 = FloatVector.broadcast(Species.FLOAT, left[l + 10]).fma(x, s10);
      s11 = FloatVector.broadcast(Species.FLOAT, left[l + 11]).fma(x, s11);
      l += 12;
      r += COLUMNS;
    }
    s0.intoArray(out, at);
    s1.intoArray(out, at + stride);
    s2.intoArray(out, at + 2 * stride);
    s3.intoArray(out, at + 3 * stride);
    s4.intoArray(out, at + 4 * stride);
    s5.intoArray(out, at + 5 * stride);
    s6.intoArray(out, at + 6 * stride);
    s7.intoArray(out, at + 7 * stride);
    s8.intoArray(out, at + 8 * stride);
    s9.intoArray(out, at + 9 * stride);
    s10.intoArray(out, at + 10 * stride);
    s11.intoArray(out, at + 11 * stride);
  }

  /** 6 rows; all sums stay in registers. */
  private static void tile6(
      float[] left, int l, float[] right, int r, int depth, float[] out, int at, int stride) {
    FloatVector s0 = FloatVector.zero(Species.FLOAT);
    FloatVector t0 = s0;
    FloatVector s1 = s0;
    FloatVector t1 = s0;
    FloatVector s2 = s0;
    FloatVector t2 = s0;
    FloatVector s3 = s0;
    FloatVector t3 = s0;
    FloatVector s4 = s0;
    FloatVector t4 = s0;
    FloatVector s5 = s0;
    FloatVector t5 = s0;
    for (int k = 0; k < depth; k++) {
      FloatVector x = FloatVector.fromArray(Species.FLOAT, right, r);
      FloatVector y = FloatVector.fromArray(Species.FLOAT, right, r + LANES);
      FloatVector a = FloatVector.broadcast(Species.FLOAT, left[l]);
      s0 = a.fma(x, s0);
      t0 = a.fma(y, t0);
      a = FloatVector.broadcast(Species.FLOAT, left[l + 1]);
      s1 = a.fma(x, s1);
      t1 = a.fma(y, t1);
      a = FloatVector.broadcast(Species.FLOAT, left[l + 2]);
      s2 = a.fma(x, s2);
      t2 = a.fma(y, t2);
      a = FloatVector.broadcast(Species.FLOAT, left[l + 3]);
      s3 = a.fma(x, s3);
      t3 = a.fma(y, t3);
      a = FloatVector.broadcast(Species.FLOAT, left[l + 4]);
      s4 = a.fma(x, s4);
      t4 = a.fma(y, t4);
      a = FloatVector.broadcast(Species.FLOAT, left[l + 5]);
      s5 = a.fma(x, s5);
      t5 = a.fma(y, t5);
      l += 6;
      r += COLUMNS;
    }
    s0.intoArray(out, at);
    t0.intoArray(out, at + LANES);
    at += stride;
    s1.intoArray(out, at);
    t1.intoArray(out, at + LANES);
    at += stride;
    s2.intoArray(out, at);
    t2.intoArray(out, at + LANES);
    at += stride;
    s3.intoArray(out, at);
    t3.intoArray(out, at + LANES);
    at += stride;
    s4.intoArray(out, at);
    t4.intoArray(out, at + LANES);
    at += stride;
    s5.intoArray(out, at);
    t5.intoArray(out, at + LANES);
  }
}
