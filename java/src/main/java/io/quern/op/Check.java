package io.quern.op;

import io.quern.Buffer;
import io.quern.DType;
import io.quern.Device;
import io.quern.Shape;
import io.quern.internal.device.TypedMemory;
import java.util.Objects;

/** The checks that every operator makes of its operands before anything is launched. */
final class Check {
  private static final int WORKSPACE_ALIGNMENT = 16;

  private Check() {}

  /** An operand of any shape. */
  static void operand(String op, String operand, Buffer buffer, DType dtype, Device device) {
    if (buffer == null) {
      throw new NullPointerException(op + ": " + operand + " is null");
    }
    if (buffer.dtype() != dtype) {
      throw new IllegalArgumentException(
          "%s: %s is %s, expected %s".formatted(op, operand, buffer.dtype(), dtype));
    }
    if (!TypedMemory.of(buffer).usableOn(device)) {
      throw new IllegalArgumentException(
          "%s: %s is %s, expected memory of %s".formatted(op, operand, buffer, device.name()));
    }
  }

  static void shape(String op, String operand, Buffer buffer, Shape expected) {
    if (!buffer.shape().equals(expected)) {
      throw new IllegalArgumentException(
          "%s: %s has shape %s, expected %s".formatted(op, operand, buffer.shape(), expected));
    }
  }

  /** A matrix. */
  static void shape(String op, String operand, Buffer buffer, long rows, long columns) {
    Shape shape = buffer.shape();
    if (shape.rank() != 2 || shape.dim(0) != rows || shape.dim(1) != columns) {
      shape(op, operand, buffer, Shape.of(rows, columns));
    }
  }

  /** A matrix of rows of {@code dim} elements, however many. */
  static void rows(String op, String operand, Buffer buffer, long dim) {
    if (buffer.shape().rank() != 2 || buffer.shape().last() != dim) {
      throw new IllegalArgumentException(
          "%s: %s has shape %s, expected [rows, %d]".formatted(op, operand, buffer.shape(), dim));
    }
  }

  static void vector(String op, String operand, Buffer buffer, long size) {
    if (buffer.shape().rank() != 1 || buffer.shape().dim(0) != size) {
      throw new IllegalArgumentException(
          "%s: %s has shape %s, expected [%d]".formatted(op, operand, buffer.shape(), size));
    }
  }

  static void dense(String op, String operand, Buffer buffer) {
    if (!buffer.isDense()) {
      throw new IllegalArgumentException(
          "%s: %s has row stride %d, expected dense rows of %d"
              .formatted(op, operand, buffer.rowStride(), buffer.shape().last()));
    }
  }

  /** Offsets of a ragged batch: at least one. */
  static void offsets(String op, Buffer buffer) {
    if (buffer.shape().rank() != 1 || buffer.shape().dim(0) == 0) {
      throw new IllegalArgumentException(
          "%s: offsets has shape %s, expected [sequences + 1]".formatted(op, buffer.shape()));
    }
  }

  /** Scratch; absent where none is needed. */
  static void workspace(String op, Buffer buffer, long bytes, Device device) {
    if (buffer == null && bytes == 0) {
      return;
    }
    operand(op, "workspace", buffer, DType.U8, device);
    if (buffer.shape().rank() != 1 || buffer.shape().dim(0) < bytes) {
      throw new IllegalArgumentException(
          "%s: workspace has shape %s, expected [%d] or more".formatted(op, buffer.shape(), bytes));
    }
    aligned(op, "workspace", buffer);
    writable(op, "workspace", buffer);
  }

  /** Bytes in which kernels keep what they like. */
  static void aligned(String op, String operand, Buffer buffer) {
    if (TypedMemory.of(buffer).address() % WORKSPACE_ALIGNMENT != 0) {
      throw new IllegalArgumentException(
          "%s: %s is not aligned, expected a multiple of %d bytes"
              .formatted(op, operand, WORKSPACE_ALIGNMENT));
    }
  }

  static void writable(String op, String operand, Buffer buffer) {
    if (TypedMemory.of(buffer).isReadOnly()) {
      throw new IllegalArgumentException(op + ": " + operand + " is read-only");
    }
  }

  /** The output {@code out} and an input share no element. */
  static void disjoint(String op, Buffer out, String operand, Buffer input) {
    disjoint(op, "out", out, operand, input);
  }

