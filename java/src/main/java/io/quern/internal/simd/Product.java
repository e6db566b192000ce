package io.quern.internal.simd;

import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.VectorMask;
import jdk.incubator.vector.VectorOperators;

/**
 * {@code out[i, j] = Σ_k left[i, k] · right[j, k]}: every element one chain of fma over k
 * ascending, from +0 (rule 3), however the work is cut. A tile of {@link #ROWS} × {@link #COLUMNS}
 * sums stays in registers while k runs.
 *
 * <p>Both operands are in panels. A panel of the right one has element k of COLUMNS rows side by
 * side, to be loaded as vectors. A panel of the left one has ROWS rows in pieces of {@link #PIECE}
 * elements, {@link #PITCH} apart: a constant, so that one register addresses all of them. It is as
 * fast to within 4 % as rows put side by side, which take as long to pack as a narrow product.
 *
 * <p>Tiles go through blocks of {@link #BLOCK_ROWS} left rows and {@link #BLOCK_PANELS} right
 * panels, which stay in the second-level cache.
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

  /** Elements of a row that are multiplied at a time: those of a right panel are 32 KiB. */
  private static final int PIECE = 256;

  /** Elements from one left row to the next; a power of two would put them in each other's way. */
  private static final int PITCH = PIECE + 16;

  /** What sums begin with. */
  private static final float[] ZEROS = new float[COLUMNS];

  private Product() {}

  /** Panels that {@code rows} left rows fill. */
  static int leftPanels(int rows) {
    return Math.ceilDiv(rows, ROWS);
  }

  /** Panels that {@code rows} right rows fill. */
  static int rightPanels(int rows) {
    return Math.ceilDiv(rows, COLUMNS);
  }

  /** Elements of a left panel. */
  static int leftPanel(int depth) {
    return Math.multiplyExact(Math.ceilDiv(depth, PIECE), ROWS * PITCH);
  }

  /**
   * Puts a row of {@code depth} elements into its place in a left panel.
   *
   * @param panel the panel's first element
   * @param number of the row in it
   */
  static void putLeft(float[] row, int from, int depth, float[] panels, int panel, int number) {
    int at = panel + number * PITCH;
    for (int k = 0; k < depth; k += PIECE) {
      System.arraycopy(row, from + k, panels, at, Math.min(PIECE, depth - k));
      at += ROWS * PITCH;
    }
  }

  /**
   * Puts the first {@code count} of {@link #COLUMNS} rows of {@code depth} elements into their
   * places in a right panel, four at a time: stores side by side cost half of stores a panel's
   * width apart. Other columns of the product are undefined.
   *
   * @param pitch elements from one row to the next
   * @param panel the panel's first element
   */
  static void packRight(float[] rows, int pitch, int count, int depth, float[] panels, int panel) {
    for (int row = 0; row < count; row += 4) {
      packFour(rows, row * pitch, pitch, depth, panels, panel + row);
    }
  }

  private static void packFour(
      float[] rows, int from, int pitch, int depth, float[] panels, int at) {
    int second = from + pitch;
    int third = second + pitch;
    int fourth = third + pitch;
    for (int k = 0; k < depth; k++) {
      panels[at] = rows[from + k];
      panels[at + 1] = rows[second + k];
      panels[at + 2] = rows[third + k];
      panels[at + 3] = rows[fourth + k];
      at += COLUMNS;
    }
  }

  /**
   * One tile: a left panel that begins at {@code l} times a right panel that begins at {@code r}.
   *
   * @param stride elements from one row of {@code out} to the next
   */
  static void tile(
      float[] left, int l, float[] right, int r, int depth, float[] out, int at, int stride) {
    pieces(left, l, right, r, depth, out, at, stride, false);
  }

  /**
   * The first {@link Species#LANES} columns of a tile, in half the time where there are so many
   * registers; the others are undefined.
   */
  static void halfTile(
      float[] left, int l, float[] right, int r, int depth, float[] out, int at, int stride) {
    pieces(left, l, right, r, depth, out, at, stride, true);
  }

  private static void pieces(
      float[] left,
      int l,
      float[] right,
      int r,
      int depth,
      float[] out,
      int at,
      int stride,
      boolean isHalf) {
    float[] sums = ZEROS;
    int sum = 0;
    int sumStride = 0;
    int k = 0;
    do {
      int n = Math.min(PIECE, depth - k);
      if (ROWS != 12) {
        tile6(left, l, right, r, n, sums, sum, sumStride, out, at, stride);
      } else if (isHalf) {
        halfTile12(left, l, right, r, n, sums, sum, sumStride, out, at, stride);
      } else {
        tile12(left, l, right, r, n, sums, sum, sumStride, out, at, stride);
      }
      l += ROWS * PITCH;
      r += PIECE * COLUMNS;
      k += PIECE;
      sums = out; // where this piece's sums are, to go on from
      sum = at;
      sumStride = stride;
    } while (k < depth);
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

  /** 12 rows of one piece; all sums stay in registers. */
  private static void tile12(
      float[] left,
      int l,
      float[] right,
      int r,
      int depth,
      float[] sums,
      int sum,
      int sumStride,
      float[] out,
      int at,
      int stride) {
    FloatVector s0 = FloatVector.fromArray(Species.FLOAT, sums, sum);
    FloatVector t0 = FloatVector.fromArray(Species.FLOAT, sums, sum + LANES);
    sum += sumStride;
    FloatVector s1 = FloatVector.fromArray(Species.FLOAT, sums, sum);
    FloatVector t1 = FloatVector.fromArray(Species.FLOAT, sums, sum + LANES);
    sum += sumStride;
    FloatVector s2 = FloatVector.fromArray(Species.FLOAT, sums, sum);
    FloatVector t2 = FloatVector.fromArray(Species.FLOAT, sums, sum + LANES);
    sum += sumStride;
    FloatVector s3 = FloatVector.fromArray(Species.FLOAT, sums, sum);
    FloatVector t3 = FloatVector.fromArray(Species.FLOAT, sums, sum + LANES);
    sum += sumStride;
    FloatVector s4 = FloatVector.fromArray(Species.FLOAT, sums, sum);
    FloatVector t4 = FloatVector.fromArray(Species.FLOAT, sums, sum + LANES);
    sum += sumStride;
    FloatVector s5 = FloatVector.fromArray(Species.FLOAT, sums, sum);
    FloatVector t5 = FloatVector.fromArray(Species.FLOAT, sums, sum + LANES);
    sum += sumStride;
    FloatVector s6 = FloatVector.fromArray(Species.FLOAT, sums, sum);
    FloatVector t6 = FloatVector.fromArray(Species.FLOAT, sums, sum + LANES);
    sum += sumStride;
    FloatVector s7 = FloatVector.fromArray(Species.FLOAT, sums, sum);
    FloatVector t7 = FloatVector.fromArray(Species.FLOAT, sums, sum + LANES);
    sum += sumStride;
    FloatVector s8 = FloatVector.fromArray(Species.FLOAT, sums, sum);
    FloatVector t8 = FloatVector.fromArray(Species.FLOAT, sums, sum + LANES);
    sum += sumStride;
    FloatVector s9 = FloatVector.fromArray(Species.FLOAT, sums, sum);
    FloatVector t9 = FloatVector.fromArray(Species.FLOAT, sums, sum + LANES);
    sum += sumStride;
    FloatVector s10 = FloatVector.fromArray(Species.FLOAT, sums, sum);
    FloatVector t10 = FloatVector.fromArray(Species.FLOAT, sums, sum + LANES);
    sum += sumStride;
    FloatVector s11 = FloatVector.fromArray(Species.FLOAT, sums, sum);
    FloatVector t11 = FloatVector.fromArray(Species.FLOAT, sums, sum + LANES);
    for (int k = 0; k < depth; k++) {
      FloatVector x = FloatVector.fromArray(Species.FLOAT, right, r);
      FloatVector y = FloatVector.fromArray(Species.FLOAT, right, r + LANES);
      FloatVector a = FloatVector.broadcast(Species.FLOAT, left[l]);
      s0 = a.fma(x, s0);
      t0 = a.fma(y, t0);
      a = FloatVector.broadcast(Species.FLOAT, left[l + PITCH]);
      s1 = a.fma(x, s1);
      t1 = a.fma(y, t1);
      a = FloatVector.broadcast(Species.FLOAT, left[l + 2 * PITCH]);
      s2 = a.fma(x, s2);
      t2 = a.fma(y, t2);
      a = FloatVector.broadcast(Species.FLOAT, left[l + 3 * PITCH]);
      s3 = a.fma(x, s3);
      t3 = a.fma(y, t3);
      a = FloatVector.broadcast(Species.FLOAT, left[l + 4 * PITCH]);
      s4 = a.fma(x, s4);
      t4 = a.fma(y, t4);
      a = FloatVector.broadcast(Species.FLOAT, left[l + 5 * PITCH]);
      s5 = a.fma(x, s5);
      t5 = a.fma(y, t5);
      a = FloatVector.broadcast(Species.FLOAT, left[l + 6 * PITCH]);
      s6 = a.fma(x, s6);
      t6 = a.fma(y, t6);
      a = FloatVector.broadcast(Species.FLOAT, left[l + 7 * PITCH]);
      s7 = a.fma(x, s7);
      t7 = a.fma(y, t7);
      a = FloatVector.broadcast(Species.FLOAT, left[l + 8 * PITCH]);
      s8 = a.fma(x, s8);
      t8 = a.fma(y, t8);
      a = FloatVector.broadcast(Species.FLOAT, left[l + 9 * PITCH]);
      s9 = a.fma(x, s9);
      t9 = a.fma(y, t9);
      a = FloatVector.broadcast(Species.FLOAT, left[l + 10 * PITCH]);
      s10 = a.fma(x, s10);
      t10 = a.fma(y, t10);
      a = FloatVector.broadcast(Species.FLOAT, left[l + 11 * PITCH]);
      s11 = a.fma(x, s11);
      t11 = a.fma(y, t11);
      l++;
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
      float[] left,
      int l,
      float[] right,
      int r,
      int depth,
      float[] sums,
      int sum,
      int sumStride,
      float[] out,
      int at,
      int stride) {
    FloatVector s0 = FloatVector.fromArray(Species.FLOAT, sums, sum);
    sum += sumStride;
    FloatVector s1 = FloatVector.fromArray(Species.FLOAT, sums, sum);
    sum += sumStride;
    FloatVector s2 = FloatVector.fromArray(Species.FLOAT, sums, sum);
    sum += sumStride;
    FloatVector s3 = FloatVector.fromArray(Species.FLOAT, sums, sum);
    sum += sumStride;
    FloatVector s4 = FloatVector.fromArray(Species.FLOAT, sums, sum);
    sum += sumStride;
    FloatVector s5 = FloatVector.fromArray(Species.FLOAT, sums, sum);
    sum += sumStride;
    FloatVector s6 = FloatVector.fromArray(Species.FLOAT, sums, sum);
    sum += sumStride;
    FloatVector s7 = FloatVector.fromArray(Species.FLOAT, sums, sum);
    sum += sumStride;
    FloatVector s8 = FloatVector.fromArray(Species.FLOAT, sums, sum);
    sum += sumStride;
    FloatVector s9 = FloatVector.fromArray(Species.FLOAT, sums, sum);
    sum += sumStride;
    FloatVector s10 = FloatVector.fromArray(Species.FLOAT, sums, sum);
    sum += sumStride;
    FloatVector s11 = FloatVector.fromArray(Species.FLOAT, sums, sum);
    for (int k = 0; k < depth; k++) {
      FloatVector x = FloatVector.fromArray(Species.FLOAT, right, r);
      s0 = FloatVector.broadcast(Species.FLOAT, left[l]).fma(x, s0);
      s1 = FloatVector.broadcast(Species.FLOAT, left[l + PITCH]).fma(x, s1);
      s2 = FloatVector.broadcast(Species.FLOAT, left[l + 2 * PITCH]).fma(x, s2);
      s3 = FloatVector.broadcast(Species.FLOAT, left[l + 3 * PITCH]).fma(x, s3);
      s4 = FloatVector.broadcast(Species.FLOAT, left[l + 4 * PITCH]).fma(x, s4);
      s5 = FloatVector.broadcast(Species.FLOAT, left[l + 5 * PITCH]).fma(x, s5);
      s6 = FloatVector.broadcast(Species.FLOAT, left[l + 6 * PITCH]).fma(x, s6);
      s7 = FloatVector.broadcast(Species.FLOAT, left[l + 7 * PITCH]).fma(x, s7);
      s8 = FloatVector.broadcast(Species.FLOAT, left[l + 8 * PITCH]).fma(x, s8);
      s9 = FloatVector.broadcast(Species.FLOAT, left[l + 9 * PITCH]).fma(x, s9);
      s10 = FloatVector.broadcast(Species.FLOAT, left[l + 10 * PITCH]).fma(x, s10);
      s11 = FloatVector.broadcast(Species.FLOAT, left[l + 11 * PITCH]).fma(x, s11);
      l++;
      r += COLUMNS;
    }
    s0.intoArray(out, at);
    at += stride;
    s1.intoArray(out, at);
    at += stride;
    s2.intoArray(out, at);
    at += stride;
    s3.intoArray(out, at);
    at += stride;
    s4.intoArray(out, at);
    at += stride;
    s5.intoArray(out, at);
    at += stride;
    s6.intoArray(out, at);
    at += stride;
    s7.intoArray(out, at);
    at += stride;
    s8.intoArray(out, at);
    at += stride;
    s9.intoArray(out, at);
    at += stride;
    s10.intoArray(out, at);
    at += stride;
    s11.intoArray(out, at);
  }

  /** 6 rows; all sums stay in registers. */
  private static void tile6(
      float[] left,
      int l,
      float[] right,
      int r,
      int depth,
      float[] sums,
      int sum,
      int sumStride,
      float[] out,
      int at,
      int stride) {
    FloatVector s0 = FloatVector.fromArray(Species.FLOAT, sums, sum);
    FloatVector t0 = FloatVector.fromArray(Species.FLOAT, sums, sum + LANES);
    sum += sumStride;
    FloatVector s1 = FloatVector.fromArray(Species.FLOAT, sums, sum);
    FloatVector t1 = FloatVector.fromArray(Species.FLOAT, sums, sum + LANES);
    sum += sumStride;
    FloatVector s2 = FloatVector.fromArray(Species.FLOAT, sums, sum);
    FloatVector t2 = FloatVector.fromArray(Species.FLOAT, sums, sum + LANES);
    sum += sumStride;
    FloatVector s3 = FloatVector.fromArray(Species.FLOAT, sums, sum);
    FloatVector t3 = FloatVector.fromArray(Species.FLOAT, sums, sum + LANES);
    sum += sumStride;
    FloatVector s4 = FloatVector.fromArray(Species.FLOAT, sums, sum);
    FloatVector t4 = FloatVector.fromArray(Species.FLOAT, sums, sum + LANES);
    sum += sumStride;
    FloatVector s5 = FloatVector.fromArray(Species.FLOAT, sums, sum);
    FloatVector t5 = FloatVector.fromArray(Species.FLOAT, sums, sum + LANES);
    for (int k = 0; k < depth; k++) {
      FloatVector x = FloatVector.fromArray(Species.FLOAT, right, r);
      FloatVector y = FloatVector.fromArray(Species.FLOAT, right, r + LANES);
      FloatVector a = FloatVector.broadcast(Species.FLOAT, left[l]);
      s0 = a.fma(x, s0);
      t0 = a.fma(y, t0);
      a = FloatVector.broadcast(Species.FLOAT, left[l + PITCH]);
      s1 = a.fma(x, s1);
      t1 = a.fma(y, t1);
      a = FloatVector.broadcast(Species.FLOAT, left[l + 2 * PITCH]);
      s2 = a.fma(x, s2);
      t2 = a.fma(y, t2);
      a = FloatVector.broadcast(Species.FLOAT, left[l + 3 * PITCH]);
      s3 = a.fma(x, s3);
      t3 = a.fma(y, t3);
      a = FloatVector.broadcast(Species.FLOAT, left[l + 4 * PITCH]);
      s4 = a.fma(x, s4);
      t4 = a.fma(y, t4);
      a = FloatVector.broadcast(Species.FLOAT, left[l + 5 * PITCH]);
      s5 = a.fma(x, s5);
      t5 = a.fma(y, t5);
      l++;
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
