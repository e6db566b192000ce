package io.quern.internal.probe;

import io.quern.Availability;
import io.quern.Availability.Unavailable;
import io.quern.Backend;
import java.util.Map;

/** Whether a GPU can be used. */
public final class CudaProbe {
  private CudaProbe() {}

  public static Map<Backend, Availability> probe() {
    return Map.of(Backend.CUDA, new Unavailable("not wired up yet", "none"));
  }
}
