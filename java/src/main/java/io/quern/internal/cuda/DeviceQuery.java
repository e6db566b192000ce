package io.quern.internal.cuda;

import static io.quern.bindings.cudart.CudaRuntime.CUDART_VERSION;
import static io.quern.bindings.cudart.CudaRuntime.cudaDriverGetVersion;
import static io.quern.bindings.cudart.CudaRuntime.cudaErrorInsufficientDriver;
import static io.quern.bindings.cudart.CudaRuntime.cudaErrorNoDevice;
import static io.quern.bindings.cudart.CudaRuntime.cudaGetDeviceCount;
import static io.quern.bindings.cudart.CudaRuntime.cudaGetLastError;
import static io.quern.bindings.cudart.CudaRuntime.cudaRuntimeGetVersion;
import static io.quern.bindings.cudart.CudaRuntime.cudaSuccess;
import static java.lang.foreign.ValueLayout.JAVA_INT;

import io.quern.Availability;
import io.quern.Availability.Available;
import io.quern.Availability.Unavailable;
import io.quern.CudaException;
import io.quern.bindings.quern.QuernAbi;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** Driver, runtime and device, asked without making a context. The libraries must be loaded. */
public final class DeviceQuery {
  /** CUDA versions are 1000 · major + 10 · minor. */
  private static final int MAJOR = 1000;

  /** The oldest architecture that libquern has code for. */
  private static final int LEAST_MAJOR = 8;

  private static final Pattern MISSING = Pattern.compile("Symbol not found: (\\w+)");

  private DeviceQuery() {}

  /** Whether the device of that ordinal can be used. Never throws. */
  public static Availability query(int ordinal) {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment out = arena.allocate(JAVA_INT);
      int runtime = number("cudaRuntimeGetVersion", out, cudaRuntimeGetVersion(out));
      int expected = CUDART_VERSION() / MAJOR;
      if (runtime / MAJOR != expected) {
        return new Unavailable(
            "libcudart is that of CUDA %s, expected %d".formatted(version(runtime), expected),
            "use the libcudart of this release");
      }
      int driver = number("cudaDriverGetVersion", out, cudaDriverGetVersion(out));
      int status = cudaGetDeviceCount(out);
      if (status != cudaSuccess()) {
        cudaGetLastError();
        return noDevice(status, driver, runtime);
      }
      return new Available(
          "%s, driver for CUDA %s, runtime %s, %s"
              .formatted(
                  requireUsable(ordinal),
                  version(driver),
                  version(runtime),
                  QuernAbi.quern_build_info().getString(0)));
    } catch (IllegalArgumentException e) {
      return new Unavailable(e.getMessage(), "choose another device with quern.cuda.device");
    } catch (CudaException e) {
      return new Unavailable(e.getMessage(), "see what nvidia-smi says");
    } catch (LinkageError e) {
      return lacking(e);
    }
  }

  /**
   * Whoever uses a function that no library has gets one of two messages, the first time and later.
   */
  static Unavailable lacking(LinkageError e) {
    String text = (e.getCause() == null ? e : e.getCause()).toString(); // a message may be missing
    Matcher missing = MISSING.matcher(text);
    return new Unavailable(
        "a native library lacks a function: " + (missing.find() ? missing.group(1) : text),
        "use the libraries of this release");
  }

  /**
   * The device of that ordinal.
   *
   * @throws IllegalArgumentException if there is none, or libquern has no code for it
   * @throws CudaException if CUDA does not tell
   */
  static DeviceProperties requireUsable(int ordinal) {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment out = arena.allocate(JAVA_INT);
      int devices = number("cudaGetDeviceCount", out, cudaGetDeviceCount(out));
      if (ordinal < 0 || ordinal >= devices) {
        throw new IllegalArgumentException(
            "there is no device %d: CUDA shows %d, from 0 on".formatted(ordinal, devices));
      }
    }
    DeviceProperties properties = DeviceProperties.of(ordinal);
    if (properties.major() < LEAST_MAJOR) {
      throw new IllegalArgumentException(
          "device %d is %s; the kernels need compute capability %d.0"
              .formatted(ordinal, properties, LEAST_MAJOR));
    }
    return properties;
  }

  private static Unavailable noDevice(int status, int driver, int runtime) {
    String error = CudaStatus.describe(status);
    if (status == cudaErrorInsufficientDriver()) {
      return driver == 0
          ? new Unavailable(
              error + "; there is no driver",
              "install the NVIDIA driver for CUDA %d; in a container ask for the GPU"
                  .formatted(runtime / MAJOR))
          : new Unavailable(
              "%s; the driver is for CUDA %s, the runtime %s"
                  .formatted(error, version(driver), version(runtime)),
              "install a driver for CUDA %d.0 or newer".formatted(runtime / MAJOR));
    }
    if (status == cudaErrorNoDevice()) {
      return new Unavailable(error, "check nvidia-smi and CUDA_VISIBLE_DEVICES");
    }
    return new Unavailable(error, "see what nvidia-smi says");
  }

  private static int number(String call, MemorySegment out, int status) {
    if (status != cudaSuccess()) {
      cudaGetLastError();
      throw CudaStatus.exception(status, call, "", null);
    }
    return out.get(JAVA_INT, 0);
  }

  private static String version(int number) {
    return "%d.%d".formatted(number / MAJOR, number % MAJOR / 10);
  }
}
