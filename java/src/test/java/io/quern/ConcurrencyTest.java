package io.quern;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.quern.op.DeviceUnderTest;
import io.quern.op.OperatorCase;
import io.quern.op.Outcome;
import io.quern.op.PreparedCase;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Queue;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ThreadFactory;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * Devices are shared by threads, streams are not; closing waits or is refused, and never crashes.
 */
@Timeout(60)
class ConcurrencyTest {
  private static final int VIRTUAL_THREADS = 1_000;
  private static final int CASES_OF_EACH = 40;
  private static final int RACES = 200;

  static List<DeviceUnderTest> devices() {
    return DeviceUnderTest.backends();
  }

  private interface Work {
    void run() throws Exception;
  }

  /** Starts all at once, waits, and throws what one of them threw. */
  private static void together(ThreadFactory threads, List<Work> works) throws Exception {
    Queue<Throwable> failures = new ConcurrentLinkedQueue<>();
    CountDownLatch start = new CountDownLatch(1);
    List<Thread> started = new ArrayList<>();
    for (Work work : works) {
      Thread thread =
          threads.newThread(
              () -> {
                try {
                  start.await();
                  work.run();
                } catch (Throwable failure) {
                  failures.add(failure);
                }
              });
      thread.start();
      started.add(thread);
    }
    start.countDown();
    for (Thread thread : started) {
      thread.join();
    }
    if (!failures.isEmpty()) {
      throw new AssertionError(failures.size() + " failed, the first:", failures.peek());
    }
  }

  private static void check(OperatorCase each, Outcome expected, Device device) {
    assertNull(each.runOn(device).difference(expected), each::toString);
  }

  @ParameterizedTest
  @MethodSource("devices")
  void virtualThreadsShareADevice(DeviceUnderTest under) throws Exception {
    List<OperatorCase> cases = OperatorCase.some(CASES_OF_EACH);
    try (Device device = under.open();
        Device scalar = CpuDevice.open(Backend.SCALAR, 1)) {
      List<Work> works = new ArrayList<>();
      for (int i = 0; i < VIRTUAL_THREADS; i++) {
        OperatorCase each = cases.get(i % cases.size());
        Outcome expected = each.runOn(scalar);
        works.add(() -> check(each, expected, device));
      }
      together(Thread.ofVirtual().factory(), works);
      assertEquals(0, device.allocatedBytes());
    }
  }

  @ParameterizedTest
  @MethodSource("devices")
  void streamsOfTwoThreadsDoNotDisturbEachOther(DeviceUnderTest under) throws Exception {
    List<OperatorCase> cases = OperatorCase.some(CASES_OF_EACH);
    try (Device device = under.open();
        Device scalar = CpuDevice.open(Backend.SCALAR, 1)) {
      List<Work> works = new ArrayList<>();
      for (int thread = 0; thread < 2; thread++) {
        List<OperatorCase> own = new ArrayList<>();
        List<Outcome> expected = new ArrayList<>();
        for (int i = thread; i < cases.size(); i += 2) {
          own.add(cases.get(i));
          expected.add(cases.get(i).runOn(scalar));
        }
        works.add(
            () -> {
              try (Stream stream = device.openStream()) {
                for (int i = 0; i < own.size(); i++) {
                  try (PreparedCase prepared =
                      own.get(i).prepare(device, stream, device::allocate)) {
                    assertNull(
                        prepared.outcome().difference(expected.get(i)), own.get(i)::toString);
                  }
                }
              }
            });
      }
      together(Thread.ofPlatform().factory(), works);
    }
  }

  /** The call either ran to its end or was refused; there is nothing in between. */
  @ParameterizedTest
  @MethodSource("devices")
  void closingABufferUnderACallIsSafe(DeviceUnderTest under) throws Exception {
    int refused = 0;
    try (Device device = under.open();
        Stream stream = device.openStream()) {
      for (int race = 0; race < RACES; race++) {
        float[] values = new float[1 << 14];
        Arrays.fill(values, race + 1);
        Buffer from = device.allocate(DType.F32, Shape.of(values.length));
        try (Buffer to = device.allocate(DType.F32, Shape.of(values.length))) {
          from.copyFrom(MemorySegment.ofArray(values), stream);
          to.copyFrom(MemorySegment.ofArray(new float[values.length]), stream);
          boolean[] wasRefused = {false};
          together(
              Thread.ofPlatform().factory(),
              List.of(
                  () -> {
                    try {
                      from.copyTo(to, stream);
                    } catch (IllegalStateException closed) {
                      wasRefused[0] = true;
                    }
                  },
                  from::close));
          float[] got = new float[values.length];
          to.copyTo(MemorySegment.ofArray(got), stream);
          float expected = wasRefused[0] ? 0 : race + 1;
          for (float value : got) {
            assertEquals(expected, value);
          }
          refused += wasRefused[0] ? 1 : 0;
          assertEquals(4L * values.length, device.allocatedBytes());
        }
      }
    }
    System.out.printf("%s: %d of %d calls came after the close%n", under, refused, RACES);
  }

  @ParameterizedTest
  @MethodSource("devices")
  void closingADeviceUnderItsCallsIsSafe(DeviceUnderTest under) throws Exception {
    OperatorCase each =
        OperatorCase.small().stream()
            .filter(some -> some.toString().startsWith("bag"))
            .reduce((a, b) -> b)
            .orElseThrow();
    Outcome expected;
    try (Device scalar = CpuDevice.open(Backend.SCALAR, 1)) {
      expected = each.runOn(scalar);
    }
    try (LogCapture log = new LogCapture()) {
      for (int race = 0; race < RACES / 10; race++) {
        Device device = under.open();
        Work calls =
            () -> {
              try {
                for (int i = 0; i < 50; i++) {
                  check(each, expected, device);
                }
              } catch (IllegalStateException closed) {
                assertTrue(device.isClosed(), closed::toString);
              }
            };
        together(Thread.ofPlatform().factory(), List.of(calls, calls, device::close));
        assertEquals(0, device.allocatedBytes(), () -> log.messages().toString());
      }
    }
  }
}
