package io.quern.op;

import static org.junit.jupiter.api.Assertions.assertNull;

import io.quern.Backend;
import io.quern.CpuDevice;
import io.quern.DType;
import io.quern.Device;
import io.quern.Shape;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.SplittableRandom;
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

/** Parity over random calls, which shrink to the smallest that differs. */
@Tag("parity")
class RandomParityTest {
  private static final int TRIES = 400;

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
  void gather(@ForAll("gathers") EmbeddingGatherCases.Case each) {
    compare(each);
  }

  @Property(tries = TRIES, edgeCases = EdgeCasesMode.NONE)
  void bag(@ForAll("bags") EmbeddingBagCases.Case each) {
    compare(each);
  }

  @Property(tries = TRIES, edgeCases = EdgeCasesMode.NONE)
  void scatter(@ForAll("scatters") ScatterRowsCases.Case each) {
    compare(each);
  }

  @Property(tries = TRIES, edgeCases = EdgeCasesMode.NONE)
  void compaction(@ForAll("compactions") KvCompactionCases.Case each) {
    compare(each);
  }

  @Property(tries = TRIES, edgeCases = EdgeCasesMode.NONE)
  void rejection(@ForAll long seed) {
    compare(RejectionVerifyCases.random(new SplittableRandom(seed)));
  }

  @Property(tries = TRIES, edgeCases = EdgeCasesMode.NONE)
  void verify(@ForAll("trees") TreeVerifyCases.Case each) {
    compare(each);
  }

  @Property(tries = TRIES, edgeCases = EdgeCasesMode.NONE)
  void segmentMax(@ForAll long seed) {
    compare(SegmentMaxCases.random(new SplittableRandom(seed)));
  }

  @Property(tries = TRIES, edgeCases = EdgeCasesMode.NONE)
  void windowPool(@ForAll long seed) {
    compare(WindowPoolCases.random(new SplittableRandom(seed)));
  }

  @Property(tries = TRIES / 2, edgeCases = EdgeCasesMode.NONE)
  void ponetPooling(@ForAll long seed) {
    compare(PonetPoolingCases.random(new SplittableRandom(seed)));
  }

  @Property(tries = TRIES / 4, edgeCases = EdgeCasesMode.NONE)
  void ponetMixer(@ForAll long seed) {
    compare(PonetMixerCases.random(new SplittableRandom(seed)));
  }

  /** Any chunking has the bits of the whole. */
  @Property(tries = TRIES / 4, edgeCases = EdgeCasesMode.NONE)
  void ponetChunks(@ForAll long seed) {
    compare(PonetChunksCases.random(new SplittableRandom(seed)));
  }

  private static void compare(OperatorCase each) {
    Outcome expected = each.expected();
    assertNull(each.runOn(scalar).difference(expected), "scalar");
    for (Device device : OTHERS) {
      assertNull(each.runOn(device).difference(expected), device::name);
    }
  }

  @Provide
  Arbitrary<EmbeddingGatherCases.Case> gathers() {
    Arbitrary<EmbeddingGather.Spec> specs =
        Combinators.combine(
                floats(), indices(), floats(), tables(), dims(), Arbitraries.of(IndexPolicy.class))
            .as(EmbeddingGather.Spec::new);
    Arbitrary<Shape> shapes =
        Arbitraries.longs().between(0, 40).list().ofMaxSize(2).map(RandomParityTest::shape);
    return Combinators.combine(
            specs, shapes, distributions(), values(), traits(), Arbitraries.longs())
        .as(
            (spec, shape, distribution, values, traits, seed) ->
                new EmbeddingGatherCases.Case(
                    "random", spec, shape, distribution, values, traits, seed));
  }

  @Provide
  Arbitrary<EmbeddingBagCases.Case> bags() {
    Arbitrary<EmbeddingBag.Spec> specs =
        Combinators.combine(
                Combinators.combine(floats(), floats())
                    .as((table, out) -> new DType[] {table, out}),
                Combinators.combine(indices(), indices())
                    .as((ids, offsets) -> new DType[] {ids, offsets}),
                tables(),
                dims(),
                Arbitraries.of(Combine.class),
                Arbitraries.of(EmptyBagPolicy.class),
                Arbitraries.of(IndexPolicy.class))
            .as(
                (types, indices, tables, dim, combine, empty, policy) ->
                    new EmbeddingBag.Spec(
                        types[0],
                        indices[0],
                        indices[1],
                        types[1],
                        tables,
                        dim,
                        combine,
                        empty,
                        policy));
    Arbitrary<List<Integer>> lengths = Arbitraries.integers().between(0, 140).list().ofMaxSize(12);
    return Combinators.combine(
            specs, lengths, distributions(), values(), traits(), Arbitraries.longs())
        .as(RandomParityTest::bagCase);
  }

