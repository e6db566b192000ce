package io.quern.bench.verify;

import io.quern.Buffer;
import io.quern.DType;
import io.quern.Device;
import io.quern.Shape;
import io.quern.Stream;
import java.lang.foreign.MemorySegment;
import java.util.ArrayDeque;
import java.util.Deque;

/** The buffers of one case on one device; closing releases them. */
final class Operands implements AutoCloseable {
  private final Device device;
  private final Stream stream;
  private final Deque<Buffer> buffers = new ArrayDeque<>();

  Operands(Device device, Stream stream) {
    this.device = device;
    this.stream = stream;
  }

  Device device() {
    return device;
  }

  Stream stream() {
    return stream;
  }

  /** An input on the device. */
  Buffer input(GoldenTensor tensor) {
    Buffer buffer = allocate(tensor.dtype(), tensor.shape());
    buffer.copyFrom(tensor.data(), stream);
    return buffer;
  }

  /**
   * An output on the device, filled with what no operator would leave there: NaN, or 0x5A in every
   * byte.
   */
  Buffer output(DType dtype, Shape shape) {
    Buffer buffer = allocate(dtype, shape);
    byte poison = (byte) (dtype.isFloat() || dtype == DType.F64 ? 0xFF : 0x5A);
    buffer.copyFrom(host(dtype, shape).fill(poison), stream);
    return buffer;
  }

  /** Scratch; null where none is needed. */
  Buffer workspace(long bytes) {
    return bytes == 0 ? null : allocate(DType.U8, Shape.of(bytes));
  }

  /** Waits for the stream and fetches an output; bad data that an operator met is thrown here. */
  GoldenTensor result(Buffer buffer) {
    MemorySegment data = host(buffer.dtype(), buffer.shape());
    buffer.copyTo(data, stream);
    return new GoldenTensor(buffer.dtype(), buffer.shape(), data);
  }

  private Buffer allocate(DType dtype, Shape shape) {
    Buffer buffer = device.allocate(dtype, shape);
    buffers.push(buffer);
    return buffer;
  }

  private static MemorySegment host(DType dtype, Shape shape) {
    return MemorySegment.ofArray(
        new byte[Math.toIntExact(Math.multiplyExact(shape.size(), dtype.byteSize()))]);
  }

  @Override
  public void close() {
    buffers.forEach(Buffer::close);
  }
}
