package io.quern.bench.measure;

import io.quern.Backend;
import io.quern.Backends;
import io.quern.CpuDevice;
import io.quern.CudaDevice;
import io.quern.Device;
import io.quern.Preference;
import io.quern.Probe;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.Set;

/** The devices that a run compares, one per back end, all open at once. */
public final class OpenDevices implements AutoCloseable {
  private final List<Device> devices = new ArrayList<>();

  /**
   * Opens them.
   *
   * @param asked these back ends and no others, or every one that is available but the emulation
   * @param threads parallelism of the CPU devices
   * @throws io.quern.UnavailableBackendException if one that was asked for is unavailable
   */
  public OpenDevices(Optional<Set<Backend>> asked, int threads) {
    Probe probe = Backends.probe();
    try {
      for (Backend backend : Backend.values()) {
        boolean wanted =
            asked
                .map(set -> set.contains(backend))
                .orElse(backend != Backend.EMULATED && probe.isAvailable(backend));
        if (wanted) {
          devices.add(
              switch (backend) {
                case SCALAR, SIMD -> CpuDevice.open(backend, threads);
                case CUDA, EMULATED -> Backends.open(Preference.require(backend));
              });
        }
      }
    } catch (RuntimeException e) {
      close();
      throw e;
    }
  }

  public List<Device> all() {
    return devices;
  }

  /** The GPU among them. */
  public Optional<CudaDevice> gpu() {
    return devices.stream()
        .filter(d -> d.backend() == Backend.CUDA)
        .map(CudaDevice.class::cast)
        .findFirst();
  }

  @Override
  public void close() {
    devices.forEach(Device::close);
  }
}