  /** An output and another operand share no element; either may be missing. */
  static void disjoint(String op, String outName, Buffer out, String operand, Buffer other) {
    if (out != null
        && other != null
        && TypedMemory.overlap(TypedMemory.of(out), TypedMemory.of(other))) {
      throw new IllegalArgumentException(op + ": " + outName + " overlaps " + operand);
    }
  }

  /** The length of a row, which CPU kernels hold in arrays. */
  static void dim(long dim) {
    if (dim < 0 || dim > Integer.MAX_VALUE) {
      throw new IllegalArgumentException(
          "dim is %d, expected 0 to %d".formatted(dim, Integer.MAX_VALUE));
    }
  }

  /** How many elements of a row are kept. */
  static void keep(long k, long dim) {
    if (k < 0 || k > dim) {
      throw new IllegalArgumentException("k is %d, expected 0 to dim = %d".formatted(k, dim));
    }
  }

  /** An output [rows, k]. */
  static void ranked(
      String op, String operand, Buffer out, DType dtype, long rows, long k, Device device) {
    operand(op, operand, out, dtype, device);
    if (out.shape().rank() != 2 || out.shape().dim(0) != rows || out.shape().dim(1) != k) {
      shape(op, operand, out, Shape.of(rows, k));
    }
    writable(op, operand, out);
  }

  /** An extent that fits into an int. */
  static void dim(String what, long extent) {
    if (extent < 0 || extent > Integer.MAX_VALUE) {
      throw new IllegalArgumentException(
          "%s is %d, expected 0 to %d".formatted(what, extent, Integer.MAX_VALUE));
    }
  }

  static void matrix(String op, String operand, Buffer buffer, long rows, long columns) {
    if (buffer.shape().rank() != 2
        || buffer.shape().dim(0) != rows
        || buffer.shape().last() != columns) {
      throw new IllegalArgumentException(
          "%s: %s has shape %s, expected [%d, %d]"
              .formatted(op, operand, buffer.shape(), rows, columns));
    }
  }

  /** The offsets of a ragged batch; how many requests they cut it into. */
  static long requests(String op, Buffer offsets, Device device) {
    operand(op, "offsets", offsets, DType.I32, device);
    if (offsets.shape().rank() != 1 || offsets.shape().size() == 0) {
      throw new IllegalArgumentException(
          "%s: offsets has shape %s, expected [requests + 1]".formatted(op, offsets.shape()));
    }
    return offsets.shape().size() - 1;
  }

  /** Words of bits. */
  static DType words(String what, DType dtype) {
    if (!isWord(Objects.requireNonNull(dtype, what))) {
      throw new IllegalArgumentException(
          what + " is " + dtype + ", expected U8, U16, U32, U64, I32 or I64");
    }
    return dtype;
  }

  static boolean isWord(DType dtype) {
    return switch (dtype) {
      case U8, U16, U32, U64, I32, I64 -> true;
      default -> false;
    };
  }

  /** A matrix without gaps between its rows. */
  static void denseMatrix(String op, String operand, Buffer buffer, long rows, long columns) {
    matrix(op, operand, buffer, rows, columns);
    dense(op, operand, buffer);
  }

  /** An operand that is written. */
  static void output(String op, String operand, Buffer buffer, DType dtype, Device device) {
    operand(op, operand, buffer, dtype, device);
    writable(op, operand, buffer);
  }

  /**
   * Rows of {@code dim} elements, one for each token: [batch, tokens, dim] or [batch · tokens,
   * dim].
   */
  static void tokens(String op, String operand, Buffer buffer, long batch, long tokens, long dim) {
    Shape shape = buffer.shape();
    boolean fits =
        shape.rank() == 3
            ? shape.dim(0) == batch && shape.dim(1) == tokens
            : shape.rank() == 2 && shape.dim(0) == batch * tokens;
    if (!fits || shape.last() != dim) {
      throw new IllegalArgumentException(
          "%s: %s has shape %s, expected [%d, %d, %d]"
              .formatted(op, operand, shape, batch, tokens, dim));
    }
  }

  static DType floating(String what, DType dtype) {
    if (!Objects.requireNonNull(dtype, what).isFloat()) {
      throw new IllegalArgumentException(what + " is " + dtype + ", expected F32, F16 or BF16");
    }
    return dtype;
  }

  static DType index(String what, DType dtype) {
    if (!Objects.requireNonNull(dtype, what).isIndex()) {
      throw new IllegalArgumentException(what + " is " + dtype + ", expected I32 or I64");
    }
    return dtype;
  }
}
