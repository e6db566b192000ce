package io.quern.internal.cuda;

import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.quern.Backend;
import io.quern.Backends;
import io.quern.Device;
import io.quern.internal.kernel.TokenMatchKernel;
import io.quern.internal.load.LibraryLoader;
import io.quern.internal.load.LoadResult;
import io.quern.op.TokenMatch;

/** A GPU with cuBLAS, or the emulated device with the library that takes cuBLAS's place on it. */
public final class CublasUnderTest {
  private CublasUnderTest() {}

  /** Opens the device; a test is skipped where there is none, or no cuBLAS. */
  public static Device open() {
    RuntimeDevice device =
        Backends.probe().isAvailable(Backend.CUDA)
            ? new RuntimeDevice(Backend.CUDA, 0)
            : Emulation.open();
    LoadResult loaded = LibraryLoader.loadCublas();
    if (loaded instanceof LoadResult.Failed) {
      device.close();
    }
    assumeTrue(loaded instanceof LoadResult.Loaded, loaded::toString);
    return device;
  }

  /** Skips a test of what only the emulation can do. */
  public static void assumeEmulated(Device device) {
    assumeTrue(device.backend() == Backend.EMULATED, "faults are those of the emulation");
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
