package io.quern.internal.scalar;

import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;
import static java.lang.foreign.ValueLayout.JAVA_SHORT;

import io.quern.DType;
import java.lang.foreign.MemorySegment;

/** Rows, element by element. */
final class Rows {
  private Rows() {}

  /** Copies a row: bits where the dtypes are equal, else rounded values. */
  static void copy(
      DType from,
      MemorySegment source,
      long offset,
      DType to,
      MemorySegment out,
      long target,
      long dim) {
    for (long d = 0; d < dim; d++) {
      long read = offset + d * from.byteSize();
      long write = target + d * to.byteSize();
      if (from != to) {
        Element.store(to, out, write, Element.load(from, source, read));
      } else {
        switch (from.byteSize()) {
          case Short.BYTES -> out.set(JAVA_SHORT, write, source.get(JAVA_SHORT, read));
          case Integer.BYTES -> out.set(JAVA_INT, write, source.get(JAVA_INT, read));
          default -> out.set(JAVA_LONG, write, source.get(JAVA_LONG, read));
        }
      }
    }
  }

  static void zero(DType to, MemorySegment out, long target, long dim) {
    for (long d = 0; d < dim; d++) {
      Element.store(to, out, target + d * to.byteSize(), 0);
    }
  }
}
