package io.quern.internal.simd;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;

import io.quern.internal.cpu.PonetTask;
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

  /** Partial sums of a dot product that {@link #products} leaves: the rest is halved one by one. */
  static final int PARTIALS = 16;

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

  /**
   * Of the 64 partial products of a dot product (rule 4) the sums of those 16 apart, for a row of a
   * multiple of 64 elements: element i of the result is {@code (p_i + p_{i+32}) + (p_{i+16} +
   * p_{i+48})}.
   */
  private static void products(
      MemorySegment memory, long at, float[] query, int first, int dim, float[] sums) {
    MemorySegment rows = NativeRows.known(memory);
    for (int i = 0; i < PARTIALS; i += LANES) {
      FloatVector p0 = FloatVector.zero(Species.FLOAT);
      FloatVector p1 = p0;
      FloatVector p2 = p0;
      FloatVector p3 = p0;
      for (int d = i; d < dim; d += 4 * PARTIALS) {
        long key = at + (long) d * Float.BYTES;
        int q = first + d;
        p0 =
            FloatVector.fromMemorySegment(Species.FLOAT, rows, key, ORDER)
                .fma(FloatVector.fromArray(Species.FLOAT, query, q), p0);
        p1 =
            FloatVector.fromMemorySegment(Species.FLOAT, rows, key + 4 * PARTIALS, ORDER)
                .fma(FloatVector.fromArray(Species.FLOAT, query, q + PARTIALS), p1);
        p2 =
            FloatVector.fromMemorySegment(Species.FLOAT, rows, key + 8 * PARTIALS, ORDER)
                .fma(FloatVector.fromArray(Species.FLOAT, query, q + 2 * PARTIALS), p2);
        p3 =
            FloatVector.fromMemorySegment(Species.FLOAT, rows, key + 12 * PARTIALS, ORDER)
                .fma(FloatVector.fromArray(Species.FLOAT, query, q + 3 * PARTIALS), p3);
      }
      p0.add(p2).add(p1.add(p3)).intoArray(sums, i);
    }
  }

  /**
   * {@link #products} of four rows where a vector has as many lanes as it leaves sums. Halving
   * those by shuffles as well made C2 box them in some runs.
   */
  private static void productsOfFour(
      MemorySegment memory,
      long a,
      long b,
      long c,
      long e,
      float[] query,
      int first,
      int dim,
      float[] sums) {
    MemorySegment rows = NativeRows.known(memory);
    FloatVector a0 = FloatVector.zero(Species.FLOAT);
    FloatVector a1 = a0;
    FloatVector a2 = a0;
    FloatVector a3 = a0;
    FloatVector b0 = a0;
    FloatVector b1 = a0;
    FloatVector b2 = a0;
    FloatVector b3 = a0;
    FloatVector c0 = a0;
    FloatVector c1 = a0;
    FloatVector c2 = a0;
    FloatVector c3 = a0;
    FloatVector e0 = a0;
    FloatVector e1 = a0;
    FloatVector e2 = a0;
    FloatVector e3 = a0;
    for (int d = 0; d < dim; d += 4 * PARTIALS) {
      FloatVector q = FloatVector.fromArray(Species.FLOAT, query, first + d);
      long at = (long) d * Float.BYTES;
      a0 = FloatVector.fromMemorySegment(Species.FLOAT, rows, a + at, ORDER).fma(q, a0);
      b0 = FloatVector.fromMemorySegment(Species.FLOAT, rows, b + at, ORDER).fma(q, b0);
      c0 = FloatVector.fromMemorySegment(Species.FLOAT, rows, c + at, ORDER).fma(q, c0);
      e0 = FloatVector.fromMemorySegment(Species.FLOAT, rows, e + at, ORDER).fma(q, e0);
      q = FloatVector.fromArray(Species.FLOAT, query, first + d + PARTIALS);
      at += 4 * PARTIALS;
      a1 = FloatVector.fromMemorySegment(Species.FLOAT, rows, a + at, ORDER).fma(q, a1);
      b1 = FloatVector.fromMemorySegment(Species.FLOAT, rows, b + at, ORDER).fma(q, b1);
      c1 = FloatVector.fromMemorySegment(Species.FLOAT, rows, c + at, ORDER).fma(q, c1);
      e1 = FloatVector.fromMemorySegment(Species.FLOAT, rows, e + at, ORDER).fma(q, e1);
      q = FloatVector.fromArray(Species.FLOAT, query, first + d + 2 * PARTIALS);
      at += 4 * PARTIALS;
      a2 = FloatVector.fromMemorySegment(Species.FLOAT, rows, a + at, ORDER).fma(q, a2);
      b2 = FloatVector.fromMemorySegment(Species.FLOAT, rows, b + at, ORDER).fma(q, b2);
      c2 = FloatVector.fromMemorySegment(Species.FLOAT, rows, c + at, ORDER).fma(q, c2);
      e2 = FloatVector.fromMemorySegment(Species.FLOAT, rows, e + at, ORDER).fma(q, e2);
      q = FloatVector.fromArray(Species.FLOAT, query, first + d + 3 * PARTIALS);
      at += 4 * PARTIALS;
      a3 = FloatVector.fromMemorySegment(Species.FLOAT, rows, a + at, ORDER).fma(q, a3);
      b3 = FloatVector.fromMemorySegment(Species.FLOAT, rows, b + at, ORDER).fma(q, b3);
      c3 = FloatVector.fromMemorySegment(Species.FLOAT, rows, c + at, ORDER).fma(q, c3);
      e3 = FloatVector.fromMemorySegment(Species.FLOAT, rows, e + at, ORDER).fma(q, e3);
    }
    a0 = a0.add(a2).add(a1.add(a3));
    b0 = b0.add(b2).add(b1.add(b3));
    c0 = c0.add(c2).add(c1.add(c3));
    e0 = e0.add(e2).add(e1.add(e3));
    a0.intoArray(sums, 0);
    b0.intoArray(sums, PARTIALS);
    c0.intoArray(sums, 2 * PARTIALS);
    e0.intoArray(sums, 3 * PARTIALS);
  }

  /**
   * The dot products of rows with the heads' pieces of the query.
   *
   * @param at where the rows are
   * @param places where a row's scores go, head by head {@code CHUNK} apart, {@code chunk}
   *     subtracted
   * @param stride from one head's columns in the row to the next one's
   * @param dim columns of a head, a multiple of 64
   */
  static void scores(
      MemorySegment rows,
      long[] at,
      int[] places,
      int n,
      int chunk,
      int stride,
      float[] query,
      int dim,
      int heads,
      float scale,
      float[] sums,
      float[] scores) {
    int i = 0;
    for (; LANES == PARTIALS && i <= n - 4; i += 4) {
      for (int h = 0; h < heads; h++) {
        long key = (long) h * stride * Float.BYTES;
        productsOfFour(
            rows,
            at[i] + key,
            at[i + 1] + key,
            at[i + 2] + key,
            at[i + 3] + key,
            query,
            h * dim,
            dim,
            sums);
        int to = h * PonetTask.CHUNK - chunk;
        scores[to + places[i]] = halved(sums, 0) * scale;
        scores[to + places[i + 1]] = halved(sums, PARTIALS) * scale;
        scores[to + places[i + 2]] = halved(sums, 2 * PARTIALS) * scale;
        scores[to + places[i + 3]] = halved(sums, 3 * PARTIALS) * scale;
      }
    }
    for (; i < n; i++) {
      for (int h = 0; h < heads; h++) {
        products(rows, at[i] + (long) h * stride * Float.BYTES, query, h * dim, dim, sums);
        scores[h * PonetTask.CHUNK - chunk + places[i]] = halved(sums, 0) * scale;
      }
    }
  }

  /** The rest of what {@link #products} began. */
  private static float halved(float[] sums, int at) {
    float s0 = (sums[at] + sums[at + 8]) + (sums[at + 4] + sums[at + 12]);
    float s1 = (sums[at + 1] + sums[at + 9]) + (sums[at + 5] + sums[at + 13]);
    float s2 = (sums[at + 2] + sums[at + 10]) + (sums[at + 6] + sums[at + 14]);
    float s3 = (sums[at + 3] + sums[at + 11]) + (sums[at + 7] + sums[at + 15]);
    return (s0 + s2) + (s1 + s3);
  }

  /** {@code sum[to + d] = Σ_k weights[k] · row_k[d]} by fma in order, from +0. */
  static void weightedSum(
      MemorySegment memory, long[] at, int n, long skip, float[] weights, float[] sum, int dim) {
    MemorySegment rows = NativeRows.known(memory);
    int d = 0;
    for (; d <= dim - 4 * LANES; d += 4 * LANES) {
      weightedSumOfFour(rows, at, n, skip + (long) d * Float.BYTES, weights, sum, d);
    }
    for (; d <= dim - LANES; d += LANES) {
      FloatVector s = FloatVector.zero(Species.FLOAT);
      for (int k = 0; k < n; k++) {
        s =
            FloatVector.fromMemorySegment(
                    Species.FLOAT, rows, at[k] + skip + (long) d * Float.BYTES, ORDER)
                .fma(FloatVector.broadcast(Species.FLOAT, weights[k]), s);
      }
      s.intoArray(sum, d);
    }
    for (; d < dim; d++) {
      float s = 0;
      for (int k = 0; k < n; k++) {
        s = Math.fma(weights[k], get(rows, at[k] + skip, d), s);
      }
      sum[d] = s;
    }
  }

  private static void weightedSumOfFour(
      MemorySegment memory, long[] at, int n, long skip, float[] weights, float[] sum, int d) {
    MemorySegment rows = NativeRows.known(memory);
    FloatVector s0 = FloatVector.zero(Species.FLOAT);
    FloatVector s1 = s0;
    FloatVector s2 = s0;
    FloatVector s3 = s0;
    for (int k = 0; k < n; k++) {
      long row = at[k] + skip;
      FloatVector w = FloatVector.broadcast(Species.FLOAT, weights[k]);
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

  /** {@code to = fma(from, b, to · a)}: the merge of two softmax states. */
  static void merge(float[] to, float a, float[] from, float b, int dim) {
    int d = 0;
    for (; d <= dim - LANES; d += LANES) {
      FloatVector.fromArray(Species.FLOAT, from, d)
          .fma(
              FloatVector.broadcast(Species.FLOAT, b),
              FloatVector.fromArray(Species.FLOAT, to, d).mul(a))
          .intoArray(to, d);
    }
    for (; d < dim; d++) {
      to[d] = Math.fma(from[d], b, to[d] * a);
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
}
