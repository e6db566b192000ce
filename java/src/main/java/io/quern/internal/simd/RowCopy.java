package io.quern.internal.simd;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/**
 * Copies of rows. Where a JVM has also copied segments of other kinds, arrays for instance, C2
 * compiles a copy with calls to find out the kind: rows of 512 bytes from DRAM then take twice the
 * time. A class that has just been compared is known, and the calls are gone.
 */
final class RowCopy {
  /** The class of native memory that is not mapped from a file. */
  static final Class<?> NATIVE = MemorySegment.NULL.getClass();

  private RowCopy() {}

  static void copy(MemorySegment source, long offset, MemorySegment out, long target, long bytes) {
    if (source.getClass() == NATIVE && out.getClass() == NATIVE) {
      MemorySegment.copy(source, offset, out, target, bytes);
    } else {
      MemorySegment.copy(source, offset, out, target, bytes);
    }
  }

  /** Into a float[] or short[] of elements as laid out. */
  static void copy(
      MemorySegment source, ValueLayout layout, long offset, Object array, int at, int count) {
    if (source.getClass() == NATIVE) {
      MemorySegment.copy(source, layout, offset, array, at, count);
    } else {
      MemorySegment.copy(source, layout, offset, array, at, count);
    }
  }
}
