package io.quern.internal.kernel;

import io.quern.Device;

/** A device as plans see it: where its kernels come from. */
public interface KernelProvider {
  /**
   * @throws IllegalStateException if the device is closed
   */
  KernelSet kernels();

  /** The kernels of a device. */
  static KernelSet of(Device device) {
    return ((KernelProvider) device).kernels();
  }
}
