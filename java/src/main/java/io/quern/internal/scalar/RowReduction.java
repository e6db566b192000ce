package io.quern.internal.scalar;

import io.quern.DType;
import java.lang.foreign.MemorySegment;
import java.util.Arrays;

/**
 * Reductions along a row in canonical order (rules 4, 6 and 8), element by element. An object is a
 * worker's scratch.
 */
public final class RowReduction {
  /** Partial sum p takes the elements i ≡ p (mod 64) of a piece. */
  private static final int PARTIALS = 64;

  /** Elements of a piece; the pieces' results are added in ascending order, from +0. */
  static final int PIECE = 4096;

  private final float[] partials = new float[PARTIALS];

  /** A row that need not be in memory. */
  public interface Row {
    /** Element i as F32. */
    float at(long i);
  }

  /** A row in memory. */
  static final class Stored implements Row {
    private DType dtype;
    private MemorySegment segment;
    private long offset;

    /** Makes it the row that begins at that byte. */
    Stored of(DType dtype, MemorySegment segment, long offset) {
      this.dtype = dtype;
      this.segment = segment;
      this.offset = offset;
      return this;
    }

    @Override
    public float at(long i) {
      return Element.load(dtype, segment, offset + i * dtype.byteSize());
    }
  }

  /** The greatest element, NaN if any is; a zero is +0; −∞ of no elements. */
  public static float max(Row row, long n) {
    float max = Float.NEGATIVE_INFINITY;
    for (long i = 0; i < n; i++) {
      max = Math.max(max, row.at(i));
    }
    return max + 0.0f;
  }

  /**
   * The first element in the order (value descending, index ascending), where NaN is below −∞; −1
   * of no elements.
   */
  public static long argmax(Row row, long n) {
    long best = n == 0 ? -1 : 0;
    for (long i = 1; i < n; i++) {
      if (isBefore(row.at(i), row.at(best))) {
        best = i;
      }
    }
    return best;
  }

  /** Whether {@code a} at a higher index goes before {@code b}. */
  static boolean isBefore(float a, float b) {
    return a > b || (Float.isNaN(b) && !Float.isNaN(a));
  }

  /** The sum of the elements. */
  public float sum(Row row, long n) {
    float total = 0;
    for (long start = 0; start < n; start += PIECE) {
      total += sumOfPiece(row, start, n);
    }
    return total;
  }

  /** The sum of {@code exp(row[i] − max)}. */
  public float sumExp(Row row, long n, float max) {
    float total = 0;
    for (long start = 0; start < n; start += PIECE) {
      Arrays.fill(partials, 0);
      for (long i = start; i < Math.min(n, start + PIECE); i++) {
        partials[partial(i)] += CanonicalMath.exp(row.at(i) - max);
      }
      total += halved();
    }
    return total;
  }

  /** The sum of {@code a[i] b[i]}, by fma. */
  public float dot(Row a, Row b, long n) {
    float total = 0;
    for (long start = 0; start < n; start += PIECE) {
      Arrays.fill(partials, 0);
      for (long i = start; i < Math.min(n, start + PIECE); i++) {
        partials[partial(i)] = Math.fma(a.at(i), b.at(i), partials[partial(i)]);
      }
      total += halved();
    }
    return total;
  }

  /** The sum of squares, by fma. */
  public float squaredNorm(Row row, long n) {
    return dot(row, row, n);
  }

  /**
   * The first index at which the prefix sum passes the target. Pieces' sums are added in ascending
   * order, from +0, until the sum is greater than the target; from the sum before that piece its
   * elements are added in order, and the first positive one is taken whose sum is greater than the
   * target. If rounding lets none pass, it is the last positive element of the piece; if no piece
   * passes, the last positive element of the row; −1 if there is none.
   */
  public long search(Row row, long n, float target) {
    float before = 0;
    for (long start = 0; start < n; start += PIECE) {
      float after = before + sumOfPiece(row, start, n);
      if (after > target) {
        return searchPiece(row, start, Math.min(n, start + PIECE), before, target);
      }
      before = after;
    }
    for (long i = n - 1; i >= 0; i--) {
      if (row.at(i) > 0) {
        return i;
      }
    }
    return -1;
  }

  private static long searchPiece(Row row, long start, long end, float before, float target) {
    float sum = before;
    long last = -1;
    for (long i = start; i < end; i++) {
      float value = row.at(i);
      sum += value;
      if (value > 0) {
        if (sum > target) {
          return i;
        }
        last = i;
      }
    }
    return last;
  }

  private float sumOfPiece(Row row, long start, long n) {
    Arrays.fill(partials, 0);
    for (long i = start; i < Math.min(n, start + PIECE); i++) {
      partials[partial(i)] += row.at(i);
    }
    return halved();
  }

  private static int partial(long i) {
    return (int) (i % PARTIALS);
  }

  private float halved() {
    for (int half = PARTIALS / 2; half > 0; half /= 2) {
      for (int p = 0; p < half; p++) {
        partials[p] += partials[p + half];
      }
    }
    return partials[0];
  }
}
