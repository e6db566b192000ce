package io.quern;

import io.quern.internal.cpu.HostDevice;

/**
 * The CPU. Work is done when {@code run} returns; it is split by output rows over the device's own
 * threads, so results do not depend on their number. The threads end when the device is closed.
 */
public sealed interface CpuDevice extends Device permits HostDevice {
  /** How many threads share a call, the calling one included. */
  int parallelism();

  @Override
  HostBuffer allocate(DType dtype, Shape shape);

  /**
   * Opens the CPU with a given back end and parallelism.
   *
   * @param backend {@link Backend#SCALAR} or {@link Backend#SIMD}
   * @param parallelism threads that share a call; 1 runs everything in the caller
   * @throws UnavailableBackendException if the back end cannot be used here
   * @throws IllegalArgumentException if it is no CPU back end, or parallelism is below 1
   */
  static CpuDevice open(Backend backend, int parallelism) {
    return Backends.openCpu(backend, parallelism);
  }
}
