package io.quern.internal.simd;

import io.quern.DType;
import io.quern.internal.scalar.CanonicalMath;
import java.lang.foreign.MemorySegment;
import java.util.Arrays;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorMask;
import jdk.incubator.vector.VectorOperators;

/**
 * Reductions along a row in canonical order (rules 4, 6 and 8). An object is a worker's scratch.
 *
 * <p>Rows of F32 arrays are reduced where they are. A row in memory passes through {@link #piece},
 * {@link #PIECE} elements at a time. A row that is a function of others is made there the same way
 * by its kernel, which adds the pieces' sums in ascending order, from +0.
 */
final class RowReduction {
  /** Elements of a piece, 16 KiB. */
  static final int PIECE = 4096;

  private static final int LANES = Species.LANES;

  /** Partial sum p takes the elements i ≡ p (mod 64) of a piece. */
  private static final int PARTIALS = 64;

  /** Partial sums that are halved one by one. */
  private static final int LEFT = 16;

  /** Partial sums that are in local variables at a time: four vectors. */
  private static final int GROUP = 4 * LANES;

  private final float[] partials = new float[PARTIALS];
  private final Tile tile = new Tile();
  private final Tile other = new Tile();

  /** One for each worker. */
  static RowReduction[] ofEach(int workers) {
    RowReduction[] reductions = new RowReduction[workers];
    Arrays.setAll(reductions, i -> new RowReduction());
    return reductions;
  }

  /** Scratch of a piece, and what {@link #load} fills. */
  float[] piece() {
    return tile.floats;
  }

  /** Loads {@code n} elements, at most a piece, into {@link #piece}, widened to F32. */
  void load(DType dtype, MemorySegment row, long offset, int n) {
    tile.load(dtype, row, offset, 0, n);
    tile.widen(dtype, n);
  }

  /** The greatest element, NaN if any is; a zero is +0; −∞ of no elements. */
  float max(DType dtype, MemorySegment row, long offset, long n) {
    float max = Float.NEGATIVE_INFINITY;
    for (long start = 0; start < n; start += PIECE) {
      int count = (int) Math.min(PIECE, n - start);
      load(dtype, row, offset + start * dtype.byteSize(), count);
      max = Math.max(max, max(tile.floats, 0, count));
    }
    return max + 0.0f;
  }

  /**
   * The first element in the order (value descending, index ascending), where NaN is below −∞; −1
   * of no elements.
   */
  long argmax(DType dtype, MemorySegment row, long offset, long n) {
    long best = n == 0 ? -1 : 0;
    float value = Float.NaN;
    for (long start = 0; start < n; start += PIECE) {
      int count = (int) Math.min(PIECE, n - start);
      load(dtype, row, offset + start * dtype.byteSize(), count);
      float greatest = greatest(tile.floats, 0, count);
      if (greatest > value || Float.isNaN(value)) {
        int i = indexOf(greatest, tile.floats, 0, count);
        if (i >= 0) {
          value = greatest;
          best = start + i;
        }
      }
    }
    return best;
  }

  /** The sum of the elements. */
  float sum(DType dtype, MemorySegment row, long offset, long n) {
    float total = 0;
    for (long start = 0; start < n; start += PIECE) {
      int count = (int) Math.min(PIECE, n - start);
      load(dtype, row, offset + start * dtype.byteSize(), count);
      total += sum(tile.floats, 0, count);
    }
    return total;
  }

  /** The sum of {@code exp(row[i] − max)}. */
  float sumExp(DType dtype, MemorySegment row, long offset, long n, float max) {
    float total = 0;
    for (long start = 0; start < n; start += PIECE) {
      int count = (int) Math.min(PIECE, n - start);
      load(dtype, row, offset + start * dtype.byteSize(), count);
      VectorMath.exp(tile.floats, 0, count, max);
      total += sum(tile.floats, 0, count);
    }
    return total;
  }

  /** The sum of {@code a[i] b[i]}, by fma. */
  float dot(
      DType aType,
      MemorySegment a,
      long aOffset,
      DType bType,
      MemorySegment b,
      long bOffset,
      long n) {
    float total = 0;
    for (long start = 0; start < n; start += PIECE) {
      int count = (int) Math.min(PIECE, n - start);
      load(aType, a, aOffset + start * aType.byteSize(), count);
      other.load(bType, b, bOffset + start * bType.byteSize(), 0, count);
      other.widen(bType, count);
      total += dot(tile.floats, 0, other.floats, 0, count);
    }
    return total;
  }

  /** The sum of squares, by fma. */
  float squaredNorm(DType dtype, MemorySegment row, long offset, long n) {
    float total = 0;
    for (long start = 0; start < n; start += PIECE) {
      int count = (int) Math.min(PIECE, n - start);
      load(dtype, row, offset + start * dtype.byteSize(), count);
      total += squaredNorm(tile.floats, 0, count);
    }
    return total;
  }

