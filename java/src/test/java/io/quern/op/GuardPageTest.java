package io.quern.op;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.quern.Backend;
import io.quern.Device;
import io.quern.ForkedJvm;
import io.quern.Stream;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * No kernel of the CPU reads or writes outside an operand; if one did, this JVM would end with
 * SIGSEGV.
 */
class GuardPageTest {
  static List<DeviceUnderTest> devices() {
    return List.of(new DeviceUnderTest(Backend.SCALAR, 1), new DeviceUnderTest(Backend.SIMD, 2));
  }

  @ParameterizedTest
  @MethodSource("devices")
  void nothingOutsideOperandsIsTouched(DeviceUnderTest under) {
    try (Device device = under.open();
        Stream stream = device.openStream()) {
      for (boolean atEnd : new boolean[] {true, false}) {
        for (OperatorCase each : OperatorCase.small()) {
          try (GuardedMemory memory = new GuardedMemory(atEnd);
              PreparedCase prepared = each.prepare(device, stream, memory)) {
            assertEquals(each.expected(), prepared.outcome(), each::toString);
          }
        }
      }
    }
  }

  @Test
  void aGuardPageEndsTheProcess() throws Exception {
    for (String where : List.of("before", "behind")) {
      ForkedJvm.Result result = ForkedJvm.run(List.of(), Trespasser.class, where);
      assertNotEquals(0, result.exitCode(), result::output);
      assertTrue(result.output().contains("SIGSEGV"), result::output);
    }
  }

  /** Touches the page before or behind an operand. */
  static final class Trespasser {
    public static void main(String[] args) {
      boolean behind = args[0].equals("behind");
      try (GuardedMemory memory = new GuardedMemory(behind)) {
        MemorySegment operand = memory.allocate(100);
        System.out.println(
            MemorySegment.ofAddress(operand.address() + (behind ? 100 : -1))
                .reinterpret(1)
                .get(ValueLayout.JAVA_BYTE, 0));
      }
    }
  }
}
