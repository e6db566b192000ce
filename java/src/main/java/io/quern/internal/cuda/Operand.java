package io.quern.internal.cuda;

import static java.lang.foreign.ValueLayout.JAVA_LONG;

import io.quern.Buffer;
import io.quern.bindings.quern.quern_table;
import io.quern.internal.device.TypedMemory;
import java.lang.foreign.MemorySegment;

/** Operands as the library takes them. */
final class Operand {
  private static final long TABLE_BYTES = quern_table.sizeof();
  private static final long DATA = quern_table.data$offset();
  private static final long ROWS = quern_table.rows$offset();
  private static final long STRIDE = quern_table.stride$offset();

  private Operand() {}

  /** The address, 0 of an operand that is absent. */
  static long address(Buffer buffer) {
    return buffer == null ? 0 : address(TypedMemory.of(buffer));
  }

  /** The address of an operand, which is held. */
  static long address(TypedMemory memory) {
    return memory instanceof DeviceMemory device ? device.heldAddress() : memory.address();
  }

  /**
   * The row stride, which the library wants to be no less than the row even where there is a single
   * one.
   */
  static long stride(Buffer buffer) {
    return Math.max(buffer.rowStride(), buffer.shape().last());
  }

  /** The same, 0 of an operand that is absent. */
  static long strideOrZero(Buffer buffer) {
    return buffer == null ? 0 : stride(buffer);
  }

  /**
   * Writes entry {@code i} of the array of tables that begins at byte {@code tables} of a
   * descriptor.
   */
  static void setTable(MemorySegment descriptor, long tables, int i, Buffer table) {
    long entry = tables + i * TABLE_BYTES;
    descriptor.set(JAVA_LONG, entry + DATA, address(table));
    descriptor.set(JAVA_LONG, entry + ROWS, table.shape().dim(0));
    descriptor.set(JAVA_LONG, entry + STRIDE, stride(table));
  }
}
