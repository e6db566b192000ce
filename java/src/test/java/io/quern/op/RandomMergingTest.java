package io.quern.op;

import static org.junit.jupiter.api.Assertions.assertNull;

import io.quern.Backend;
import io.quern.CpuDevice;
import io.quern.Device;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;
import net.jqwik.api.EdgeCasesMode;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.Tag;
import net.jqwik.api.lifecycle.AfterContainer;
import net.jqwik.api.lifecycle.BeforeContainer;

/**
 * Parity of token merging over random calls, with ties, NaNs, odd sizes and orders that are bad.
 */
@Tag("parity")
class RandomMergingTest {
  private static final int TRIES = 300;

  private static CpuDevice scalar;
  private static final List<Device> OTHERS = new ArrayList<>();

  @BeforeContainer
  static void open() {
    scalar = CpuDevice.open(Backend.SCALAR, 1);
    for (DeviceUnderTest under : DeviceUnderTest.all()) {
      if (under.isAvailable()) {
        OTHERS.add(under.open());
      }
    }
  }

  @AfterContainer
  static void close() {
    OTHERS.forEach(Device::close);
    OTHERS.clear();
    scalar.close();
  }

  @Property(tries = TRIES, edgeCases = EdgeCasesMode.NONE)
  void match(@ForAll long seed) {
    compare(TokenMatchCases.random(new SplittableRandom(seed)));
  }

  @Property(tries = TRIES, edgeCases = EdgeCasesMode.NONE)
  void merge(@ForAll long seed) {
    compare(TokenMergeCases.random(new SplittableRandom(seed)));
  }

  @Property(tries = TRIES, edgeCases = EdgeCasesMode.NONE)
  void step(@ForAll long seed) {
    compare(MergeStepCases.random(new SplittableRandom(seed)));
  }

  @Property(tries = TRIES, edgeCases = EdgeCasesMode.NONE)
  void diffRate(@ForAll long seed) {
    compare(DiffRateBlockCases.random(new SplittableRandom(seed)));
  }

  @Property(tries = TRIES, edgeCases = EdgeCasesMode.NONE)
  void prune(@ForAll long seed) {
    compare(TokenPruneCases.random(new SplittableRandom(seed)));
  }

  @Property(tries = TRIES, edgeCases = EdgeCasesMode.NONE)
  void partition(@ForAll long seed) {
    compare(PartitionCases.random(new SplittableRandom(seed)));
  }

  @Property(tries = TRIES, edgeCases = EdgeCasesMode.NONE)
  void sourceMap(@ForAll long seed) {
    compare(SourceMapCases.random(new SplittableRandom(seed)));
  }

  @Property(tries = TRIES, edgeCases = EdgeCasesMode.NONE)
  void deleteGate(@ForAll long seed) {
    compare(DeleteGateCases.random(new SplittableRandom(seed)));
  }

  private static void compare(OperatorCase each) {
    Outcome expected = each.expected();
    assertNull(each.runOn(scalar).difference(expected), () -> "scalar: " + each);
    for (Device device : OTHERS) {
      assertNull(each.runOn(device).difference(expected), () -> device.name() + ": " + each);
    }
  }
}
