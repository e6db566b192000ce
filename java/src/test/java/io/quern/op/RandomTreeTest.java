package io.quern.op;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;

import io.quern.Backend;
import io.quern.CpuDevice;
import io.quern.DType;
import io.quern.Device;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
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

/** Parity of the operators on trees over random trees and garbage, which shrink to the smallest. */
@Tag("parity")
class RandomTreeTest {
  private static final int TRIES = 200;

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
  void topology(
      @ForAll("batches") TreeBatch batch,
      @ForAll("wanted") TreeWanted wanted,
      @ForAll boolean prefixed) {
    compare(new TreeTopologyCases.Case("random", batch, wanted, prefixed));
  }

  @Property(tries = TRIES, edgeCases = EdgeCasesMode.NONE)
  void mask(
      @ForAll("batches") TreeBatch batch,
      @ForAll("masks") TreeMask.Spec spec,
      @ForAll("extents") List<Integer> extents,
      @ForAll boolean badPrefix,
      @ForAll boolean strided) {
    boolean flat = spec.format().isFlat();
    compare(
        new TreeMaskCases.Case(
            "random",
            batch,
            spec,
            spec.format() == TreeMaskFormat.BITS ? -1 : extents.get(0),
            badPrefix,
            flat ? 100L * extents.get(1) : extents.get(1),
            strided));
  }

  @Property(tries = TRIES, edgeCases = EdgeCasesMode.NONE)
  void dynamic(
      @ForAll("extents") List<Integer> extents,
      @ForAll DynamicTreeCases.Scores scores,
      @ForAll boolean badList,
      @ForAll("seeds") int seed) {
    int topK = 1 + extents.get(0) % 8;
    int steps = 1 + extents.get(1) % 5;
    int pool = topK + (steps - 1) * topK * topK;
    int nodes = extents.get(2) % (pool + 2);
    compare(DynamicTreeCases.of(nodes, topK, steps, scores, seed % 4, seed, badList));
  }

  @Property(tries = TRIES, edgeCases = EdgeCasesMode.NONE)
  void fromMask(
      @ForAll("extents") List<Integer> extents,
      @ForAll("seeds") int seed,
      @ForAll("treeKinds") TreeKind kind) {
    compare(
        TreeFromMaskCases.of(
            extents.get(0) % 140, extents.get(1) % 4, kind, extents.get(2) % 3, seed));
  }

  /** A row has one bit more than its node is deep. */
  @Property(tries = TRIES, edgeCases = EdgeCasesMode.NONE)
  void bitsOfARowAreAncestors(@ForAll("batches") TreeBatch batch) {
    TreeWanted wanted =
        new TreeWanted(
            TreeWanted.BITS | TreeWanted.DEPTH, TreeTopology.Spec.DEFAULT, 3, 0, 0, false);
    TreeTopologyCases.Case each = new TreeTopologyCases.Case("random", batch, wanted, false);
    List<Device> devices = new ArrayList<>(OTHERS);
    devices.add(scalar);
    for (Device device : devices) {
      List<Outcome.Output> outputs = each.runOn(device).outputs();
      for (TreeBatch.Request request : batch.judge()) {
        for (int i = 0; i < request.count() && request.status() == TreeStatus.OK; i++) {
          int row = request.first() + i;
          int bits = 0;
          for (int w = 0; w < 3; w++) {
            bits += Long.bitCount(outputs.get(0).bits(3 * row + w));
          }
          assertEquals(outputs.get(1).bits(row), bits - 1, device::name);
        }
      }
    }
  }

  private static void compare(OperatorCase each) {
    Outcome expected = each.expected();
    assertNull(each.runOn(scalar).difference(expected), "scalar");
    for (Device device : OTHERS) {
      assertNull(each.runOn(device).difference(expected), device::name);
    }
  }

  @Provide
  Arbitrary<TreeBatch> batches() {
    return Combinators.combine(
            Arbitraries.integers().between(0, 140).list().ofMaxSize(9),
            Arbitraries.of(TreeKind.class).list().ofMinSize(1).ofMaxSize(4),
            Arbitraries.of(true, false),
            Arbitraries.longs())
        .as(TreeBatch::new);
  }

  @Provide
  Arbitrary<TreeWanted> wanted() {
    Arbitrary<TreeTopology.Spec> specs =
        Combinators.combine(
                Arbitraries.of(DType.I32, DType.I64),
                Arbitraries.of(DType.I32, DType.I64),
                Arbitraries.of(TreeTopologyCases.WORDS))
            .as(TreeTopology.Spec::new);
    return Combinators.combine(
            Arbitraries.integers().between(0, TreeWanted.ALL),
            specs,
            Arbitraries.integers().between(0, 20),
            Arbitraries.integers().between(0, 150),
            Arbitraries.integers().between(0, 150),
            Arbitraries.of(true, false))
        .as(TreeWanted::new);
  }

  @Provide
  Arbitrary<TreeMask.Spec> masks() {
    return Arbitraries.of(TreeMaskFormat.class)
        .flatMap(
            format ->
                Combinators.combine(
                        Arbitraries.of(Arrays.stream(DType.values()).filter(format::has).toList()),
                        Arbitraries.of(DType.I32, DType.I64))
                    .as((dtype, prefix) -> new TreeMask.Spec(format, dtype, prefix)));
  }

  @Provide
  Arbitrary<List<Integer>> extents() {
    return Arbitraries.integers().between(0, 300).list().ofSize(3);
  }

  @Provide
  Arbitrary<Integer> seeds() {
    return Arbitraries.integers().between(0, 1 << 20);
  }

  @Provide
  Arbitrary<TreeKind> treeKinds() {
    return Arbitraries.of(
        TreeKind.CHAIN, TreeKind.STAR, TreeKind.SCATTERED, TreeKind.LEVELS, TreeKind.DEEP);
  }
}
