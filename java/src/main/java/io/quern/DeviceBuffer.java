package io.quern;

import io.quern.internal.cuda.DeviceMemory;
import io.quern.internal.cuda.RuntimeDevice;

/** GPU memory. Its address is a number, never something Java could dereference. */
public sealed interface DeviceBuffer extends Buffer permits DeviceMemory {
  /**
   * The device address of the first element.
   *
   * @throws IllegalStateException if the buffer is closed
   */
  long address();

  @Override
  DeviceBuffer view(long first, Shape shape, long rowStride);

  /**
   * Uses device memory that the caller owns and keeps alive until the returned buffer, and all work
   * that uses it, are done.
   *
   * @param address a device address, aligned to the element size
   * @throws IllegalArgumentException if it is 0 (with a non-empty shape) or misaligned
   */
  static DeviceBuffer wrap(CudaDevice device, long address, DType dtype, Shape shape) {
    return ((RuntimeDevice) device).wrapBuffer(address, dtype, shape);
  }
}
