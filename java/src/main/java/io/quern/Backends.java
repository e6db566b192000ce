package io.quern;

import io.quern.Availability.Available;
import io.quern.Availability.Unavailable;
import io.quern.internal.cpu.HostDevice;
import io.quern.internal.cuda.RuntimeDevice;
import io.quern.internal.probe.CudaProbe;
import io.quern.internal.probe.SimdProbe;
import io.quern.internal.scalar.ScalarKernels;
import io.quern.internal.simd.SimdKernels;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;

/**
 * The entry point: what can run here, and opening it.
 *
 * <p>System properties: {@code quern.backend} names the one back end that {@link #open} may open;
 * {@code quern.native.dir} a folder with the native libraries, used instead of those in jars;
 * {@code quern.cpu.parallelism} the threads of a CPU device (default: available processors); {@code
 * quern.cuda.device} the CUDA ordinal (default 0); {@code quern.checked} see docs/memory.md.
 */
public final class Backends {
  private static final Logger LOG = System.getLogger("io.quern");

  private Backends() {}

  /**
   * Finds out which back ends can be used. Never throws and never launches anything; native
   * libraries are loaded by the first call, whose outcome is kept.
   */
  public static Probe probe() {
    Map<Backend, Availability> found = new EnumMap<>(Backend.class);
    found.put(Backend.SCALAR, new Available("plain Java"));
    found.put(Backend.SIMD, SimdProbe.probe());
    found.putAll(CudaProbe.probe());
    return new Probe(found);
  }

  /**
   * Opens a device of the preferred back end, logs the choice, and why a better one was refused, in
   * one INFO line. A preferred GPU that is found but cannot be opened is passed over like one that
   * is not found.
   *
   * @throws UnavailableBackendException if none of the accepted back ends can be used
   * @throws IllegalArgumentException if a system property has a value that means nothing
   */
  public static Device open(Preference preference) {
    String property = System.getProperty("quern.backend");
    Preference asked = property == null ? preference : Preference.require(Backend.of(property));
    List<Backend> accepted =
        switch (asked) {
          case Preference.Prefer prefer -> prefer.backends();
          case Preference.Require require -> List.of(require.backend());
        };
    Map<Backend, Availability> known = new EnumMap<>(probe().availability());
    for (Backend backend : accepted) {
      Probe probe = new Probe(known);
      if (probe.isAvailable(backend)) {
        try {
          Device device = newDevice(backend, probe);
          LOG.log(Level.INFO, () -> chosenLine(device, accepted, probe));
          return device;
        } catch (CudaException e) { // a GPU that is full, or another process's alone
          if (asked instanceof Preference.Require) {
            throw e;
          }
          known.put(backend, new Unavailable(e.getMessage(), "found, but opening it failed"));
        }
      }
    }
    throw unavailable(accepted, new Probe(known));
  }

  private static Device newDevice(Backend backend, Probe probe) {
    return switch (backend) {
      case SCALAR, SIMD -> newCpu(backend, parallelism(), probe);
      case CUDA, EMULATED -> new RuntimeDevice(backend, CudaProbe.ordinal());
    };
  }

  static CpuDevice openCpu(Backend backend, int parallelism) {
    if (backend != Backend.SCALAR && backend != Backend.SIMD) {
      throw new IllegalArgumentException(backend + " is no CPU back end");
    }
    Probe probe = probe();
    require(backend, probe);
    return newCpu(backend, parallelism, probe);
  }

  static CudaDevice openCuda(Backend backend, int ordinal) {
    require(backend, new Probe(CudaProbe.probe(ordinal)));
    return new RuntimeDevice(backend, ordinal);
  }

  private static void require(Backend backend, Probe probe) {
    if (!probe.isAvailable(backend)) {
      throw unavailable(List.of(backend), probe);
    }
  }

  private static UnavailableBackendException unavailable(List<Backend> accepted, Probe probe) {
    return new UnavailableBackendException(
        String.join(" or ", accepted.stream().map(Backend::id).toList()), probe);
  }

  private static CpuDevice newCpu(Backend backend, int parallelism, Probe probe) {
    String detail = ((Available) probe.of(backend)).detail();
    return new HostDevice(
        backend,
        "cpu %s (%s), parallelism %d".formatted(backend.id(), detail, parallelism),
        backend == Backend.SIMD ? SimdKernels.all() : ScalarKernels.all(),
        parallelism);
  }

  private static int parallelism() {
    String property = System.getProperty("quern.cpu.parallelism");
    if (property == null) {
      return Runtime.getRuntime().availableProcessors();
    }
    try {
      int threads = Integer.parseInt(property);
      if (threads > 0) {
        return threads;
      }
    } catch (NumberFormatException e) {
      // reported below, like a number that is none of threads
    }
    throw new IllegalArgumentException(
        "quern.cpu.parallelism is '" + property + "', expected a positive number");
  }

  private static String chosenLine(Device device, List<Backend> accepted, Probe probe) {
    StringBuilder line =
        new StringBuilder("opened ")
            .append(device.backend().id())
            .append(": ")
            .append(device.name());
    for (Backend refused : accepted.subList(0, accepted.indexOf(device.backend()))) {
      if (probe.of(refused) instanceof Unavailable why) {
        line.append("; ").append(refused.id()).append(" refused: ").append(why.reason());
      }
    }
    return line.toString();
  }
}