  @Provide
  Arbitrary<TreeVerifyCases.Case> trees() {
    Arbitrary<TreeVerify.Spec> specs =
        Combinators.combine(
                floats(),
                Arbitraries.integers().between(1, 300),
                Arbitraries.integers().between(1, 7))
            .flatAs(
                (dtype, vocab, width) ->
                    Arbitraries.of(TreeVerifyCases.specs(dtype, vocab, width)));
    return Combinators.combine(
            specs,
            Arbitraries.integers().between(0, 20).list().ofMaxSize(4),
            Arbitraries.of(TreeVerifyCases.Growth.class),
            Arbitraries.integers().between(0, 10),
            Arbitraries.of(TreeVerifyCases.Trait.class).set().ofMaxSize(4),
            Arbitraries.longs())
        .as(
            (spec, sizes, growth, depth, traits, seed) ->
                new TreeVerifyCases.Case("random", spec, sizes, growth, depth, traits, seed));
  }

  private static EmbeddingBagCases.Case bagCase(
      EmbeddingBag.Spec spec,
      List<Integer> lengths,
      IndexDistribution distribution,
      ValueSet values,
      Set<Trait> traits,
      long seed) {
    Set<Trait> fitting = new HashSet<>(traits);
    if (spec.combine() == Combine.WEIGHTED_MEAN) {
      fitting.add(Trait.WEIGHTED);
    } else if (spec.combine() != Combine.SUM) {
      fitting.remove(Trait.WEIGHTED);
    }
    return new EmbeddingBagCases.Case("random", spec, lengths, distribution, values, fitting, seed);
  }

  @Provide
  Arbitrary<ScatterRowsCases.Case> scatters() {
    Arbitrary<ScatterRows.Spec> specs =
        Combinators.combine(
                floats(),
                indices(),
                floats(),
                Arbitraries.of(ScatterMode.class),
                dims(),
                Arbitraries.of(IndexPolicy.class))
            .as(ScatterRows.Spec::new);
    return Combinators.combine(
            specs,
            Arbitraries.integers().between(0, 200),
            Arbitraries.integers().between(0, 60),
            distributions(),
            values(),
            traits(),
            Arbitraries.longs())
        .as(
            (spec, count, places, distribution, values, traits, seed) ->
                new ScatterRowsCases.Case(
                    "random", spec, count, places, distribution, values, traits, seed));
  }

  @Provide
  Arbitrary<KvCompactionCases.Case> compactions() {
    Arbitrary<KvCompaction.Spec> specs =
        Combinators.combine(
                Arbitraries.of(CacheAddressing.class),
                Arbitraries.of(DType.class),
                indices(),
                Arbitraries.longs().between(0, 4),
                Arbitraries.longs().between(0, 40),
                Arbitraries.longs().between(1, 9))
            .as(
                (addressing, dtype, slots, heads, dim, page) ->
                    addressing == CacheAddressing.CONTIGUOUS
                        ? KvCompaction.Spec.contiguous(dtype, heads, dim)
                        : KvCompaction.Spec.paged(addressing, dtype, slots, dim, page));
    Arbitrary<int[]> extents =
        Combinators.combine(
                Arbitraries.integers().between(1, 6),
                Arbitraries.integers().between(0, 3),
                Arbitraries.integers().between(1, 2),
                Arbitraries.integers().between(1, 12))
            .as((requests, caches, outer, width) -> new int[] {requests, caches, outer, width});
    return Combinators.combine(
            specs,
            extents,
            Arbitraries.integers().between(0, 30).list().ofMinSize(1).ofMaxSize(4),
            Arbitraries.of(false, true),
            Arbitraries.of(false, true),
            Arbitraries.of(false, true),
            Arbitraries.longs())
        .as(
            (spec, of, nodes, strided, bad, reports, seed) ->
                new KvCompactionCases.Case(
                    "random",
                    spec,
                    of[0],
                    of[1],
                    of[2],
                    spec.addressing() == CacheAddressing.CONTIGUOUS ? 40 : 45 * (of[0] + 1),
                    of[3],
                    nodes,
                    strided,
                    bad,
                    reports && spec.addressing() != CacheAddressing.CONTIGUOUS,
                    seed));
  }

  private static Shape shape(List<Long> dims) {
    return Shape.of(dims.stream().mapToLong(d -> d).toArray());
  }

  private static Arbitrary<DType> floats() {
    return Arbitraries.of(EmbeddingGatherCases.FLOATS);
  }

  private static Arbitrary<DType> indices() {
    return Arbitraries.of(EmbeddingGatherCases.INDICES);
  }

  private static Arbitrary<List<Long>> tables() {
    return Arbitraries.longs().between(0, 50).list().ofMinSize(1).ofMaxSize(4);
  }

  private static Arbitrary<Long> dims() {
    return Arbitraries.longs().between(0, 140);
  }

  private static Arbitrary<IndexDistribution> distributions() {
    return Arbitraries.of(IndexDistribution.class);
  }

  private static Arbitrary<ValueSet> values() {
    return Arbitraries.of(ValueSet.class);
  }

  private static Arbitrary<Set<Trait>> traits() {
    return Arbitraries.of(Trait.class).set();
  }
}
