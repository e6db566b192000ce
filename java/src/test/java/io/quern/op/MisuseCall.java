package io.quern.op;

import io.quern.Buffer;
import io.quern.DType;
import io.quern.Device;
import io.quern.Shape;
import io.quern.Stream;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * A call that is right, for {@link MisuseTest} to make wrong in every way. Operands hold zeros,
 * outputs poison; the right call has to write something.
 *
 * @param name unique among all calls
 * @param op the operator's class, which every message names
 * @param operands by the name that messages use, in order
 */
record MisuseCall(String name, String op, Map<String, Operand> operands, Plan plan) {

  /** What becomes of a call without an operand. */
  enum Missing {
    /** A {@link NullPointerException} that names it. */
    REFUSED,
    /** Optional in general, but this call needs it: an {@link IllegalArgumentException}. */
    NEEDED,
    /** It may be null. */
    ALLOWED
  }

  /**
   * An operand as it is when the call is right.
   *
   * @param output whether the call writes it
   * @param anyExtents whether other shapes of the same rank are right too
   */
  record Operand(DType dtype, Shape shape, Missing missing, boolean output, boolean anyExtents) {
    static Operand in(DType dtype, long... dims) {
      return new Operand(dtype, Shape.of(dims), Missing.REFUSED, false, false);
    }

    static Operand out(DType dtype, long... dims) {
      return new Operand(dtype, Shape.of(dims), Missing.REFUSED, true, false);
    }

    Operand with(Missing missing) {
      return new Operand(dtype, shape, missing, output, anyExtents);
    }

    Operand with(DType dtype) {
      return new Operand(dtype, shape, missing, output, anyExtents);
    }

    Operand with(Shape shape) {
      return new Operand(dtype, shape, missing, output, anyExtents);
    }

    Operand ofAnyExtents() {
      return new Operand(dtype, shape, missing, output, true);
    }

    long bytes() {
      return shape.size() * dtype.byteSize();
    }
  }

  /** Plans the operator. */
  interface Plan {
    Runner on(Device device);
  }

  /** Runs it; an operand may be null. */
  interface Runner {
    void run(Stream stream, Map<String, Buffer> operands);
  }

  /** Names and operands in turn. */
  static Map<String, Operand> operands(Object... namesAndOperands) {
    Map<String, Operand> operands = new LinkedHashMap<>();
    for (int i = 0; i < namesAndOperands.length; i += 2) {
      operands.put((String) namesAndOperands[i], (Operand) namesAndOperands[i + 1]);
    }
    return operands;
  }
}
