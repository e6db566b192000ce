package io.quern.op;

import static org.junit.jupiter.api.Assertions.assertEquals;

import io.quern.Backend;
import io.quern.CpuDevice;
import io.quern.Device;
import io.quern.Stream;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Every back end gives the bits of the scalar one, which gives those of the documentation. */
@Tag("parity")
class ParityTest {
  /** Differences shown before the rest is only counted. */
  private static final int SHOWN = 5;

  private static final Map<OperatorCase, Outcome> SCALAR = new HashMap<>();

  @BeforeAll
  static void runScalar() {
    VectorWidth.requireForced();
    try (Device scalar = CpuDevice.open(Backend.SCALAR, 1)) {
      for (OperatorCase each : OperatorCase.small()) {
        SCALAR.put(each, each.runOn(scalar));
      }
    }
  }

  static List<DeviceUnderTest> devices() {
    return DeviceUnderTest.all();
  }

  @Test
  void scalarIsWhatIsDocumented() {
    Differences differences = new Differences();
    for (OperatorCase each : OperatorCase.small()) {
      differences.add(each, SCALAR.get(each).difference(each.expected()));
    }
    differences.assertNone();
  }

  @ParameterizedTest
  @MethodSource("devices")
  void sameBitsAsScalar(DeviceUnderTest under) {
    Differences differences = new Differences();
    try (Device device = under.open();
        Stream stream = device.openStream()) {
      for (OperatorCase each : OperatorCase.small()) {
        try (PreparedCase prepared = each.prepare(device, stream, device::allocate)) {
          differences.add(each, prepared.outcome().difference(SCALAR.get(each)));
          String changed = prepared.changedInput();
          differences.add(each, changed == null ? null : changed + " was changed");
        }
      }
      assertEquals(0, device.allocatedBytes());
    }
    differences.assertNone();
  }

  private static final class Differences {
    private final List<String> shown = new ArrayList<>();
    private int count;

    void add(OperatorCase each, String difference) {
      if (difference != null && count++ < SHOWN) {
        shown.add(difference + " in " + each);
      }
    }

    void assertNone() {
      assertEquals(0, count, () -> "cases differ, the first: " + String.join("\n  ", shown) + "\n");
    }
  }
}
