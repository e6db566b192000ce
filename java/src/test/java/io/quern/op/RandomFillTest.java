package io.quern.op;

import static org.junit.jupiter.api.Assertions.assertNull;

import io.quern.Backend;
import io.quern.CpuDevice;
import io.quern.Device;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import net.jqwik.api.Arbitraries;
import net.jqwik.api.Arbitrary;
import net.jqwik.api.Combinators;
import net.jqwik.api.EdgeCasesMode;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.Provide;
import net.jqwik.api.Tag;
import net.jqwik.api.lifecycle.AfterContainer;
import net.jqwik.api.lifecycle.BeforeContainer;

/** Random trees filled from random matrices, good and bad, on every back end. */
@Tag("parity")
class RandomFillTest {
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
  void fill(@ForAll("fills") AdjacencyFillCases.Case each) {
    Outcome expected = each.expected();
    assertNull(each.runOn(scalar).difference(expected), "scalar");
    for (Device device : OTHERS) {
      assertNull(each.runOn(device).difference(expected), device::name);
    }
  }

  @Provide
  Arbitrary<AdjacencyFillCases.Case> fills() {
    Arbitrary<AdjacencyFill.Spec> specs =
        Combinators.combine(
                Arbitraries.longs().between(0, 50),
                Arbitraries.longs().between(0, 9),
                Arbitraries.of(IndexPolicy.class))
            .as(AdjacencyFill.Spec::new);
    Arbitrary<List<Integer>> sizes = Arbitraries.integers().between(0, 100).list().ofMaxSize(6);
    Arbitrary<Set<Trait>> traits =
        Arbitraries.of(Trait.STRIDED, Trait.BAD_IDS, Trait.BAD_OFFSETS, Trait.BAD_PARENTS).set();
    return Combinators.combine(
            specs,
            sizes,
            Arbitraries.of(AdjacencyFillCases.Form.class),
            traits,
            Arbitraries.longs())
        .as(
            (spec, lengths, form, chosen, seed) ->
                new AdjacencyFillCases.Case("random", spec, lengths, form, chosen, seed));
  }
}
