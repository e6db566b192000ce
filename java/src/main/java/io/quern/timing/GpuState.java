package io.quern.timing;

import io.quern.CudaDevice;
import io.quern.internal.cuda.RuntimeDevice;

/** Clocks, temperature and power of a GPU at one moment, or why they are not known. */
public sealed interface GpuState {
  /**
   * What NVML said.
   *
   * @param smMegahertz clock of the multiprocessors
   * @param memoryMegahertz clock of the memory
   * @param celsius temperature of the chip
   * @param watts power drawn, NaN where the GPU does not tell
   * @param throttleReasons bits of {@code nvmlClocksEventReasons}; 0 and 1, idle, are harmless
   */
  record Known(
      int smMegahertz, int memoryMegahertz, int celsius, double watts, long throttleReasons)
      implements GpuState {
    @Override
    public String toString() {
      return "SM %d MHz, memory %d MHz, %d °C, %.0f W, throttle reasons 0x%x"
          .formatted(smMegahertz, memoryMegahertz, celsius, watts, throttleReasons);
    }
  }

  /** Nothing, for a reason such as a missing {@code libnvidia-ml.so.1}. */
  record Unknown(String reason) implements GpuState {
    @Override
    public String toString() {
      return "unknown: " + reason;
    }
  }

  /** Asks; takes some ten microseconds and never throws. */
  static GpuState of(CudaDevice device) {
    return ((RuntimeDevice) device).state();
  }
}