  /** The greatest of {@code n} elements, NaN if any is; a zero is +0; −∞ of no elements. */
  static float max(float[] x, int at, int n) {
    return n < 2 * LANES ? maxOfFew(x, at, n) : maxOfMany(x, at, n);
  }

  private static float maxOfFew(float[] x, int at, int n) {
    float max = Float.NEGATIVE_INFINITY;
    for (int i = 0; i < n; i++) {
      max = Math.max(max, x[at + i]);
    }
    return max + 0.0f;
  }

  /**
   * A vector that a loop carries is only known to C2 as one where it has been an argument; as a
   * receiver it is what the profile says, and if C2 comes before a profile, all vectors here become
   * objects. It was so with NaNs that were carried apart, in every second JVM.
   */
  private static float maxOfMany(float[] x, int at, int n) {
    FloatVector m0 = FloatVector.broadcast(Species.FLOAT, Float.NEGATIVE_INFINITY);
    FloatVector m1 = m0;
    int i = 0;
    for (; i <= n - 2 * LANES; i += 2 * LANES) {
      FloatVector a = FloatVector.fromArray(Species.FLOAT, x, at + i);
      FloatVector b = FloatVector.fromArray(Species.FLOAT, x, at + i + LANES);
      m0 = m0.blend(a, a.compare(VectorOperators.GT, m0).or(a.compare(VectorOperators.NE, a)));
      m1 = m1.blend(b, b.compare(VectorOperators.GT, m1).or(b.compare(VectorOperators.NE, b)));
    }
    m0 = m0.blend(m1, m1.compare(VectorOperators.GT, m0).or(m1.compare(VectorOperators.NE, m1)));
    if (m0.compare(VectorOperators.NE, m0).anyTrue()) {
      return Float.NaN;
    }
    float max = m0.reduceLanes(VectorOperators.MAX);
    for (; i < n; i++) {
      max = Math.max(max, x[at + i]);
    }
    return max + 0.0f;
  }

  /** {@link #argmax} of {@code n} elements. */
  static int argmax(float[] x, int at, int n) {
    return n == 0 ? -1 : Math.max(0, indexOf(greatest(x, at, n), x, at, n));
  }

  /** The greatest element, whatever NaNs there are; −∞ of no others. */
  static float greatest(float[] x, int at, int n) {
    FloatVector m0 = FloatVector.broadcast(Species.FLOAT, Float.NEGATIVE_INFINITY);
    FloatVector m1 = m0;
    FloatVector m2 = m0;
    FloatVector m3 = m0;
    int i = 0;
    for (; i <= n - GROUP; i += GROUP) {
      FloatVector a = FloatVector.fromArray(Species.FLOAT, x, at + i);
      FloatVector b = FloatVector.fromArray(Species.FLOAT, x, at + i + LANES);
      FloatVector c = FloatVector.fromArray(Species.FLOAT, x, at + i + 2 * LANES);
      FloatVector d = FloatVector.fromArray(Species.FLOAT, x, at + i + 3 * LANES);
      m0 = m0.blend(a, a.compare(VectorOperators.GT, m0));
      m1 = m1.blend(b, b.compare(VectorOperators.GT, m1));
      m2 = m2.blend(c, c.compare(VectorOperators.GT, m2));
      m3 = m3.blend(d, d.compare(VectorOperators.GT, m3));
    }
    float max = m0.max(m1).max(m2.max(m3)).reduceLanes(VectorOperators.MAX);
    for (; i < n; i++) {
      max = x[at + i] > max ? x[at + i] : max;
    }
    return max;
  }

  /** The first index of a value, −1 if there is none. */
  static int indexOf(float value, float[] x, int at, int n) {
    int i = 0;
    for (; i <= n - LANES; i += LANES) {
      VectorMask<Float> equal =
          FloatVector.fromArray(Species.FLOAT, x, at + i).compare(VectorOperators.EQ, value);
      if (equal.anyTrue()) {
        return i + equal.firstTrue();
      }
    }
    while (i < n && x[at + i] != value) {
      i++;
    }
    return i < n ? i : -1;
  }

  /** {@code x = log(x)}, in place. */
  static void log(float[] x, int at, int n) {
    int i = 0;
    for (; i <= n - LANES; i += LANES) {
      VectorMath.log(FloatVector.fromArray(Species.FLOAT, x, at + i)).intoArray(x, at + i);
    }
    for (; i < n; i++) {
      x[at + i] = CanonicalMath.log(x[at + i]);
    }
  }

  /** The sum of {@code n} elements. */
  float sum(float[] x, int at, int n) {
    float total = 0;
    for (int start = 0; start < n; start += PIECE) {
      int count = Math.min(PIECE, n - start);
      int whole = count & -PARTIALS;
      for (int group = 0; group < PARTIALS; group += GROUP) {
        addGroup(x, at + start + group, whole, group);
      }
      for (int i = whole; i < count; i++) {
        partials[i - whole] += x[at + start + i];
      }
      total += halved();
    }
    return total;
  }

