package io.quern.internal.cuda;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.quern.Availability.Unavailable;
import io.quern.Backend;
import io.quern.Backends;
import io.quern.Probe;
import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemoryLayout;
import java.lang.foreign.SymbolLookup;
import java.lang.invoke.MethodHandle;

/** The emulated device, and the controls of native/emulation/emulation.h. */
final class Emulation {
  private static final int LAUNCHES = 7;
  private static final int SYNCHRONIZATIONS = 8;

  private Emulation() {}

  /** Whatever the library knows to be alive. */
  record Alive(
      long deviceBytes,
      long deviceAllocations,
      long hostBytes,
      long hostAllocations,
      long streams,
      long events,
      long graphs) {}

  /**
   * Opens the device; a test is skipped, with the probe's reason, where the library is not built.
   */
  static RuntimeDevice open() {
    Probe probe = Backends.probe();
    assumeTrue(
        probe.isAvailable(Backend.EMULATED),
        () -> probe.of(Backend.EMULATED) instanceof Unavailable why ? why.reason() : "");
    return new RuntimeDevice(Backend.EMULATED, 0);
  }

  /** Lets the {@code nth} call of a function from now fail with a {@code cudaError_t}. */
  static void inject(String function, long nth, int status, boolean sticky) {
    try (Arena arena = Arena.ofConfined()) {
      int answer =
          (int)
              Controls.INJECT.invokeExact(
                  arena.allocateFrom(function), nth, status, sticky ? 1 : 0);
      assertEquals(0, answer, "inject " + function);
    } catch (Throwable e) {
      throw new AssertionError(e);
    }
  }

  /** Forgets faults and loss. Returns how many faults never happened. */
  static long reset() {
    try {
      return (long) Controls.RESET.invokeExact();
    } catch (Throwable e) {
      throw new AssertionError(e);
    }
  }

  static Alive alive() {
    return new Alive(count(0), count(1), count(2), count(3), count(4), count(5), count(6));
  }

  /** Kernels executed so far. */
  static long launches() {
    return count(LAUNCHES);
  }

  /** Waits so far. */
  static long synchronizations() {
    return count(SYNCHRONIZATIONS);
  }

  /** Runs threads and blocks in the random order of this number from now on; 0 is ascending. */
  static void setSeed(long seed) {
    try {
      Controls.SET_SEED.invokeExact(seed);
    } catch (Throwable e) {
      throw new AssertionError(e);
    }
  }

  private static long count(int what) {
    try {
      return (long) Controls.COUNT.invokeExact(what);
    } catch (Throwable e) {
      throw new AssertionError(e);
    }
  }

  /** Looked up after the library was loaded. */
  private static final class Controls {
    static final MethodHandle INJECT =
        handle("quern_emulation_inject", JAVA_INT, ADDRESS, JAVA_LONG, JAVA_INT, JAVA_INT);
    static final MethodHandle RESET = handle("quern_emulation_reset", JAVA_LONG);
    static final MethodHandle COUNT = handle("quern_emulation_count", JAVA_LONG, JAVA_INT);

    static final MethodHandle SET_SEED =
        Linker.nativeLinker()
            .downcallHandle(
                SymbolLookup.loaderLookup().findOrThrow("quern_emulation_set_seed"),
                FunctionDescriptor.ofVoid(JAVA_LONG));

    private static MethodHandle handle(
        String name, MemoryLayout result, MemoryLayout... parameters) {
      return Linker.nativeLinker()
          .downcallHandle(
              SymbolLookup.loaderLookup().findOrThrow(name),
              FunctionDescriptor.of(result, parameters));
    }
  }
}
