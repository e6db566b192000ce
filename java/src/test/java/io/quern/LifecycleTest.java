package io.quern;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.quern.op.DeviceUnderTest;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import net.jqwik.api.Arbitraries;
import net.jqwik.api.Arbitrary;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.Provide;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Opening and closing, in any order and very often. */
class LifecycleTest {
  private static final int CYCLES = 100_000;
  private static final long PATIENCE_NANOS = 8_000_000_000L;
  private static final long PAGE_KIB = 4;

  /** What compiled code and metadata may add; a leak of 1 KiB a cycle would be 88 MiB. */
  private static final long MOST_KIB = 32 << 10;

  static List<DeviceUnderTest> devices() {
    return DeviceUnderTest.backends();
  }

  private enum Action {
    BUFFER,
    STREAM,
    EVENT,
    GRAPH,
    CLOSE_OLDEST,
    CLOSE_NEWEST,
    CLOSE_AGAIN,
    CLOSE_DEVICE
  }

  @Provide
  Arbitrary<List<Action>> actions() {
    return Arbitraries.of(Action.class).list().ofMaxSize(40);
  }

  /** Against a model: what is open, how many bytes that is, and whether the device is closed. */
  @Property(tries = 150)
  void anyOrderOfOpeningAndClosingIsFine(@ForAll("actions") List<Action> actions) {
    for (DeviceUnderTest under : devices()) {
      if (under.isAvailable()) {
        follow(under, actions);
      }
    }
  }

  private static void follow(DeviceUnderTest under, List<Action> actions) {
    try (LogCapture log = new LogCapture();
        Device device = under.open()) {
      // A graph must not outlive its stream, so graphs get one that stays open as long as they do.
      Stream forGraphs = device.openStream();
      List<AutoCloseable> open = new ArrayList<>();
      List<AutoCloseable> closed = new ArrayList<>();
      long bytes = 0;
      boolean deviceIsClosed = false;
      for (Action action : actions) {
        switch (action) {
          case BUFFER, STREAM, EVENT, GRAPH -> {
            if (deviceIsClosed) {
              assertThrows(IllegalStateException.class, () -> open(action, device, forGraphs, 1));
            } else {
              int size = 1 + open.size();
              open.add(open(action, device, forGraphs, size));
              bytes += action == Action.BUFFER ? size : 0;
            }
          }
          case CLOSE_OLDEST, CLOSE_NEWEST -> {
            if (!open.isEmpty()) {
              AutoCloseable resource =
                  action == Action.CLOSE_OLDEST ? open.removeFirst() : open.removeLast();
              bytes -= resource instanceof Buffer buffer ? buffer.shape().size() : 0;
              close(resource);
              closed.add(resource);
            }
          }
          case CLOSE_AGAIN -> closed.forEach(LifecycleTest::close);
          case CLOSE_DEVICE -> {
            device.close();
            deviceIsClosed = true;
            closed.addAll(open);
            open.clear();
            bytes = 0;
          }
        }
        assertEquals(bytes, device.allocatedBytes());
        assertEquals(deviceIsClosed, device.isClosed());
        for (AutoCloseable resource : open) {
          assertFalse(resource instanceof Buffer buffer && buffer.isClosed());
        }
        for (AutoCloseable resource : closed) {
          assertTrue(!(resource instanceof Buffer buffer) || buffer.isClosed());
        }
      }
      log.records().clear();
      int left = open.size() + 1;
      device.close();
      assertEquals(deviceIsClosed ? 0 : left, log.messages().size(), log.messages()::toString);
      assertEquals(0, device.allocatedBytes());
    }
  }

  private static AutoCloseable open(Action action, Device device, Stream forGraphs, int size) {
    return switch (action) {
      case BUFFER -> device.allocate(DType.U8, Shape.of(size));
      case STREAM -> device.openStream();
      case EVENT -> device.openEvent();
      case GRAPH -> forGraphs.capture(() -> {});
      default -> throw new AssertionError(action);
    };
  }

  private static void close(AutoCloseable resource) {
    try {
      resource.close();
    } catch (Exception e) {
      throw new AssertionError(e);
    }
  }

