package io.quern;

import io.quern.internal.cuda.RuntimeDevice;

/**
 * A GPU, through the primary context of the CUDA runtime. The device is set inside every call that
 * needs it, so any thread, virtual or not, may call.
 */
public sealed interface CudaDevice extends Device permits RuntimeDevice {
  /** The CUDA ordinal. */
  int ordinal();

  @Override
  DeviceBuffer allocate(DType dtype, Shape shape);

  /**
   * Allocates page-locked host memory that kernels can read and write and that copies to and from
   * the GPU asynchronously.
   *
   * @throws CudaException if it cannot be had
   */
  PinnedBuffer allocatePinned(DType dtype, Shape shape);

  /**
   * Opens one GPU.
   *
   * @param ordinal its CUDA ordinal
   * @throws UnavailableBackendException if CUDA or that device cannot be used here
   */
  static CudaDevice open(int ordinal) {
    return Backends.openCuda(Backend.CUDA, ordinal);
  }
}
