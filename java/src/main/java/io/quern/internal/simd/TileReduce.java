package io.quern.internal.simd;

import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorMask;
import jdk.incubator.vector.VectorOperators;

/** Column-wise reductions over the rows of a dense array, and what is done with their results. */
final class TileReduce {
  private static final int LANES = Species.LANES;

  private TileReduce() {}

  /** {@code sum[d] = fma(weights[first + k], rows[k, d], sum[d])} for k ascending. */
  static void sum(float[] rows, int n, float[] weights, int first, float[] sum, int dim) {
    int d = 0;
    for (; d <= dim - LANES; d += LANES) {
      FloatVector s = FloatVector.fromArray(Species.FLOAT, sum, d);
      for (int k = 0; k < n; k++) {
        s =
            FloatVector.fromArray(Species.FLOAT, rows, k * dim + d)
                .fma(FloatVector.broadcast(Species.FLOAT, weights[first + k]), s);
      }
      s.intoArray(sum, d);
    }
    for (; d < dim; d++) {
      float s = sum[d];
      for (int k = 0; k < n; k++) {
        s = Math.fma(weights[first + k], rows[k * dim + d], s);
      }
      sum[d] = s;
    }
  }

  /** {@code best[d]} = the greatest of itself and the rows' values, NaN if any is. */
  static void max(float[] rows, int n, float[] best, int dim) {
    max(rows, 0, n, best, dim);
  }

  /** The same of rows from element {@code at} on, which may be behind {@code best} in its array. */
  static void max(float[] rows, int at, int n, float[] best, int dim) {
    int d = 0;
    for (; d <= dim - LANES; d += LANES) {
      FloatVector b = FloatVector.fromArray(Species.FLOAT, best, d);
      for (int k = 0; k < n; k++) {
        FloatVector x = FloatVector.fromArray(Species.FLOAT, rows, at + k * dim + d);
        VectorMask<Float> better =
            x.compare(VectorOperators.GT, b).or(x.compare(VectorOperators.NE, x));
        b = b.blend(x, better);
      }
      b.intoArray(best, d);
    }
    for (; d < dim; d++) {
      for (int k = 0; k < n; k++) {
        best[d] = Math.max(best[d], rows[at + k * dim + d]);
      }
    }
  }

  /** {@code best[d]} = the least of itself and the rows' values, NaN if any is. */
  static void min(float[] rows, int n, float[] best, int dim) {
    int d = 0;
    for (; d <= dim - LANES; d += LANES) {
      FloatVector b = FloatVector.fromArray(Species.FLOAT, best, d);
      for (int k = 0; k < n; k++) {
        FloatVector x = FloatVector.fromArray(Species.FLOAT, rows, k * dim + d);
        VectorMask<Float> better =
            x.compare(VectorOperators.LT, b).or(x.compare(VectorOperators.NE, x));
        b = b.blend(x, better);
      }
      b.intoArray(best, d);
    }
    for (; d < dim; d++) {
      for (int k = 0; k < n; k++) {
        best[d] = Math.min(best[d], rows[k * dim + d]);
      }
    }
  }

  /** {@code a[d] += b[d]}. */
  static void add(float[] a, float[] b, int dim) {
    int d = 0;
    for (; d <= dim - LANES; d += LANES) {
      FloatVector.fromArray(Species.FLOAT, a, d)
          .add(FloatVector.fromArray(Species.FLOAT, b, d))
          .intoArray(a, d);
    }
    for (; d < dim; d++) {
      a[d] += b[d];
    }
  }

  /** {@code a[d] += value}. */
  static void add(float[] a, float value, int dim) {
    int d = 0;
    for (; d <= dim - LANES; d += LANES) {
      FloatVector.fromArray(Species.FLOAT, a, d).add(value).intoArray(a, d);
    }
    for (; d < dim; d++) {
      a[d] += value;
    }
  }

  /** {@code a[d] /= divisor}. */
  static void divide(float[] a, float divisor, int dim) {
    int d = 0;
    for (; d <= dim - LANES; d += LANES) {
      FloatVector.fromArray(Species.FLOAT, a, d).div(divisor).intoArray(a, d);
    }
    for (; d < dim; d++) {
      a[d] /= divisor;
    }
  }
}
