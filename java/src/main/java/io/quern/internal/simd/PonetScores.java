package io.quern.internal.simd;

import io.quern.internal.cpu.NativeRows;
import io.quern.internal.cpu.PonetTask;
import java.lang.foreign.MemorySegment;
import java.util.Arrays;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorMask;
import jdk.incubator.vector.VectorShuffle;

/**
 * Scores of a chunk's keys and their softmax, for all heads at a time: a head's scores are {@code
 * CHUNK} apart from the next one's. Sixteen rows go through their last four halvings (rule 4)
 * together, a row a lane; one by one these took longer than the products. Vectors stay within loops
 * of one method each, and pass between methods through arrays.
 */
final class PonetScores {
  private static final int LANES = Species.LANES;
  private static final int CHUNK = PonetTask.CHUNK;

  /** Partial sums of a dot product. */
  private static final int PARTIALS = 64;

  /** Sums that {@link #products} leaves of a row, those 16 apart added: the rest is halved. */
  static final int LEFT = 16;

  /** Whether a row's sums fill a vector. */
  private static final boolean WIDE = LANES == LEFT;

  // Lanes whose number has a bit, and lanes changed places with those that differ in it.
  private static final VectorMask<Float> BIT_8 = lanesWith(8);
  private static final VectorMask<Float> BIT_4 = lanesWith(4);
  private static final VectorMask<Float> BIT_2 = lanesWith(2);
  private static final VectorMask<Float> BIT_1 = lanesWith(1);
  private static final VectorShuffle<Float> SWAP_8 = swapped(8);
  private static final VectorShuffle<Float> SWAP_4 = swapped(4);
  private static final VectorShuffle<Float> SWAP_2 = swapped(2);
  private static final VectorShuffle<Float> SWAP_1 = swapped(1);

  private PonetScores() {}

  private static VectorMask<Float> lanesWith(int bit) {
    boolean[] with = new boolean[LANES];
    for (int i = 0; i < LANES; i++) {
      with[i] = (i & bit) != 0;
    }
    return VectorMask.fromArray(Species.FLOAT, with, 0);
  }

  private static VectorShuffle<Float> swapped(int bit) {
    return VectorShuffle.fromOp(Species.FLOAT, i -> (i ^ bit) % LANES);
  }

  /**
   * The dot products of rows with the heads' pieces of the query, times a scale.
   *
   * @param at where the rows are
   * @param stride from one head's columns in a row to the next one's
   * @param dim columns of a head, a multiple of 64
   * @param sums {@code CHUNK · LEFT}
   * @param scores of row i at i; behind the last row's there are others that mean nothing
   */
  static void scores(
      MemorySegment rows,
      long[] at,
      int n,
      int stride,
      float[] query,
      int dim,
      int heads,
      float scale,
      float[] sums,
      float[] scores) {
    int step = dim == PARTIALS ? CHUNK : LEFT; // wide rows stay in the first-level cache
    for (int first = 0; first < n; first += step) {
      int end = Math.min(n, first + step);
      for (int h = 0; h < heads; h++) {
        long skip = (long) h * stride * Float.BYTES;
        if (WIDE && dim == PARTIALS) {
          productsOfOnePiece(rows, at, first, end, skip, query, h * dim, sums);
        } else {
          int i = first;
          for (; WIDE && i <= end - 4; i += 4) {
            int to = (i - first) * LEFT;
            productsOfFour(rows, at, i, skip, query, h * dim, dim, sums, to);
          }
          for (; i < end; i++) {
            products(rows, at[i] + skip, query, h * dim, dim, sums, (i - first) * LEFT);
          }
        }
        halve(sums, end - first, scale, scores, h * CHUNK + first);
      }
    }
  }

  /** {@link #products} of rows whose pieces of 64 elements are multiplied once. */
  private static void productsOfOnePiece(
      MemorySegment memory,
      long[] at,
      int from,
      int end,
      long skip,
      float[] query,
      int first,
      float[] sums) {
    MemorySegment rows = NativeRows.known(memory);
    FloatVector q0 = FloatVector.fromArray(Species.FLOAT, query, first);
    FloatVector q1 = FloatVector.fromArray(Species.FLOAT, query, first + LEFT);
    FloatVector q2 = FloatVector.fromArray(Species.FLOAT, query, first + 2 * LEFT);
    FloatVector q3 = FloatVector.fromArray(Species.FLOAT, query, first + 3 * LEFT);
    FloatVector zero = FloatVector.zero(Species.FLOAT);
    for (int i = from; i < end; i++) {
      long key = at[i] + skip;
      FloatVector p0 =
          FloatVector.fromMemorySegment(Species.FLOAT, rows, key, Species.ORDER).fma(q0, zero);
      FloatVector p1 =
          FloatVector.fromMemorySegment(Species.FLOAT, rows, key + 4 * LEFT, Species.ORDER)
              .fma(q1, zero);
      FloatVector p2 =
          FloatVector.fromMemorySegment(Species.FLOAT, rows, key + 8 * LEFT, Species.ORDER)
              .fma(q2, zero);
      FloatVector p3 =
          FloatVector.fromMemorySegment(Species.FLOAT, rows, key + 12 * LEFT, Species.ORDER)
              .fma(q3, zero);
      p0.add(p2).add(p1.add(p3)).intoArray(sums, (i - from) * LEFT);
    }
  }

