package io.quern.bench.measure;

import io.quern.Backend;
import io.quern.CpuDevice;
import io.quern.DType;
import io.quern.HostBuffer;
import io.quern.Shape;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SegmentAllocator;
import java.util.ArrayList;
import java.util.List;

/** Memory as a CPU device allocates it: in huge pages where the system grants them. */
final class HugePageMemory implements SegmentAllocator, AutoCloseable {
  private final CpuDevice device = CpuDevice.open(Backend.SCALAR, 1);
  private final List<HostBuffer> buffers = new ArrayList<>();

  @Override
  public MemorySegment allocate(long bytes, long alignment) {
    HostBuffer buffer = device.allocate(DType.U8, Shape.of(bytes));
    buffers.add(buffer);
    if (buffer.segment().address() % alignment != 0) {
      throw new IllegalStateException("a buffer that is not aligned to " + alignment);
    }
    return buffer.segment();
  }

  @Override
  public void close() {
    buffers.forEach(HostBuffer::close);
    device.close();
  }
}
