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
  private CudaProbe() {}

  /** Never throws and never launches. Has {@link Backend#EMULATED} only where it was asked for. */
  public static Map<Backend, Availability> probe() {
    Map<Backend, Availability> found = new EnumMap<>(Backend.class);
    LoadResult result = LibraryLoader.load();
    if (result.backend() == Backend.EMULATED) {
      found.put(
          Backend.CUDA,
          new Unavailable(
              "the emulation takes its place in this JVM", "do not set quern.emulation"));
    }
    found.put(
        result.backend(),
        switch (result) {
          case LoadResult.Loaded loaded ->
              DeviceQuery.query(Integer.getInteger("quern.cuda.device", 0));
          case LoadResult.Failed failed -> new Unavailable(failed.reason(), failed.hint());
        });
    return found;
  }
}
