package io.quern.internal.simd;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;

import io.quern.internal.cpu.NativeRows;
import java.lang.foreign.MemorySegment;
import java.nio.ByteOrder;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorMask;
import jdk.incubator.vector.VectorOperators;

/**
 * What {@link SimdPonetPooling} does with rows of F32 in native memory. Rows are at byte offsets;
 * results are in arrays, which stay in the first-level cache while rows stream by. What is left of
 * a row behind its last whole vector goes element by element.
 */
final class PonetRows {
  private static final ByteOrder ORDER = ByteOrder.nativeOrder();
  private static final int LANES = Species.LANES;
  private static final long VECTOR_BYTES = (long) LANES * Float.BYTES;

  private PonetRows() {}

  private static float get(MemorySegment rows, long at, int d) {
    return rows.get(JAVA_FLOAT, at + (long) d * Float.BYTES);
  }

  /** {@code sum += row} for each of {@code n} rows in order. */
  static void add(MemorySegment rows, long[] at, int n, float[] sum, int dim) {
    int k = 0;
    for (; k <= n - 4; k += 4) {
      addFour(rows, at[k], at[k + 1], at[k + 2], at[k + 3], sum, dim);
    }
    for (; k < n; k++) {
      addOne(rows, at[k], sum, dim);
    }
  }

  private static void addFour(
      MemorySegment memory, long a, long b, long c, long e, float[] sum, int dim) {
    MemorySegment rows = NativeRows.known(memory);
    int d = 0;
    for (; d <= dim - LANES; d += LANES) {
      long skip = (long) d * Float.BYTES;
      FloatVector.fromArray(Species.FLOAT, sum, d)
          .add(FloatVector.fromMemorySegment(Species.FLOAT, rows, a + skip, ORDER))
          .add(FloatVector.fromMemorySegment(Species.FLOAT, rows, b + skip, ORDER))
          .add(FloatVector.fromMemorySegment(Species.FLOAT, rows, c + skip, ORDER))
          .add(FloatVector.fromMemorySegment(Species.FLOAT, rows, e + skip, ORDER))
          .intoArray(sum, d);
    }
    for (; d < dim; d++) {
      sum[d] = sum[d] + get(rows, a, d) + get(rows, b, d) + get(rows, c, d) + get(rows, e, d);
    }
  }

  private static void addOne(MemorySegment memory, long at, float[] sum, int dim) {
    MemorySegment rows = NativeRows.known(memory);
    int d = 0;
    for (; d <= dim - LANES; d += LANES) {
      FloatVector.fromArray(Species.FLOAT, sum, d)
          .add(
              FloatVector.fromMemorySegment(
                  Species.FLOAT, rows, at + (long) d * Float.BYTES, ORDER))
          .intoArray(sum, d);
    }
    for (; d < dim; d++) {
      sum[d] += get(rows, at, d);
    }
  }

  /** {@code sum[d] = Σ_k weights[first + k] · row_k[d]} by fma in order, from +0. */
  static void weightedSum(
      MemorySegment memory,
      long[] at,
      int n,
      long skip,
      float[] weights,
      int first,
      float[] sum,
      int dim) {
    MemorySegment rows = NativeRows.known(memory);
    int d = 0;
    for (; d <= dim - 4 * LANES; d += 4 * LANES) {
      weightedSumOfFour(rows, at, n, skip + (long) d * Float.BYTES, weights, first, sum, d);
    }
    for (; d <= dim - LANES; d += LANES) {
      FloatVector s = FloatVector.zero(Species.FLOAT);
      for (int k = 0; k < n; k++) {
        s =
            FloatVector.fromMemorySegment(
                    Species.FLOAT, rows, at[k] + skip + (long) d * Float.BYTES, ORDER)
                .fma(FloatVector.broadcast(Species.FLOAT, weights[first + k]), s);
      }
      s.intoArray(sum, d);
    }
    for (; d < dim; d++) {
      float s = 0;
      for (int k = 0; k < n; k++) {
        s = Math.fma(weights[first + k], get(rows, at[k] + skip, d), s);
      }
      sum[d] = s;
    }
  }

