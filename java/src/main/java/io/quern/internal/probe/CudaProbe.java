package io.quern.internal.probe;

import io.quern.Availability;
import io.quern.Availability.Unavailable;
import io.quern.Backend;
import io.quern.internal.cuda.DeviceQuery;
import io.quern.internal.load.LibraryLoader;
import io.quern.internal.load.LoadResult;
import java.util.EnumMap;
import java.util.Map;

/** Whether a GPU, or the emulation that takes its place, can be used. */
public final class CudaProbe {
  private static final String ORDINAL = "quern.cuda.device";

  private CudaProbe() {}

  /**
   * For the device that {@code quern.cuda.device} names. Never throws and never launches. Has
   * {@link Backend#EMULATED} only where it was asked for.
   */
  public static Map<Backend, Availability> probe() {
    try {
      return probe(ordinal());
    } catch (IllegalArgumentException meaningless) {
      return inThisJvm(
          new Unavailable(meaningless.getMessage(), "correct it, or leave it out for device 0"));
    }
  }

  /**
   * The ordinal that {@code quern.cuda.device} names, 0 without it.
   *
   * @throws IllegalArgumentException if it is no number
   */
  public static int ordinal() {
    String property = System.getProperty(ORDINAL, "0");
    try {
      return Integer.parseInt(property);
    } catch (NumberFormatException e) {
      throw new IllegalArgumentException(ORDINAL + " is '" + property + "', expected a number", e);
    }
  }

  /** For one device; else like {@link #probe()}. */
  public static Map<Backend, Availability> probe(int ordinal) {
    return inThisJvm(
        switch (LibraryLoader.load()) {
          case LoadResult.Loaded loaded -> DeviceQuery.query(ordinal);
          case LoadResult.Failed failed -> new Unavailable(failed.reason(), failed.hint());
        });
  }

  /** What was found of the back end whose libraries this JVM looks for. */
  private static Map<Backend, Availability> inThisJvm(Availability availability) {
    Map<Backend, Availability> found = new EnumMap<>(Backend.class);
    Backend backend = LibraryLoader.load().backend();
    if (backend == Backend.EMULATED) {
      found.put(
          Backend.CUDA,
          new Unavailable(
              "the emulation takes its place in this JVM", "do not set quern.emulation"));
    }
    found.put(backend, availability);
    return found;
  }
}
