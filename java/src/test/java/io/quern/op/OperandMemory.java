package io.quern.op;

import io.quern.Buffer;
import io.quern.DType;
import io.quern.Shape;

/**
 * Where the operands of a case are put: {@code device::allocate}, or memory with guard pages around
 * it.
 */
@FunctionalInterface
public interface OperandMemory {
  /** A dense buffer. */
  Buffer allocate(DType dtype, Shape shape);
}
