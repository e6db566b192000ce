package io.quern.internal.cuda;

import io.quern.DType;
import io.quern.Device;
import io.quern.DeviceBuffer;
import io.quern.Shape;
import io.quern.internal.device.Resource;
import io.quern.internal.device.Resources;
import io.quern.internal.device.TypedMemory;
import java.lang.foreign.MemorySegment;
import java.util.Objects;

/** GPU memory: allocated, or wrapped and left to its owner. */
public final class DeviceMemory extends TypedMemory implements DeviceBuffer {
  private final RuntimeDevice device;
  private final long address;

  private DeviceMemory(
      RuntimeDevice device,
      long address,
      DType dtype,
      Shape shape,
      Resource memory,
      Resources owner) {
    super(dtype, shape, memory, owner);
    this.device = device;
    this.address = address;
  }

  private DeviceMemory(DeviceMemory parent, long address, Shape shape, long rowStride) {
    super(parent, shape, rowStride);
    this.device = parent.device;
    this.address = address;
  }

  static DeviceMemory allocate(RuntimeDevice device, DType dtype, Shape shape) {
    long bytes = bytes(dtype, shape);
    device.resources().requireOpen();
    // An empty buffer has an address too, so that it looks like any other to the library.
    MemorySegment address = device.context().allocate(Math.max(1, bytes));
    Resource memory =
        new Resource(
            device.resources(),
            "device buffer %s%s of %d bytes".formatted(dtype, shape, bytes),
            bytes) {
          @Override
          protected void free() {
            device.drain();
            device.context().free(address);
          }
        };
    return new DeviceMemory(
        device,
        address.address(),
        dtype,
        shape,
        device.resources().add(memory),
        device.resources());
  }

  static DeviceMemory wrap(RuntimeDevice device, long address, DType dtype, Shape shape) {
    Objects.requireNonNull(dtype, "dtype");
    device.resources().requireOpen();
    if (address == 0 && bytes(dtype, shape) > 0) {
      throw new IllegalArgumentException("address is 0, expected that of " + dtype + shape);
    }
    if (address % dtype.byteSize() != 0) {
      throw new IllegalArgumentException(
          "address 0x%x is not aligned to the %d bytes of %s"
              .formatted(address, dtype.byteSize(), dtype));
    }
    Resource nothing =
        new Resource(null, "wrapped device buffer %s%s".formatted(dtype, shape), 0) {
          @Override
          protected void free() {}
        };
    return new DeviceMemory(device, address, dtype, shape, nothing, null);
  }

  @Override
  public DeviceBuffer view(long first, Shape shape, long rowStride) {
    checkView(first, shape, rowStride);
    return new DeviceMemory(this, address + first * dtype().byteSize(), shape, rowStride);
  }

  @Override
  public long address() {
    memory().requireOpen();
    return address;
  }

  /** The address of memory that is held, so that it is there even if another thread closes it. */
  long heldAddress() {
    return address;
  }

  @Override
  public boolean usableOn(Device device) {
    return device == this.device;
  }
}
