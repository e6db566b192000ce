package io.quern.internal.cuda;

import io.quern.CpuDevice;
import io.quern.DType;
import io.quern.Device;
import io.quern.PinnedBuffer;
import io.quern.Shape;
import io.quern.internal.device.Resource;
import io.quern.internal.device.TypedMemory;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;

/** Page-locked host memory, mapped into the GPU at the same address. */
public final class PinnedMemory extends TypedMemory implements PinnedBuffer {
  private final RuntimeDevice device;
  private final MemorySegment segment;

  private PinnedMemory(
      RuntimeDevice device, MemorySegment segment, DType dtype, Shape shape, Resource memory) {
    super(dtype, shape, memory, device.resources());
    this.device = device;
    this.segment = segment;
  }

  private PinnedMemory(PinnedMemory parent, MemorySegment segment, Shape shape, long rowStride) {
    super(parent, shape, rowStride);
    this.device = parent.device;
    this.segment = segment;
  }

  static PinnedMemory allocate(RuntimeDevice device, DType dtype, Shape shape) {
    long bytes = bytes(dtype, shape);
    device.resources().requireOpen();
    MemorySegment address = device.context().allocatePinned(Math.max(1, bytes));
    Arena arena = Arena.ofShared();
    Resource memory =
        new Resource(
            device.resources(),
            "pinned buffer %s%s of %d bytes".formatted(dtype, shape, bytes),
            bytes) {
          @Override
          protected void free() {
            device.drain();
            arena.close(); // no Java code reaches the memory from here on
            device.context().freePinned(address);
          }
        };
    return new PinnedMemory(
        device,
        address.reinterpret(bytes, arena, null),
        dtype,
        shape,
        device.resources().add(memory));
  }

  @Override
  public PinnedBuffer view(long first, Shape shape, long rowStride) {
    checkView(first, shape, rowStride);
    long size = dtype().byteSize();
    return new PinnedMemory(
        this, segment.asSlice(first * size, span(shape, rowStride) * size), shape, rowStride);
  }

  @Override
  public MemorySegment segment() {
    return segment;
  }

  @Override
  public long address() {
    return segment.address();
  }

  @Override
  public boolean usableOn(Device device) {
    return device == this.device || device instanceof CpuDevice;
  }
}
