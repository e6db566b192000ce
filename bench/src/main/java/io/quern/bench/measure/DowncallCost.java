package io.quern.bench.measure;

import io.quern.bindings.cudart.CudaRuntime;
import io.quern.bindings.quern.QuernAbi;
import io.quern.internal.load.LibraryLoader;
import io.quern.internal.load.LoadResult;
import io.quern.timing.Statistics;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.function.IntConsumer;

/**
 * What it costs to call a native function that does next to nothing, through the bindings that the
 * CUDA back end uses. Neither function needs a driver.
 */
final class DowncallCost {
  private static final int CALLS = 200_000;
  private static final int SAMPLES = 25;

  private DowncallCost() {}

  /**
   * Nanoseconds of a call, by function.
   *
   * @throws IllegalStateException if the libraries cannot be loaded, saying why
   */
  static Map<String, Statistics.Interval> measure() {
    if (LibraryLoader.load() instanceof LoadResult.Failed failed) {
      throw new IllegalStateException(failed.reason());
    }
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment version = arena.allocate(ValueLayout.JAVA_INT);
      Map<String, Statistics.Interval> nanos = new LinkedHashMap<>();
      nanos.put("quern_abi_version", nanos(DowncallCost::abiVersion));
      nanos.put("cudaRuntimeGetVersion", nanos(calls -> runtimeVersion(version, calls)));
      return nanos;
    }
  }

  private static Statistics.Interval nanos(IntConsumer function) {
    double[] nanos = new double[SAMPLES];
    for (int i = -5; i < SAMPLES; i++) { // the first five warm up
      long start = System.nanoTime();
      function.accept(CALLS);
      long end = System.nanoTime();
      if (i >= 0) {
        nanos[i] = (double) (end - start) / CALLS;
      }
    }
    return Statistics.bootstrapMedian(nanos);
  }

  // A downcall is never optimized away, whatever becomes of its result.

  private static void abiVersion(int calls) {
    for (int i = 0; i < calls; i++) {
      QuernAbi.quern_abi_version();
    }
  }

  private static void runtimeVersion(MemorySegment version, int calls) {
    for (int i = 0; i < calls; i++) {
      CudaRuntime.cudaRuntimeGetVersion(version);
    }
  }
}