  private static void weightedSumOfFour(
      MemorySegment memory,
      long[] at,
      int n,
      long skip,
      float[] weights,
      int first,
      float[] sum,
      int d) {
    MemorySegment rows = NativeRows.known(memory);
    FloatVector s0 = FloatVector.zero(Species.FLOAT);
    FloatVector s1 = s0;
    FloatVector s2 = s0;
    FloatVector s3 = s0;
    for (int k = 0; k < n; k++) {
      long row = at[k] + skip;
      FloatVector w = FloatVector.broadcast(Species.FLOAT, weights[first + k]);
      s0 = FloatVector.fromMemorySegment(Species.FLOAT, rows, row, ORDER).fma(w, s0);
      row += VECTOR_BYTES;
      s1 = FloatVector.fromMemorySegment(Species.FLOAT, rows, row, ORDER).fma(w, s1);
      row += VECTOR_BYTES;
      s2 = FloatVector.fromMemorySegment(Species.FLOAT, rows, row, ORDER).fma(w, s2);
      row += VECTOR_BYTES;
      s3 = FloatVector.fromMemorySegment(Species.FLOAT, rows, row, ORDER).fma(w, s3);
    }
    s0.intoArray(sum, d);
    s1.intoArray(sum, d + LANES);
    s2.intoArray(sum, d + 2 * LANES);
    s3.intoArray(sum, d + 3 * LANES);
  }

  // The next four run once for a sequence, a chunk or a segment, and vectors would be boxed until
  // C2 compiled them, which took hundreds of calls. It makes vectors of plain loops over arrays.

  /** {@code to = fma(from, b, to · a)}: the merge of two softmax states. */
  static void merge(float[] to, float a, float[] from, float b, int dim) {
    for (int d = 0; d < dim; d++) {
      to[d] = Math.fma(from[d], b, to[d] * a);
    }
  }

  /** {@code a += b}. */
  static void add(float[] a, float[] b, int dim) {
    for (int d = 0; d < dim; d++) {
      a[d] += b[d];
    }
  }

  /** {@code a += value}. */
  static void add(float[] a, float value, int dim) {
    for (int d = 0; d < dim; d++) {
      a[d] += value;
    }
  }

  /** {@code a /= divisor}. */
  static void divide(float[] a, float divisor, int dim) {
    for (int d = 0; d < dim; d++) {
      a[d] /= divisor;
    }
  }

  /**
   * {@code out[d] = x[at + d] + bias[d]} in memory. A plain loop over the two arrays is not
   * vectorised, since they may be one.
   */
  static void store(float[] x, int at, float[] bias, MemorySegment memory, long to, int dim) {
    MemorySegment out = NativeRows.known(memory);
    int d = 0;
    for (; d <= dim - LANES; d += LANES) {
      FloatVector.fromArray(Species.FLOAT, x, at + d)
          .add(FloatVector.fromArray(Species.FLOAT, bias, d))
          .intoMemorySegment(out, to + (long) d * Float.BYTES, ORDER);
    }
    for (; d < dim; d++) {
      out.set(JAVA_FLOAT, to + (long) d * Float.BYTES, x[at + d] + bias[d]);
    }
  }

  /** {@code best} = the greater of itself and a row, NaN if one is. */
  static void max(MemorySegment memory, long at, float[] best, int dim) {
    MemorySegment rows = NativeRows.known(memory);
    int d = 0;
    for (; d <= dim - LANES; d += LANES) {
      FloatVector b = FloatVector.fromArray(Species.FLOAT, best, d);
      FloatVector x =
          FloatVector.fromMemorySegment(Species.FLOAT, rows, at + (long) d * Float.BYTES, ORDER);
      VectorMask<Float> better =
          x.compare(VectorOperators.GT, b).or(x.compare(VectorOperators.NE, x));
      b.blend(x, better).intoArray(best, d);
    }
    for (; d < dim; d++) {
      best[d] = Math.max(best[d], get(rows, at, d));
    }
  }

