package io.quern.op;

import static org.junit.jupiter.api.Assertions.fail;

import io.quern.Availability.Unavailable;
import io.quern.Backend;
import io.quern.Backends;
import io.quern.CpuDevice;
import io.quern.Device;
import io.quern.Preference;
import java.util.ArrayList;
import java.util.List;
import org.opentest4j.TestAbortedException;

/**
 * A device that a test asks for by back end, and on the CPU by parallelism.
 *
 * @param parallelism 0 where it means nothing
 */
public record DeviceUnderTest(Backend backend, int parallelism) {
  private static final int[] PARALLELISM = {1, 2, 5};

  /**
   * All but the scalar device of parallelism 1, which they are compared with; available or not. The
   * property {@code quern.test.backend} restricts them to one back end, in test runs that are there
   * for its sake.
   */
  public static List<DeviceUnderTest> all() {
    List<DeviceUnderTest> all = new ArrayList<>();
    for (int parallelism : PARALLELISM) {
      if (parallelism > 1) {
        all.add(new DeviceUnderTest(Backend.SCALAR, parallelism));
      }
      all.add(new DeviceUnderTest(Backend.SIMD, parallelism));
    }
    all.add(new DeviceUnderTest(Backend.CUDA, 0));
    all.add(new DeviceUnderTest(Backend.EMULATED, 0));
    String only = System.getProperty("quern.test.backend");
    all.removeIf(under -> only != null && !under.backend.id().equals(only));
    return all;
  }

  /** One device per back end. */
  public static List<DeviceUnderTest> backends() {
    return List.of(
        new DeviceUnderTest(Backend.SCALAR, 2),
        new DeviceUnderTest(Backend.SIMD, 2),
        new DeviceUnderTest(Backend.CUDA, 0),
        new DeviceUnderTest(Backend.EMULATED, 0));
  }

  /** Whether it can be opened. */
  public boolean isAvailable() {
    return Backends.probe().isAvailable(backend);
  }

  /**
   * Opens it; skips the test where it is not available, or fails it where {@code quern.backend}
   * requires it.
   */
  public Device open() {
    if (Backends.probe().of(backend) instanceof Unavailable why) {
      String text = "%s: %s (%s)".formatted(backend.id(), why.reason(), why.hint());
      if (backend.id().equals(System.getProperty("quern.backend"))) {
        fail(text);
      }
      throw new TestAbortedException(text);
    }
    return parallelism > 0
        ? CpuDevice.open(backend, parallelism)
        : Backends.open(Preference.require(backend));
  }

  @Override
  public String toString() {
    return parallelism > 0 ? backend.id() + " x " + parallelism : backend.id();
  }
}
