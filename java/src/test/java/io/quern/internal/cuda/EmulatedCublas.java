package io.quern.internal.cuda;

import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.quern.Device;
import io.quern.internal.kernel.TokenMatchKernel;
import io.quern.internal.load.LibraryLoader;
import io.quern.internal.load.LoadResult;
import io.quern.op.TokenMatch;

/** The emulated device with the library that takes cuBLAS's place on it. */
public final class EmulatedCublas {
  private EmulatedCublas() {}

  /** Opens the device; a test is skipped where one of the libraries is not built. */
  public static Device open() {
    RuntimeDevice device = Emulation.open();
    LoadResult loaded = LibraryLoader.loadCublas();
    if (loaded instanceof LoadResult.Failed) {
      device.close();
    }
    assumeTrue(loaded instanceof LoadResult.Loaded, loaded::toString);
    return device;
  }

  /** Its kernel for any spec that has something to compare, however small. */
  public static TokenMatchKernel prepare(Device device, TokenMatch.Spec spec) {
    try {
      RuntimeDevice runtime = (RuntimeDevice) device;
      return new CublasTokenMatch(runtime.context(), spec, runtime.cublas());
    } catch (CublasHandle.UnusableException e) {
      throw new AssertionError(e);
    }
  }

  /** Lets the {@code nth} call of a function from now fail with that status. */
  public static void fail(String function, long nth, int status) {
    Emulation.inject(function, nth, status, false);
  }

  /** Forgets such faults. Returns how many never happened. */
  public static long reset() {
    return Emulation.reset();
  }

  /** Waits of the emulation so far. */
  public static long synchronizations() {
    return Emulation.synchronizations();
  }
}
