package io.quern.bench.verify;

import io.quern.DType;
import io.quern.Shape;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/** Arrays, which host code of the library takes and returns, as tensors and back. */
final class HostArrays {
  private HostArrays() {}

  /** The elements of an integral tensor. */
  static int[] ints(GoldenTensor tensor) {
    int[] values = new int[Math.toIntExact(tensor.shape().size())];
    for (int i = 0; i < values.length; i++) {
      values[i] = Math.toIntExact(tensor.asLong(i));
    }
    return values;
  }

  /** The elements, F64 narrowed. */
  static float[] floats(GoldenTensor tensor) {
    float[] values = new float[Math.toIntExact(tensor.shape().size())];
    for (int i = 0; i < values.length; i++) {
      values[i] = (float) tensor.asDouble(i);
    }
    return values;
  }

  /** An I32 tensor. */
  static GoldenTensor tensor(int[] values, long... dims) {
    MemorySegment data = MemorySegment.ofArray(new byte[values.length * Integer.BYTES]);
    MemorySegment.copy(values, 0, data, ValueLayout.JAVA_INT_UNALIGNED, 0, values.length);
    return new GoldenTensor(DType.I32, Shape.of(dims), data);
  }

  /** An F32 tensor. */
  static GoldenTensor tensor(float[] values, long... dims) {
    MemorySegment data = MemorySegment.ofArray(new byte[values.length * Float.BYTES]);
    MemorySegment.copy(values, 0, data, ValueLayout.JAVA_FLOAT_UNALIGNED, 0, values.length);
    return new GoldenTensor(DType.F32, Shape.of(dims), data);
  }

  /** An I32 vector. */
  static GoldenTensor vector(int... values) {
    return tensor(values, values.length);
  }

  /** A BOOL tensor. */
  static GoldenTensor tensor(boolean[] values, long... dims) {
    byte[] bytes = new byte[values.length];
    for (int i = 0; i < values.length; i++) {
      bytes[i] = (byte) (values[i] ? 1 : 0);
    }
    return new GoldenTensor(DType.BOOL, Shape.of(dims), MemorySegment.ofArray(bytes));
  }
}
