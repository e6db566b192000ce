package io.quern;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.quern.Availability.Available;
import io.quern.Availability.Unavailable;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

class BackendsTest {
  private static final String BACKEND = "quern.backend";
  private static final String PARALLELISM = "quern.cpu.parallelism";

  private String backend;

  @BeforeEach
  void forget() {
    backend = System.clearProperty(BACKEND);
  }

  @AfterEach
  void restore() {
    System.clearProperty(PARALLELISM);
    System.clearProperty(BACKEND);
    if (backend != null) {
      System.setProperty(BACKEND, backend);
    }
  }

  @Test
  void theProbeHasALineForEachBackEnd() {
    Probe probe = Backends.probe();
    assertInstanceOf(Available.class, probe.of(Backend.SCALAR));
    List<String> lines = probe.lines();
    assertEquals(probe.availability().size(), lines.size());
    int i = 0;
    for (Map.Entry<Backend, Availability> entry : probe.availability().entrySet()) {
      String id = entry.getKey().id();
      assertEquals(
          switch (entry.getValue()) {
            case Available(String detail) -> id + ": available: " + detail;
            case Unavailable(String reason, String hint) ->
                id + ": unavailable: " + reason + " (" + hint + ")";
          },
          lines.get(i++));
    }
  }

  @Test
  void theEmulationIsNoPartOfAProbeUnlessItsPropertyIsSet() {
    Assumptions.assumeTrue(
        System.getProperty("quern.emulation") == null, "this JVM was given the emulation");
    Probe probe = Backends.probe();
    assertEquals(3, probe.availability().size());
    Unavailable why = assertInstanceOf(Unavailable.class, probe.of(Backend.EMULATED));
    assertTrue(why.hint().contains("quern.emulation"), why.hint());
  }

  @Test
  void requiringWhatIsNotThereThrowsTheWholeProbe() {
    Probe probe = Backends.probe();
    for (Backend missing : Backend.values()) {
      if (!probe.isAvailable(missing)) {
        UnavailableBackendException thrown =
            assertThrows(
                UnavailableBackendException.class,
                () -> Backends.open(Preference.require(missing)).close());
        assertTrue(thrown.getMessage().startsWith(missing.id() + " is not available"));
        probe
            .lines()
            .forEach(line -> assertTrue(thrown.getMessage().contains(line), thrown::getMessage));
        assertEquals(probe, thrown.probe());
      }
    }
  }

  @Test
  void preferringFallsBackAndLogsWhy() {
    Probe probe = Backends.probe();
    try (LogCapture log = new LogCapture();
        Device device = Backends.open(Preference.fastest())) {
      List<Backend> best = List.of(Backend.CUDA, Backend.SIMD, Backend.SCALAR);
      Backend expected = best.stream().filter(probe::isAvailable).findFirst().orElseThrow();
      assertSame(expected, device.backend());
      List<String> lines = log.messages();
      assertEquals(1, lines.size(), lines::toString);
      assertTrue(
          lines.getFirst().startsWith("opened " + expected.id() + ": " + device.name()),
          lines.getFirst());
      for (Backend refused : best.subList(0, best.indexOf(expected))) {
        Unavailable why = (Unavailable) probe.of(refused);
        assertTrue(
            lines.getFirst().contains(refused.id() + " refused: " + why.reason()),
            lines.getFirst());
      }
    }
  }

  @Test
  void thePropertyRequires() {
    System.setProperty(BACKEND, "scalar");
    System.setProperty(PARALLELISM, "3");
    try (Device device = Backends.open(Preference.fastest())) {
      assertSame(Backend.SCALAR, device.backend());
      assertEquals(3, ((CpuDevice) device).parallelism());
    }
    Backend missing =
        Arrays.stream(Backend.values())
            .filter(each -> !Backends.probe().isAvailable(each))
            .findFirst()
            .orElse(null);
    Assumptions.assumeTrue(missing != null, "every back end is available");
    System.setProperty(BACKEND, missing.id());
    assertThrows(
        UnavailableBackendException.class,
        () -> Backends.open(Preference.prefer(Backend.SCALAR)).close());
  }

  @Test
  void propertiesThatMeanNothingAreRefused() {
    System.setProperty(BACKEND, "gpu");
    IllegalArgumentException thrown =
        assertThrows(
            IllegalArgumentException.class, () -> Backends.open(Preference.fastest()).close());
    assertEquals(
        "unknown back end 'gpu': one of scalar, simd, cuda, emulated", thrown.getMessage());
    System.setProperty(BACKEND, "scalar");
    for (String parallelism : new String[] {"many", "0", "-1", ""}) {
      System.setProperty(PARALLELISM, parallelism);
      assertThrows(
          IllegalArgumentException.class,
          () -> Backends.open(Preference.fastest()).close(),
          parallelism);
    }
  }

  @Test
  void aCpuDeviceIsOfACpuBackEnd() {
    assertThrows(IllegalArgumentException.class, () -> CpuDevice.open(Backend.CUDA, 1).close());
    assertThrows(IllegalArgumentException.class, () -> CpuDevice.open(Backend.SCALAR, 0).close());
    assertThrows(IllegalArgumentException.class, () -> Preference.prefer());
    for (Backend each : Backend.values()) {
      assertSame(each, Backend.of(each.id()));
    }
  }
}