  @ParameterizedTest
  @MethodSource("devices")
  void memoryStaysFlatOverManyCycles(DeviceUnderTest under) throws Exception {
    Assumptions.assumeTrue(Files.isReadable(Path.of("/proc/self/statm")), "no /proc here");
    under.open().close();
    List<String> flags = new ArrayList<>(ForkedJvm.MODULES);
    flags.addAll(List.of("-Xms64m", "-Xmx64m", "-XX:+AlwaysPreTouch"));
    ForkedJvm.Result result =
        ForkedJvm.run(
            flags, Cycler.class, under.backend().name(), Integer.toString(under.parallelism()));
    assertEquals(0, result.exitCode(), result::output);
    String last = result.output().lines().reduce((a, b) -> b).orElseThrow();
    System.out.println(under + ": " + last);
    assertTrue(Long.parseLong(last.replaceAll(".* by | KiB", "")) < MOST_KIB, last);
  }

  /**
   * Opens and closes one of everything, over and over, and prints by how much that grew the
   * process.
   */
  static final class Cycler {
    public static void main(String[] args) throws IOException {
      DeviceUnderTest under =
          new DeviceUnderTest(Backend.valueOf(args[0]), Integer.parseInt(args[1]));
      try (Device device = under.open();
          Stream stream = device.openStream()) {
        long deadline = System.nanoTime() + PATIENCE_NANOS;
        long before = 0;
        int cycles = 0;
        while (cycles < CYCLES && System.nanoTime() < deadline) {
          try (Buffer buffer = device.allocate(DType.F32, Shape.of(64, 16));
              Stream shortLived = device.openStream();
              Event event = device.openEvent();
              Graph graph = stream.capture(() -> {})) {
            shortLived.record(event);
            graph.launch(stream);
            assertFalse(buffer.isClosed());
          }
          if (++cycles == CYCLES / 10) {
            before = residentKib();
          }
        }
        assertTrue(before > 0, "too slow to tell");
        assertEquals(0, device.allocatedBytes());
        System.out.printf(
            "%d cycles grew resident memory by %d KiB%n", cycles, residentKib() - before);
      }
    }

    private static long residentKib() throws IOException {
      System.gc();
      return Long.parseLong(Files.readString(Path.of("/proc/self/statm")).split(" ")[1]) * PAGE_KIB;
    }
  }

  @Test
  void devicesEndWithTheirThreads() {
    for (int i = 0; i < 200; i++) {
      try (Device device = CpuDevice.open(Backend.SCALAR, 3);
          Buffer buffer = device.allocate(DType.F32, Shape.of(10))) {
        assertEquals(40, device.allocatedBytes());
        assertFalse(buffer.isClosed());
      }
    }
    assertEquals(
        0,
        Thread.getAllStackTraces().keySet().stream()
            .filter(thread -> thread.getName().startsWith("quern scalar worker"))
            .count());
  }

  @ParameterizedTest
  @MethodSource("devices")
  void whatIsLeftOpenIsReported(DeviceUnderTest under) {
    try (LogCapture log = new LogCapture()) {
      Device device = under.open();
      log.records().clear();
      Buffer buffer = device.allocate(DType.F16, Shape.of(3, 5));
      device.close();
      assertTrue(buffer.isClosed());
      assertEquals(1, log.messages().size(), log.messages()::toString);
      String message = log.messages().getFirst();
      assertTrue(message.contains("F16[3, 5]"), message);
      assertTrue(message.contains("still open"), message);
    }
  }

  @ParameterizedTest
  @MethodSource("devices")
  void aDroppedBufferIsReportedButNotFreed(DeviceUnderTest under) throws InterruptedException {
    try (LogCapture log = new LogCapture();
        Device device = under.open()) {
      log.records().clear();
      drop(device);
      for (int i = 0; i < 100 && log.messages().isEmpty(); i++) {
        System.gc();
        Thread.sleep(20);
      }
      assertEquals(1, log.messages().size(), log.messages()::toString);
      assertTrue(
          log.messages().getFirst().contains("was dropped without close()"),
          log.messages()::toString);
      assertEquals(7, device.allocatedBytes());
    }
  }

  private static void drop(Device device) {
    assertEquals(7, device.allocate(DType.U8, Shape.of(7)).shape().size());
  }
}