  /** {@code best} = the greater of itself and of two rows, NaN if one is. */
  static void max(MemorySegment memory, long at, long next, float[] best, int dim) {
    MemorySegment rows = NativeRows.known(memory);
    int d = 0;
    for (; d <= dim - LANES; d += LANES) {
      long skip = (long) d * Float.BYTES;
      FloatVector b = FloatVector.fromArray(Species.FLOAT, best, d);
      FloatVector x = FloatVector.fromMemorySegment(Species.FLOAT, rows, at + skip, ORDER);
      FloatVector y = FloatVector.fromMemorySegment(Species.FLOAT, rows, next + skip, ORDER);
      b = b.blend(x, x.compare(VectorOperators.GT, b).or(x.compare(VectorOperators.NE, x)));
      b = b.blend(y, y.compare(VectorOperators.GT, b).or(y.compare(VectorOperators.NE, y)));
      b.intoArray(best, d);
    }
    for (; d < dim; d++) {
      best[d] = Math.max(Math.max(best[d], get(rows, at, d)), get(rows, next, d));
    }
  }

  /** {@code y = fma(lift, row of o, y + 0)}. */
  static void fuse(float[] lift, MemorySegment gate, long at, float[] y, int dim) {
    MemorySegment o = NativeRows.known(gate);
    int d = 0;
    for (; d <= dim - LANES; d += LANES) {
      FloatVector.fromMemorySegment(Species.FLOAT, o, at + (long) d * Float.BYTES, ORDER)
          .fma(
              FloatVector.fromArray(Species.FLOAT, lift, d),
              FloatVector.fromArray(Species.FLOAT, y, d).add(0f))
          .intoArray(y, d);
    }
    for (; d < dim; d++) {
      y[d] = Math.fma(lift[d], get(o, at, d), y[d] + 0f);
    }
  }

  /** {@code y = fma(lift, row of o, max(three rows of local))}. */
  static void fuse(
      float[] lift,
      MemorySegment gate,
      long at,
      MemorySegment neighbours,
      long l0,
      long l1,
      long l2,
      float[] y,
      int dim) {
    MemorySegment o = NativeRows.known(gate);
    MemorySegment local = NativeRows.known(neighbours);
    int d = 0;
    for (; d <= dim - LANES; d += LANES) {
      long skip = (long) d * Float.BYTES;
      FloatVector m = FloatVector.fromMemorySegment(Species.FLOAT, local, l0 + skip, ORDER);
      FloatVector x1 = FloatVector.fromMemorySegment(Species.FLOAT, local, l1 + skip, ORDER);
      FloatVector x2 = FloatVector.fromMemorySegment(Species.FLOAT, local, l2 + skip, ORDER);
      m = m.blend(x1, x1.compare(VectorOperators.GT, m).or(x1.compare(VectorOperators.NE, x1)));
      m = m.blend(x2, x2.compare(VectorOperators.GT, m).or(x2.compare(VectorOperators.NE, x2)));
      FloatVector.fromMemorySegment(Species.FLOAT, o, at + skip, ORDER)
          .fma(FloatVector.fromArray(Species.FLOAT, lift, d), m.add(0f))
          .intoArray(y, d);
    }
    for (; d < dim; d++) {
      float m = Math.max(Math.max(get(local, l0, d), get(local, l1, d)), get(local, l2, d));
      y[d] = Math.fma(lift[d], get(o, at, d), m + 0f);
    }
  }