  /**
   * Of the 64 partial products of a dot product (rule 4) the sums of those 16 apart, for a row of a
   * multiple of 64 elements: element i of the result is {@code (p_i + p_{i+32}) + (p_{i+16} +
   * p_{i+48})}.
   */
  private static void products(
      MemorySegment memory, long at, float[] query, int first, int dim, float[] sums, int to) {
    MemorySegment rows = NativeRows.known(memory);
    for (int i = 0; i < LEFT; i += LANES) {
      FloatVector p0 = FloatVector.zero(Species.FLOAT);
      FloatVector p1 = p0;
      FloatVector p2 = p0;
      FloatVector p3 = p0;
      for (int d = i; d < dim; d += 4 * LEFT) {
        long key = at + (long) d * Float.BYTES;
        int q = first + d;
        p0 =
            FloatVector.fromMemorySegment(Species.FLOAT, rows, key, Species.ORDER)
                .fma(FloatVector.fromArray(Species.FLOAT, query, q), p0);
        p1 =
            FloatVector.fromMemorySegment(Species.FLOAT, rows, key + 4 * LEFT, Species.ORDER)
                .fma(FloatVector.fromArray(Species.FLOAT, query, q + LEFT), p1);
        p2 =
            FloatVector.fromMemorySegment(Species.FLOAT, rows, key + 8 * LEFT, Species.ORDER)
                .fma(FloatVector.fromArray(Species.FLOAT, query, q + 2 * LEFT), p2);
        p3 =
            FloatVector.fromMemorySegment(Species.FLOAT, rows, key + 12 * LEFT, Species.ORDER)
                .fma(FloatVector.fromArray(Species.FLOAT, query, q + 3 * LEFT), p3);
      }
      p0.add(p2).add(p1.add(p3)).intoArray(sums, to + i);
    }
  }

  /** {@link #products} of four rows from {@code row} on, which share the loads of the query. */
  private static void productsOfFour(
      MemorySegment memory,
      long[] at,
      int row,
      long skip,
      float[] query,
      int first,
      int dim,
      float[] sums,
      int to) {
    MemorySegment rows = NativeRows.known(memory);
    long a = at[row] + skip;
    long b = at[row + 1] + skip;
    long c = at[row + 2] + skip;
    long e = at[row + 3] + skip;
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
    for (int d = 0; d < dim; d += 4 * LEFT) {
      FloatVector q = FloatVector.fromArray(Species.FLOAT, query, first + d);
      long key = (long) d * Float.BYTES;
      a0 = FloatVector.fromMemorySegment(Species.FLOAT, rows, a + key, Species.ORDER).fma(q, a0);
      b0 = FloatVector.fromMemorySegment(Species.FLOAT, rows, b + key, Species.ORDER).fma(q, b0);
      c0 = FloatVector.fromMemorySegment(Species.FLOAT, rows, c + key, Species.ORDER).fma(q, c0);
      e0 = FloatVector.fromMemorySegment(Species.FLOAT, rows, e + key, Species.ORDER).fma(q, e0);
      q = FloatVector.fromArray(Species.FLOAT, query, first + d + LEFT);
      key += 4 * LEFT;
      a1 = FloatVector.fromMemorySegment(Species.FLOAT, rows, a + key, Species.ORDER).fma(q, a1);
      b1 = FloatVector.fromMemorySegment(Species.FLOAT, rows, b + key, Species.ORDER).fma(q, b1);
      c1 = FloatVector.fromMemorySegment(Species.FLOAT, rows, c + key, Species.ORDER).fma(q, c1);
      e1 = FloatVector.fromMemorySegment(Species.FLOAT, rows, e + key, Species.ORDER).fma(q, e1);
      q = FloatVector.fromArray(Species.FLOAT, query, first + d + 2 * LEFT);
      key += 4 * LEFT;
      a2 = FloatVector.fromMemorySegment(Species.FLOAT, rows, a + key, Species.ORDER).fma(q, a2);
      b2 = FloatVector.fromMemorySegment(Species.FLOAT, rows, b + key, Species.ORDER).fma(q, b2);
      c2 = FloatVector.fromMemorySegment(Species.FLOAT, rows, c + key, Species.ORDER).fma(q, c2);
      e2 = FloatVector.fromMemorySegment(Species.FLOAT, rows, e + key, Species.ORDER).fma(q, e2);
      q = FloatVector.fromArray(Species.FLOAT, query, first + d + 3 * LEFT);
      key += 4 * LEFT;
      a3 = FloatVector.fromMemorySegment(Species.FLOAT, rows, a + key, Species.ORDER).fma(q, a3);
      b3 = FloatVector.fromMemorySegment(Species.FLOAT, rows, b + key, Species.ORDER).fma(q, b3);
      c3 = FloatVector.fromMemorySegment(Species.FLOAT, rows, c + key, Species.ORDER).fma(q, c3);
      e3 = FloatVector.fromMemorySegment(Species.FLOAT, rows, e + key, Species.ORDER).fma(q, e3);
    }
    a0 = a0.add(a2).add(a1.add(a3));
    b0 = b0.add(b2).add(b1.add(b3));
    c0 = c0.add(c2).add(c1.add(c3));
    e0 = e0.add(e2).add(e1.add(e3));
    a0.intoArray(sums, to);
    b0.intoArray(sums, to + LEFT);
    c0.intoArray(sums, to + 2 * LEFT);
    e0.intoArray(sums, to + 3 * LEFT);
  }

