package io.quern.bench.verify;

import static java.lang.foreign.ValueLayout.JAVA_INT_UNALIGNED;
import static java.lang.foreign.ValueLayout.JAVA_SHORT_UNALIGNED;

import io.quern.Buffer;
import io.quern.DType;
import io.quern.Shape;
import java.lang.foreign.MemorySegment;

/** A padded batch of sequences of one length, as PoNet's operators take it. */
final class PonetBatch {
  private final Buffer offsets;

  PonetBatch(Operands operands, long sequences, long length) {
    byte[] bytes = new byte[Math.toIntExact((sequences + 1) * Integer.BYTES)];
    MemorySegment data = MemorySegment.ofArray(bytes);
    for (long s = 0; s <= sequences; s++) {
      data.setAtIndex(JAVA_INT_UNALIGNED, s, Math.toIntExact(s * length));
    }
    offsets = operands.input(new GoldenTensor(DType.I32, Shape.of(sequences + 1), data));
  }

  /** Where each sequence begins: multiples of the length. */
  Buffer offsets() {
    return offsets;
  }

  /** Integers of any width as a vector of I32. */
  static GoldenTensor integers(GoldenTensor tensor) {
    long count = tensor.shape().size();
    MemorySegment data = MemorySegment.ofArray(new byte[Math.toIntExact(count * Integer.BYTES)]);
    for (long i = 0; i < count; i++) {
      data.setAtIndex(JAVA_INT_UNALIGNED, i, Math.toIntExact(tensor.asLong(i)));
    }
    return new GoldenTensor(DType.I32, Shape.of(count), data);
  }

  /** Numbers of any kind as a vector of BOOL. */
  static GoldenTensor flags(GoldenTensor tensor) {
    byte[] flags = new byte[Math.toIntExact(tensor.shape().size())];
    for (int i = 0; i < flags.length; i++) {
      flags[i] = (byte) (tensor.asDouble(i) != 0 ? 1 : 0);
    }
    return new GoldenTensor(DType.BOOL, Shape.of(flags.length), MemorySegment.ofArray(flags));
  }

  /** {@code [B, H, L, D]} as rows {@code [B·L, H·D]}; or {@code [B, L, C]} as {@code [B·L, C]}. */
  static GoldenTensor rows(GoldenTensor tensor) {
    Shape shape = tensor.shape();
    if (shape.rank() == 3) {
      return tensor.reshaped(Shape.of(shape.dim(0) * shape.dim(1), shape.dim(2)));
    }
    long heads = shape.dim(1);
    long length = shape.dim(2);
    long dim = shape.dim(3);
    int size = tensor.dtype().byteSize();
    MemorySegment data = MemorySegment.ofArray(new byte[Math.toIntExact(shape.size() * size)]);
    for (long i = 0; i < shape.size(); i++) {
      long d = i % dim;
      long t = i / dim % length;
      long h = i / dim / length % heads;
      long b = i / dim / length / heads;
      long to = ((b * length + t) * heads + h) * dim + d;
      if (size == Integer.BYTES) {
        data.set(JAVA_INT_UNALIGNED, to * size, tensor.data().get(JAVA_INT_UNALIGNED, i * size));
      } else {
        data.set(
            JAVA_SHORT_UNALIGNED, to * size, tensor.data().get(JAVA_SHORT_UNALIGNED, i * size));
      }
    }
    return new GoldenTensor(tensor.dtype(), Shape.of(shape.dim(0) * length, heads * dim), data);
  }

  /** Probabilities {@code [B·L, H]} as {@code [B, H, L]}. */
  static GoldenTensor byHead(GoldenTensor p, long sequences) {
    long length = p.shape().dim(0) / sequences;
    long heads = p.shape().dim(1);
    MemorySegment data =
        MemorySegment.ofArray(new byte[Math.toIntExact(p.shape().size() * Integer.BYTES)]);
    for (long b = 0; b < sequences; b++) {
      for (long t = 0; t < length; t++) {
        for (long h = 0; h < heads; h++) {
          int bits = p.data().getAtIndex(JAVA_INT_UNALIGNED, (b * length + t) * heads + h);
          data.setAtIndex(JAVA_INT_UNALIGNED, (b * heads + h) * length + t, bits);
        }
      }
    }
    return new GoldenTensor(DType.F32, Shape.of(sequences, heads, length), data);
  }
}
