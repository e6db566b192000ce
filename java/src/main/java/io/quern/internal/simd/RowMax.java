package io.quern.internal.simd;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;

import io.quern.internal.cpu.NativeRows;
import java.lang.foreign.MemorySegment;
import java.nio.ByteOrder;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorMask;
import jdk.incubator.vector.VectorOperators;

/** The greatest of rows of native memory, in place. */
final class RowMax {
  private static final ByteOrder ORDER = ByteOrder.nativeOrder();
  private static final int LANES = Species.LANES;

  private RowMax() {}

  /**
   * {@code out[d]} = the greatest of itself and the rows' values, NaN if any is, +0 where it is a
   * zero.
   *
   * @param rows byte offsets of the rows in {@code source}
   * @param at byte offset of the row in {@code target}
   */
  static void into(
      MemorySegment source, long[] rows, int n, MemorySegment target, long at, int dim) {
    MemorySegment x = NativeRows.known(source);
    MemorySegment out = NativeRows.known(target);
    int d = 0;
    for (; d <= dim - LANES; d += LANES) {
      long column = (long) d * Float.BYTES;
      FloatVector best = FloatVector.fromMemorySegment(Species.FLOAT, out, at + column, ORDER);
      for (int k = 0; k < n; k++) {
        FloatVector value =
            FloatVector.fromMemorySegment(Species.FLOAT, x, rows[k] + column, ORDER);
        VectorMask<Float> better =
            value.compare(VectorOperators.GT, best).or(value.compare(VectorOperators.NE, value));
        best = best.blend(value, better);
      }
      best.add(0f).intoMemorySegment(out, at + column, ORDER);
    }
    for (; d < dim; d++) {
      long column = (long) d * Float.BYTES;
      float best = out.get(JAVA_FLOAT, at + column);
      for (int k = 0; k < n; k++) {
        best = Math.max(best, x.get(JAVA_FLOAT, rows[k] + column));
      }
      out.set(JAVA_FLOAT, at + column, best + 0f);
    }
  }
}
