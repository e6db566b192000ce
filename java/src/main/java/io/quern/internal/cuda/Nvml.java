package io.quern.internal.cuda;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import io.quern.timing.GpuState;
import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemoryLayout;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SymbolLookup;
import java.lang.invoke.MethodHandle;

/**
 * Clocks and temperature from the driver's management library, which is part of the driver and
 * therefore looked for by name only. What is missing or refused becomes a reason.
 */
final class Nvml {
  private static final String LIBRARY = "libnvidia-ml.so.1";
  private static final int SUCCESS = 0;

  // Of nvml.h.
  private static final int CLOCK_SM = 1;
  private static final int CLOCK_MEMORY = 2;
  private static final int TEMPERATURE_GPU = 0;

  private final MethodHandle handleByBusId;
  private final MethodHandle clock;
  private final MethodHandle temperature;
  private final MethodHandle power;
  private final MethodHandle throttleReasons;
  private final MethodHandle errorString;

  /** A call that gave no answer. */
  private static final class NoAnswerException extends Exception {
    private static final long serialVersionUID = 1L;

    NoAnswerException(String reason) {
      super(reason);
    }
  }

  /** Loaded once; NVML stays initialised until the JVM ends. */
  private static final class Loaded {
    static final Nvml NVML;
    static final String REASON;

    static {
      Nvml nvml = null;
      String reason = "";
      try {
        nvml = new Nvml(SymbolLookup.libraryLookup(LIBRARY, Arena.global()));
      } catch (IllegalArgumentException e) {
        reason = LIBRARY + " cannot be loaded; it comes with the NVIDIA driver";
      } catch (NoAnswerException e) {
        reason = e.getMessage();
      }
      NVML = nvml;
      REASON = reason;
    }
  }

  private Nvml(SymbolLookup library) throws NoAnswerException {
    errorString = function(library, "nvmlErrorString", ADDRESS, JAVA_INT);
    handleByBusId =
        function(library, "nvmlDeviceGetHandleByPciBusId_v2", JAVA_INT, ADDRESS, ADDRESS);
    clock = function(library, "nvmlDeviceGetClockInfo", JAVA_INT, ADDRESS, JAVA_INT, ADDRESS);
    temperature =
        function(library, "nvmlDeviceGetTemperature", JAVA_INT, ADDRESS, JAVA_INT, ADDRESS);
    power = function(library, "nvmlDeviceGetPowerUsage", JAVA_INT, ADDRESS, ADDRESS);
    throttleReasons =
        function(library, "nvmlDeviceGetCurrentClocksThrottleReasons", JAVA_INT, ADDRESS, ADDRESS);
    require("nvmlInit_v2", status(function(library, "nvmlInit_v2", JAVA_INT)));
  }

  /**
   * The state of a GPU.
   *
   * @param busId as {@code nvidia-smi} shows it: {@code 00000000:17:00.0}
   */
  static GpuState state(String busId) {
    if (Loaded.NVML == null) {
      return new GpuState.Unknown(Loaded.REASON);
    }
    try (Arena arena = Arena.ofConfined()) {
      return Loaded.NVML.ask(busId, arena);
    } catch (NoAnswerException e) {
      return new GpuState.Unknown(e.getMessage());
    }
  }

  private GpuState ask(String busId, Arena arena) throws NoAnswerException {
    MemorySegment out = arena.allocate(JAVA_LONG);
    require(
        "nvmlDeviceGetHandleByPciBusId_v2", status(handleByBusId, arena.allocateFrom(busId), out));
    MemorySegment gpu = out.get(ADDRESS, 0);
    require("nvmlDeviceGetClockInfo", status(clock, gpu, CLOCK_SM, out));
    int sm = out.get(JAVA_INT, 0);
    require("nvmlDeviceGetClockInfo", status(clock, gpu, CLOCK_MEMORY, out));
    int memory = out.get(JAVA_INT, 0);
    require("nvmlDeviceGetTemperature", status(temperature, gpu, TEMPERATURE_GPU, out));
    int celsius = out.get(JAVA_INT, 0);
    double watts = status(power, gpu, out) == SUCCESS ? out.get(JAVA_INT, 0) * 1e-3 : Double.NaN;
    require("nvmlDeviceGetCurrentClocksThrottleReasons", status(throttleReasons, gpu, out));
    return new GpuState.Known(sm, memory, celsius, watts, out.get(JAVA_LONG, 0));
  }

  private void require(String call, int status) throws NoAnswerException {
    if (status != SUCCESS) {
      throw new NoAnswerException("%s returned %d, %s".formatted(call, status, describe(status)));
    }
  }

  private String describe(int status) {
    try {
      return ((MemorySegment) errorString.invokeExact(status))
          .reinterpret(Long.MAX_VALUE)
          .getString(0);
    } catch (Throwable e) {
      throw new AssertionError(e);
    }
  }

  private static int status(MethodHandle function, Object... arguments) {
    try {
      return (int) function.invokeWithArguments(arguments);
    } catch (Throwable e) {
      throw new AssertionError(e); // a downcall throws nothing
    }
  }

  private static MethodHandle function(
      SymbolLookup library, String name, MemoryLayout result, MemoryLayout... parameters)
      throws NoAnswerException {
    MemorySegment symbol =
        library
            .find(name)
            .orElseThrow(() -> new NoAnswerException(LIBRARY + " has no function " + name));
    return Linker.nativeLinker().downcallHandle(symbol, FunctionDescriptor.of(result, parameters));
  }
}
