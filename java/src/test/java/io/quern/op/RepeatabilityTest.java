package io.quern.op;

import static org.junit.jupiter.api.Assertions.assertNull;

import io.quern.Backend;
import io.quern.CpuDevice;
import io.quern.Device;
import io.quern.Stream;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicBoolean;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** The same bits every time, while other threads keep the processors busy. */
class RepeatabilityTest {
  private static final int REPEATS = 100;

  /** On the emulation, whose threads and blocks take turns in one order. */
  private static final int EMULATED_REPEATS = 5;

  private static Collection<Expected> largest;

  static List<DeviceUnderTest> devices() {
    return List.of(
        new DeviceUnderTest(Backend.SCALAR, 5),
        new DeviceUnderTest(Backend.SIMD, 5),
        new DeviceUnderTest(Backend.CUDA, 0),
        new DeviceUnderTest(Backend.EMULATED, 0));
  }

  @ParameterizedTest
  @MethodSource("devices")
  void repeatsGiveTheSameBitsUnderLoad(DeviceUnderTest under) throws InterruptedException {
    AtomicBoolean done = new AtomicBoolean();
    List<Thread> load = new ArrayList<>();
    try (Device device = under.open();
        Stream stream = device.openStream()) {
      Runnable spin =
          () -> {
            while (!done.get()) {
              Thread.onSpinWait();
            }
          };
      for (int i = 0; i < 2; i++) {
        load.add(Thread.ofPlatform().start(spin));
      }
      for (Expected each : largest) {
        try (PreparedCase prepared = each.of.prepare(device, stream, device::allocate)) {
          int repeats = under.backend() == Backend.EMULATED ? EMULATED_REPEATS : REPEATS;
          for (int i = 0; i < repeats; i++) {
            assertNull(prepared.outcome().difference(each.outcome), each.of::toString);
          }
        }
      }
    } finally {
      done.set(true);
      for (Thread thread : load) {
        thread.join();
      }
    }
  }

  private record Expected(OperatorCase of, Outcome outcome) {}

  /** Of each operator the small case with the most output, with and without a fault. */
  @BeforeAll
  static void runScalar() {
    Map<String, Expected> largest = new HashMap<>();
    try (Device scalar = CpuDevice.open(Backend.SCALAR, 1)) {
      for (OperatorCase each : OperatorCase.small()) {
        Outcome outcome = each.runOn(scalar);
        largest.merge(
            each.getClass().getName() + (outcome.fault() == null),
            new Expected(each, outcome),
            (a, b) -> a.outcome.byteSize() >= b.outcome.byteSize() ? a : b);
      }
    }
    RepeatabilityTest.largest = largest.values();
  }
}