  /** The sum of {@code a[i] b[i]}, by fma. */
  float dot(float[] a, int aAt, float[] b, int bAt, int n) {
    float total = 0;
    for (int start = 0; start < n; start += PIECE) {
      int count = Math.min(PIECE, n - start);
      int whole = count & -PARTIALS;
      for (int group = 0; group < PARTIALS; group += GROUP) {
        addProducts(a, aAt + start + group, b, bAt + start + group, whole, group);
      }
      for (int i = whole; i < count; i++) {
        partials[i - whole] = Math.fma(a[aAt + start + i], b[bAt + start + i], partials[i - whole]);
      }
      total += halved();
    }
    return total;
  }

  /** The sum of squares, by fma. */
  float squaredNorm(float[] x, int at, int n) {
    return dot(x, at, x, at, n);
  }

  /**
   * The place in a piece where the prefix sum passes the target: of its elements, added in order to
   * {@code before}, the sum of the pieces before it, the first positive one whose sum is greater
   * than the target; if none is, the last positive one; −1 if there is none. It is asked for the
   * first piece with {@code before + sum > target}; if there is none such, the answer is {@link
   * #lastPositive} of the row.
   */
  static int search(float[] x, int at, int n, float before, float target) {
    float sum = before;
    int last = -1;
    for (int i = 0; i < n; i++) {
      float value = x[at + i];
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

  /** The last positive of {@code n} elements, −1 if there is none. */
  static int lastPositive(float[] x, int at, int n) {
    int i = n - 1;
    while (i >= 0 && !(x[at + i] > 0)) {
      i--;
    }
    return i;
  }

  /** Partial sums {@code group} and following of {@code n} elements, a multiple of 64. */
  private void addGroup(float[] x, int at, int n, int group) {
    FloatVector p0 = FloatVector.zero(Species.FLOAT);
    FloatVector p1 = p0;
    FloatVector p2 = p0;
    FloatVector p3 = p0;
    for (int i = at; i < at + n; i += PARTIALS) {
      p0 = FloatVector.fromArray(Species.FLOAT, x, i).add(p0);
      p1 = FloatVector.fromArray(Species.FLOAT, x, i + LANES).add(p1);
      p2 = FloatVector.fromArray(Species.FLOAT, x, i + 2 * LANES).add(p2);
      p3 = FloatVector.fromArray(Species.FLOAT, x, i + 3 * LANES).add(p3);
    }
    p0.intoArray(partials, group);
    p1.intoArray(partials, group + LANES);
    p2.intoArray(partials, group + 2 * LANES);
    p3.intoArray(partials, group + 3 * LANES);
  }

  private void addProducts(float[] a, int aAt, float[] b, int bAt, int n, int group) {
    FloatVector p0 = FloatVector.zero(Species.FLOAT);
    FloatVector p1 = p0;
    FloatVector p2 = p0;
    FloatVector p3 = p0;
    for (int i = 0; i < n; i += PARTIALS) {
      int j = aAt + i;
      int k = bAt + i;
      p0 =
          FloatVector.fromArray(Species.FLOAT, a, j)
              .fma(FloatVector.fromArray(Species.FLOAT, b, k), p0);
      p1 =
          FloatVector.fromArray(Species.FLOAT, a, j + LANES)
              .fma(FloatVector.fromArray(Species.FLOAT, b, k + LANES), p1);
      p2 =
          FloatVector.fromArray(Species.FLOAT, a, j + 2 * LANES)
              .fma(FloatVector.fromArray(Species.FLOAT, b, k + 2 * LANES), p2);
      p3 =
          FloatVector.fromArray(Species.FLOAT, a, j + 3 * LANES)
              .fma(FloatVector.fromArray(Species.FLOAT, b, k + 3 * LANES), p3);
    }
    p0.intoArray(partials, group);
    p1.intoArray(partials, group + LANES);
    p2.intoArray(partials, group + 2 * LANES);
    p3.intoArray(partials, group + 3 * LANES);
  }

  /** By vectors to 16 sums; these one by one, because a loop would take longer than its sums. */
  private float halved() {
    for (int half = PARTIALS / 2; half >= LEFT; half /= 2) {
      for (int p = 0; p < half; p += LANES) {
        FloatVector.fromArray(Species.FLOAT, partials, p)
            .add(FloatVector.fromArray(Species.FLOAT, partials, p + half))
            .intoArray(partials, p);
      }
    }
    float[] p = partials;
    float p0 = (p[0] + p[8]) + (p[4] + p[12]);
    float p1 = (p[1] + p[9]) + (p[5] + p[13]);
    float p2 = (p[2] + p[10]) + (p[6] + p[14]);
    float p3 = (p[3] + p[11]) + (p[7] + p[15]);
    return (p0 + p2) + (p1 + p3);
  }
}