  /**
   * {@code out = fma(lift, row of o, max(three rows of local))}, in memory.
   *
   * @param at where the row of o is
   * @param to where the row of the output is
   */
  static void fuse(
      float[] lift,
      MemorySegment gate,
      long at,
      MemorySegment neighbours,
      long l0,
      long l1,
      long l2,
      MemorySegment output,
      long to,
      int dim) {
    MemorySegment o = NativeRows.known(gate);
    MemorySegment local = NativeRows.known(neighbours);
    MemorySegment out = NativeRows.known(output);
    int d = 0;
    for (; d <= dim - LANES; d += LANES) {
      long skip = (long) d * Float.BYTES;
      FloatVector m = FloatVector.fromMemorySegment(Species.FLOAT, local, l0 + skip, ORDER);
      FloatVector x1 = FloatVector.fromMemorySegment(Species.FLOAT, local, l1 + skip, ORDER);
      FloatVector x2 = FloatVector.fromMemorySegment(Species.FLOAT, local, l2 + skip, ORDER);
      m = m.blend(x1, x1.compare(VectorOperators.GT, m).or(x1.compare(VectorOperators.NE, x1)));
      m = m.blend(x2, x2.compare(VectorOperators.GT, m).or(x2.compare(VectorOperators.NE, x2)));
      FloatVector.fromMemorySegment(Species.FLOAT, o, at + skip, ORDER)
          .fma(FloatVector.fromArray(Species.FLOAT, lift, d), m.add(0f))
          .intoMemorySegment(out, to + skip, ORDER);
    }
    for (; d < dim; d++) {
      float m = Math.max(Math.max(get(local, l0, d), get(local, l1, d)), get(local, l2, d));
      float y = Math.fma(lift[d], get(o, at, d), m + 0f);
      out.set(JAVA_FLOAT, to + (long) d * Float.BYTES, y);
    }
  }

  /**
   * The same of two rows, whose neighbours are four rows of local from {@code l0} on: what lies
   * between is compared once.
   */
  static void fuseTwo(
      float[] lift,
      MemorySegment gate,
      long at,
      long next,
      MemorySegment neighbours,
      long l0,
      long stride,
      MemorySegment output,
      long to,
      long toNext,
      int dim) {
    MemorySegment o = NativeRows.known(gate);
    MemorySegment local = NativeRows.known(neighbours);
    MemorySegment out = NativeRows.known(output);
    int d = 0;
    for (; d <= dim - LANES; d += LANES) {
      long skip = (long) d * Float.BYTES;
      long l = l0 + skip;
      FloatVector x0 = FloatVector.fromMemorySegment(Species.FLOAT, local, l, ORDER);
      l += stride;
      FloatVector m = FloatVector.fromMemorySegment(Species.FLOAT, local, l, ORDER);
      l += stride;
      FloatVector x2 = FloatVector.fromMemorySegment(Species.FLOAT, local, l, ORDER);
      l += stride;
      FloatVector x3 = FloatVector.fromMemorySegment(Species.FLOAT, local, l, ORDER);
      FloatVector v = FloatVector.fromArray(Species.FLOAT, lift, d);
      m = m.blend(x2, x2.compare(VectorOperators.GT, m).or(x2.compare(VectorOperators.NE, x2)));
      x0 = m.blend(x0, x0.compare(VectorOperators.GT, m).or(x0.compare(VectorOperators.NE, x0)));
      x3 = m.blend(x3, x3.compare(VectorOperators.GT, m).or(x3.compare(VectorOperators.NE, x3)));
      FloatVector.fromMemorySegment(Species.FLOAT, o, at + skip, ORDER)
          .fma(v, x0.add(0f))
          .intoMemorySegment(out, to + skip, ORDER);
      FloatVector.fromMemorySegment(Species.FLOAT, o, next + skip, ORDER)
          .fma(v, x3.add(0f))
          .intoMemorySegment(out, toNext + skip, ORDER);
    }
    for (; d < dim; d++) {
      float m = Math.max(get(local, l0 + stride, d), get(local, l0 + 2 * stride, d));
      float y = Math.fma(lift[d], get(o, at, d), Math.max(m, get(local, l0, d)) + 0f);
      out.set(JAVA_FLOAT, to + (long) d * Float.BYTES, y);
      y = Math.fma(lift[d], get(o, next, d), Math.max(m, get(local, l0 + 3 * stride, d)) + 0f);
      out.set(JAVA_FLOAT, toNext + (long) d * Float.BYTES, y);
    }
  }
}