  /** The scores of {@code n} rows of sums, up to the next multiple of 16 in wide vectors. */
  private static void halve(float[] sums, int n, float scale, float[] scores, int to) {
    if (!WIDE) {
      for (int i = 0; i < n; i++) {
        scores[to + i] = halved(sums, i * LEFT) * scale;
      }
      return;
    }
    for (int i = 0; i < n; i += LEFT) {
      halveSixteen(sums, i * LEFT, scale, scores, to + i);
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

  /**
   * {@link #halved} of sixteen rows: of two rows, one's lower half and the other's upper one are
   * added to what is left, exchanged. Row i ends in lane i.
   */
  private static void halveSixteen(float[] sums, int at, float scale, float[] scores, int to) {
    int half = LEFT * LEFT / 2;
    for (int i = at; i < at + half; i += LEFT) {
      FloatVector a = FloatVector.fromArray(Species.FLOAT, sums, i);
      FloatVector b = FloatVector.fromArray(Species.FLOAT, sums, i + half);
      a.blend(b, BIT_8).add(b.blend(a, BIT_8).rearrange(SWAP_8)).intoArray(sums, i);
    }
    for (int i = at; i < at + half / 2; i += LEFT) {
      FloatVector a = FloatVector.fromArray(Species.FLOAT, sums, i);
      FloatVector b = FloatVector.fromArray(Species.FLOAT, sums, i + half / 2);
      a.blend(b, BIT_4).add(b.blend(a, BIT_4).rearrange(SWAP_4)).intoArray(sums, i);
    }
    for (int i = at; i < at + half / 4; i += LEFT) {
      FloatVector a = FloatVector.fromArray(Species.FLOAT, sums, i);
      FloatVector b = FloatVector.fromArray(Species.FLOAT, sums, i + half / 4);
      a.blend(b, BIT_2).add(b.blend(a, BIT_2).rearrange(SWAP_2)).intoArray(sums, i);
    }
    FloatVector a = FloatVector.fromArray(Species.FLOAT, sums, at);
    FloatVector b = FloatVector.fromArray(Species.FLOAT, sums, at + LEFT);
    a.blend(b, BIT_1).add(b.blend(a, BIT_1).rearrange(SWAP_1)).mul(scale).intoArray(scores, to);
  }

  /** Moves the scores of listed tokens from their numbers to their places; −∞ elsewhere. */
  static void spread(float[] scores, int[] tokens, int n, int chunk, int heads) {
    boolean dense = n == 0 || tokens[n - 1] - chunk == n - 1;
    for (int h = 0; h < heads; h++) {
      int head = h * CHUNK;
      Arrays.fill(scores, head + n, head + CHUNK, Float.NEGATIVE_INFINITY);
      for (int i = n - 1; !dense && i >= 0; i--) {
        float score = scores[head + i];
        scores[head + i] = Float.NEGATIVE_INFINITY;
        scores[head + tokens[i] - chunk] = score;
      }
    }
  }

  /** The reverse of {@link #spread}. */
  static void gather(float[] scores, int[] tokens, int n, int chunk, int heads) {
    boolean dense = n == 0 || tokens[n - 1] - chunk == n - 1;
    for (int h = 0; h < heads && !dense; h++) {
      for (int i = 0; i < n; i++) {
        scores[h * CHUNK + i] = scores[h * CHUNK + tokens[i] - chunk];
      }
    }
  }

  /** {@code score = exp(score − max)}, each head with its maximum. */
  static void exp(float[] scores, float[] max, int heads) {
    for (int h = 0; h < heads; h++) {
      VectorMath.exp(scores, h * CHUNK, CHUNK, max[h]);
    }
  }

  /** The sum of each head's scores; behind the last one's there are others that mean nothing. */
  static void sum(float[] scores, int heads, float[] sums, float[] totals) {
    for (int h = 0; h < heads; h++) {
      for (int i = 0; i < LEFT; i += LANES) {
        int at = h * CHUNK + i;
        FloatVector.fromArray(Species.FLOAT, scores, at)
            .add(FloatVector.fromArray(Species.FLOAT, scores, at + 2 * LEFT))
            .add(
                FloatVector.fromArray(Species.FLOAT, scores, at + LEFT)
                    .add(FloatVector.fromArray(Species.FLOAT, scores, at + 3 * LEFT)))
            .intoArray(sums, h * LEFT + i);
      }
    }
    halve(sums, heads, 1, totals, 0);
  }
}
