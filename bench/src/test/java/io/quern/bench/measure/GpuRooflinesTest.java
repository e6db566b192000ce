package io.quern.bench.measure;

import static org.junit.jupiter.api.Assertions.assertAll;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.quern.Availability.Unavailable;
import io.quern.Backend;
import io.quern.Backends;
import io.quern.CudaDevice;
import io.quern.Preference;
import org.junit.jupiter.api.Test;

class GpuRooflinesTest {
  private static final GpuRooflines SOME = new GpuRooflines(4000, 3900, 4100, 50, 2, 1);

  /** That every pass runs; what the emulation takes says nothing. */
  @Test
  void everyPassRuns() {
    assumeTrue(
        !(Backends.probe().of(Backend.EMULATED) instanceof Unavailable why),
        "the emulation is not built");
    try (CudaDevice gpu = (CudaDevice) Backends.open(Preference.require(Backend.EMULATED))) {
      GpuRooflines measured = GpuRooflines.measure(gpu, 8 << 20);
      assertAll(
          measured.figures().entrySet().stream()
              .map(figure -> () -> assertTrue((double) figure.getValue() > 0, figure::toString)));
    }
  }

  @Test
  void onlyItsOwnMemoryDrifts() {
    GpuRooflines otherRead = new GpuRooflines(4000, 3900, 4510, 50, 2, 1);
    GpuRooflines slowerBus = new GpuRooflines(4000, 3900, 4100, 25, 4, 2);
    assertAll(
        () -> assertEquals(0.1, SOME.drift(otherRead), 1e-9),
        () -> assertEquals(0, SOME.drift(slowerBus)));
  }

  @Test
  void figuresHaveTheirNames() {
    assertAll(
        () -> assertEquals(4000.0, SOME.figures().get("gpu_copy_gb_per_s")),
        () -> assertEquals(1.0, SOME.figures().get("gpu_graph_node_us")),
        () -> assertTrue(SOME.toString().startsWith("GPU copy 4000 GB/s, by a kernel 3900")));
  }
}
