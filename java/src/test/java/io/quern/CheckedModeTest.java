package io.quern;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.quern.op.EmbeddingGatherCases;
import io.quern.op.IndexPolicy;
import io.quern.op.OperatorCase;
import io.quern.op.PreparedCase;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.atomic.AtomicReference;
import java.util.logging.LogRecord;
import org.junit.jupiter.api.Test;

/** What {@code -Dquern.checked=true} finds, and what is not even looked for without it. */
class CheckedModeTest {
  @Test
  void aStreamUsedByTwoThreadsIsFoundOut() throws Exception {
    ForkedJvm.Result checked = ForkedJvm.run(flags("-Dquern.checked=true"), StreamSharer.class);
    assertEquals(0, checked.exitCode(), checked::output);
    assertTrue(
        checked.output().matches("(?s).*stream of cpu scalar.* is used by .* and .*"),
        checked::output);
  }

  @Test
  void aLeakReportSaysWhereTheBufferWasAllocated() throws Exception {
    ForkedJvm.Result checked = ForkedJvm.run(flags("-Dquern.checked=true"), Leaker.class);
    assertEquals(0, checked.exitCode(), checked::output);
    assertTrue(checked.output().contains("allocated in leakHere"), checked::output);
    ForkedJvm.Result unchecked = ForkedJvm.run(flags("-Dquern.checked=false"), Leaker.class);
    assertTrue(unchecked.output().contains("allocated somewhere"), unchecked::output);
  }

  private static List<String> flags(String flag) {
    List<String> flags = new ArrayList<>(ForkedJvm.MODULES);
    flags.add(flag);
    return flags;
  }

  /** Runs calls on one stream from two threads until one of them is refused. */
  static final class StreamSharer {
    public static void main(String[] args) throws InterruptedException {
      AtomicReference<IllegalStateException> refused = new AtomicReference<>();
      OperatorCase each =
          EmbeddingGatherCases.small().stream()
              .filter(some -> some.spec().policy() == IndexPolicy.SKIP)
              .findFirst()
              .orElseThrow();
      try (Device device = CpuDevice.open(Backend.SCALAR, 1);
          Stream stream = device.openStream();
          PreparedCase prepared = each.prepare(device, stream, device::allocate)) {
        long deadline = System.nanoTime() + 20_000_000_000L;
        Runnable calls =
            () -> {
              while (refused.get() == null && System.nanoTime() < deadline) {
                try {
                  prepared.run();
                } catch (IllegalStateException e) {
                  refused.set(e);
                }
              }
            };
        Thread other = Thread.ofPlatform().start(calls);
        calls.run();
        other.join();
      }
      System.out.println(refused.get());
    }
  }

  /** Leaves a buffer to its device and looks at the report. */
  static final class Leaker {
    public static void main(String[] args) {
      try (LogCapture log = new LogCapture()) {
        Device device = CpuDevice.open(Backend.SCALAR, 1);
        leakHere(device);
        device.close();
        LogRecord report = log.records().getLast();
        boolean located =
            report.getThrown() != null
                && Arrays.stream(report.getThrown().getStackTrace())
                    .anyMatch(frame -> frame.getMethodName().equals("leakHere"));
        System.out.println(located ? "allocated in leakHere" : "allocated somewhere");
      }
    }

    private static void leakHere(Device device) {
      System.out.println(device.allocate(DType.F32, Shape.of(3)).shape());
    }
  }
}
