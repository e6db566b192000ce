package io.quern.internal.cpu;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/**
 * Rows in native memory, which is what operands are in. Where a JVM has also used segments of other
 * kinds, arrays for instance, C2 compiles every access with calls to find out the kind: copies of
 * 512-byte rows from DRAM then take twice the time. A class that has just been compared is known,
 * and the calls are gone. That holds within a method that is compiled as a whole: not in a loop
 * that was entered before it was compiled, so loops over vectors are in small methods.
 */
public final class NativeRows {
  /** The class of native memory that is not mapped from a file; operands have no other. */
  private static final Class<?> NATIVE = MemorySegment.NULL.getClass();

  private NativeRows() {}

  /** The same segment, of a class that C2 knows. */
  public static MemorySegment known(MemorySegment segment) {
    if (segment.getClass() != NATIVE) {
      throw new AssertionError(segment);
    }
    return segment;
  }

  public static void copy(
      MemorySegment source, long offset, MemorySegment out, long target, long bytes) {
    MemorySegment.copy(known(source), offset, known(out), target, bytes);
  }

  /** Into a float[] or short[] of elements as laid out. */
  public static void copy(
      MemorySegment source, ValueLayout layout, long offset, Object array, int at, int count) {
    MemorySegment.copy(known(source), layout, offset, array, at, count);
  }
}
