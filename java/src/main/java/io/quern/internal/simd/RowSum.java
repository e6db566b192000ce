package io.quern.internal.simd;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;

import io.quern.internal.cpu.NativeRows;
import java.lang.foreign.MemorySegment;
import java.nio.ByteOrder;
import jdk.incubator.vector.FloatVector;

/**
 * The weighted sum of rows of native memory, by fma in the order given, from +0. The sums of eight
 * vectors of columns stay in local variables; in an array they would be boxed or stored for every
 * row.
 */
final class RowSum {
  private static final ByteOrder ORDER = ByteOrder.nativeOrder();
  private static final int LANES = Species.LANES;
  private static final int BLOCK = 8 * LANES;
  private static final long VECTOR_BYTES = (long) LANES * Float.BYTES;

  private RowSum() {}

  /**
   * Computes {@code sum[d] = Σ_k weights[k] · row_k[d]}.
   *
   * @param rows byte offsets of the rows in {@code table}
   */
  static void of(MemorySegment memory, long[] rows, float[] weights, int n, float[] sum, int dim) {
    MemorySegment table = NativeRows.known(memory);
    int d = 0;
    for (; d <= dim - BLOCK; d += BLOCK) {
      block(table, rows, weights, n, sum, d);
    }
    for (; d <= dim - LANES; d += LANES) {
      FloatVector s = FloatVector.zero(Species.FLOAT);
      for (int k = 0; k < n; k++) {
        s =
            FloatVector.fromMemorySegment(
                    Species.FLOAT, table, rows[k] + (long) d * Float.BYTES, ORDER)
                .fma(FloatVector.broadcast(Species.FLOAT, weights[k]), s);
      }
      s.intoArray(sum, d);
    }
    for (; d < dim; d++) {
      float s = 0;
      for (int k = 0; k < n; k++) {
        s = Math.fma(weights[k], table.get(JAVA_FLOAT, rows[k] + (long) d * Float.BYTES), s);
      }
      sum[d] = s;
    }
  }

  private static void block(
      MemorySegment memory, long[] rows, float[] weights, int n, float[] sum, int d) {
    MemorySegment table = NativeRows.known(memory);
    FloatVector s0 = FloatVector.zero(Species.FLOAT);
    FloatVector s1 = s0;
    FloatVector s2 = s0;
    FloatVector s3 = s0;
    FloatVector s4 = s0;
    FloatVector s5 = s0;
    FloatVector s6 = s0;
    FloatVector s7 = s0;
    for (int k = 0; k < n; k++) {
      long at = rows[k] + (long) d * Float.BYTES;
      FloatVector w = FloatVector.broadcast(Species.FLOAT, weights[k]);
      s0 = FloatVector.fromMemorySegment(Species.FLOAT, table, at, ORDER).fma(w, s0);
      at += VECTOR_BYTES;
      s1 = FloatVector.fromMemorySegment(Species.FLOAT, table, at, ORDER).fma(w, s1);
      at += VECTOR_BYTES;
      s2 = FloatVector.fromMemorySegment(Species.FLOAT, table, at, ORDER).fma(w, s2);
      at += VECTOR_BYTES;
      s3 = FloatVector.fromMemorySegment(Species.FLOAT, table, at, ORDER).fma(w, s3);
      at += VECTOR_BYTES;
      s4 = FloatVector.fromMemorySegment(Species.FLOAT, table, at, ORDER).fma(w, s4);
      at += VECTOR_BYTES;
      s5 = FloatVector.fromMemorySegment(Species.FLOAT, table, at, ORDER).fma(w, s5);
      at += VECTOR_BYTES;
      s6 = FloatVector.fromMemorySegment(Species.FLOAT, table, at, ORDER).fma(w, s6);
      at += VECTOR_BYTES;
      s7 = FloatVector.fromMemorySegment(Species.FLOAT, table, at, ORDER).fma(w, s7);
    }
    s0.intoArray(sum, d);
    s1.intoArray(sum, d + LANES);
    s2.intoArray(sum, d + 2 * LANES);
    s3.intoArray(sum, d + 3 * LANES);
    s4.intoArray(sum, d + 4 * LANES);
    s5.intoArray(sum, d + 5 * LANES);
    s6.intoArray(sum, d + 6 * LANES);
    s7.intoArray(sum, d + 7 * LANES);
  }
}
