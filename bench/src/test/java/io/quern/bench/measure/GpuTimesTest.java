package io.quern.bench.measure;

import static org.junit.jupiter.api.Assertions.assertAll;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;

import io.quern.timing.GpuState;
import io.quern.timing.GpuTimer.Settings;
import io.quern.timing.GpuTiming;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

class GpuTimesTest {
  private static GpuTiming timing(List<Double> graph, String noGraph) {
    return new GpuTiming(
        List.of(3.0, 3.0),
        List.of(2.0, 2.0),
        List.of(9.0, 9.0),
        graph,
        noGraph,
        Settings.DEFAULT,
        new GpuState.Known(1980, 2619, 41, 340.4, 0),
        new GpuState.Unknown("gone"));
  }

  @Test
  void eachTimeHasItsName() {
    Map<String, Object> figures =
        new GpuTimes(timing(List.of(2.5, 2.5), ""), timing(List.of(), "not asked for")).figures();
    assertAll(
        () -> assertEquals(Map.of("median", 3.0, "low", 3.0, "high", 3.0), figures.get("hot_us")),
        () -> assertEquals(Map.of("median", 2.0, "low", 2.0, "high", 2.0), figures.get("issue_us")),
        () ->
            assertEquals(
                Map.of("median", 9.0, "low", 9.0, "high", 9.0), figures.get("end_to_end_us")),
        () -> assertEquals(Map.of("median", 2.5, "low", 2.5, "high", 2.5), figures.get("graph_us")),
        () -> assertFalse(figures.containsKey("no_graph")),
        () ->
            assertEquals(
                "SM 1980 MHz, memory 2619 MHz, 41 °C, 340 W, throttle reasons 0x0",
                figures.get("state_before")),
        () -> assertEquals("unknown: gone", figures.get("state_after")));
  }

  @Test
  void withoutAGraphThereIsTheReason() {
    GpuTiming none = timing(List.of(), "not capturable: it waits");
    assertEquals("not capturable: it waits", new GpuTimes(none, none).figures().get("no_graph"));
  }
}
