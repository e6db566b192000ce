package io.quern.op;

import static io.quern.op.EmbeddingGatherCases.DIMS;
import static io.quern.op.EmbeddingGatherCases.FLOATS;
import static io.quern.op.EmbeddingGatherCases.INDICES;
import static io.quern.op.EmbeddingGatherCases.policy;
import static io.quern.op.EmbeddingGatherCases.vocabs;

import io.quern.Buffer;
import io.quern.DType;
import io.quern.Device;
import io.quern.Shape;
import io.quern.Stream;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.EnumSet;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import java.util.SplittableRandom;
import java.util.stream.IntStream;

/** The calls of {@link EmbeddingBag} that are tested and timed. */
public final class EmbeddingBagCases {
  private static final long GIB = 1L << 30;
  private static final long MIB = 1L << 20;

  private EmbeddingBagCases() {}

  /**
   * A call.
   *
   * @param lengths ids of each bag
   * @param distribution how ids, and table ids where there are several tables, are drawn
   * @param values what the tables, the fallback and the weights hold
   */
  public record Case(
      String id,
      EmbeddingBag.Spec spec,
      List<Integer> lengths,
      IndexDistribution distribution,
      ValueSet values,
      Set<Trait> traits,
      long seed)
      implements OperatorCase {
    public Case {
      lengths = List.copyOf(lengths);
      traits = Set.copyOf(traits);
    }

    /** The inputs, the same for every call. */
    public Inputs inputs() {
      List<RandomRows> tables = new ArrayList<>();
      for (int i = 0; i < spec.vocabSizes().size(); i++) {
        tables.add(new RandomRows(spec.table(), spec.tableShape(i), values, seed + i));
      }
      SplittableRandom random = new SplittableRandom(~seed);
      long[] offsets = offsets(random);
      int count = count();
      long[] tableIds = tableIds(random);
      int[] weights = null;
      if (traits.contains(Trait.WEIGHTED)) {
        weights = new int[count];
        Arrays.setAll(weights, i -> values.next(DType.F32, random));
      }
      RandomRows fallback =
          spec.empty() != EmptyBagPolicy.FALLBACK
              ? null
              : new RandomRows(
                  spec.table(),
                  Shape.of(traits.contains(Trait.ONE_FALLBACK) ? 1 : bags(), spec.dim()),
                  values,
                  -seed - 1);
      return new Inputs(tables, ids(seed, tableIds), offsets, tableIds, weights, fallback);
    }

    /** Ids that belong to no bag, before the first and after the last one. */
    private int lead() {
      return traits.contains(Trait.STRIDED) ? 3 : 0;
    }

    private int bags() {
      return lengths.size();
    }

    private int count() {
      return 2 * lead() + lengths.stream().mapToInt(n -> n).sum();
    }

    private long[] offsets(SplittableRandom random) {
      long[] offsets = new long[bags() + 1];
      offsets[0] = lead();
      for (int i = 0; i < bags(); i++) {
        offsets[i + 1] = offsets[i] + lengths.get(i);
      }
      if (traits.contains(Trait.BAD_OFFSETS)) {
        BadIndices.among(offsets, count() + 1L, spec.offsets(), random);
      }
      return offsets;
    }

    private long[] tableIds(SplittableRandom random) {
      int tables = spec.vocabSizes().size();
      if (tables == 1) {
        return null;
      }
      long[] tableIds = distribution.draw(bags(), tables, random);
      if (traits.contains(Trait.BAD_TABLE_IDS)) {
        BadIndices.among(tableIds, tables, DType.I32, random);
      }
      return tableIds;
    }

    private long[] ids(long seed, long[] tableIds) {
      SplittableRandom random = new SplittableRandom(seed);
      long[] ids = distribution.draw(count(), Collections.max(spec.vocabSizes()), random);
      if (tableIds != null) {
        int position = lead();
        for (int bag = 0; bag < bags(); bag++) {
          for (int i = 0; i < lengths.get(bag); i++, position++) {
            ids[position] =
                EmbeddingGatherCases.within(spec.vocabSizes(), tableIds[bag], ids[position]);
          }
        }
      }
      if (traits.contains(Trait.BAD_IDS)) {
        BadIndices.amongIds(ids, spec.vocabSizes().getFirst(), spec.ids(), random);
      }
      return ids;
    }

    /**
     * Bytes that any implementation has to move: offsets, ids, weights, one row per id read, one
     * per bag written.
     */
    public long algorithmicBytes() {
      int weight = traits.contains(Trait.WEIGHTED) ? Float.BYTES : 0;
      return (bags() + 1L) * spec.offsets().byteSize()
          + count() * (spec.ids().byteSize() + weight + spec.dim() * spec.table().byteSize())
          + bags() * spec.dim() * spec.out().byteSize();
    }

    /** The same with each row read once; what is left for the memory behind a perfect cache. */
    public long uniqueBytes() {
      long rows = Arrays.stream(inputs().ids()).distinct().count();
      return algorithmicBytes() - (count() - rows) * spec.dim() * spec.table().byteSize();
    }

    @Override
    public Outcome expected() {
      return EmbeddingReference.bag(this);
    }

    @Override
    public PreparedCase prepare(Device device, Stream stream, OperandMemory memory) {
      return new Prepared(this, device, stream, memory);
    }

    @Override
    public String toString() {
      return "bag "
          + id
          + " "
          + spec
          + " lengths "
          + (bags() <= 16 ? lengths.toString() : bags() + " bags, " + count() + " ids")
          + " "
          + distribution
          + " "
          + values
          + " "
          + traits
          + " seed "
          + seed;
    }
  }

  /**
   * What a case reads.
   *
   * @param tableIds null where there is one table
   * @param weights bits of F32, or null
   * @param fallback or null
   */
  public record Inputs(
      List<RandomRows> tables,
      long[] ids,
      long[] offsets,
      long[] tableIds,
      int[] weights,
      RandomRows fallback) {}

  private static final class Prepared extends PreparedCase {
    private final Case of;
    private final EmbeddingBag plan;
    private final long[] tableNumbers;
    private final EmbeddingBag.Operands operands;

    Prepared(Case of, Device device, Stream stream, OperandMemory memory) {
      super(stream, memory, of.traits.contains(Trait.STRIDED));
      this.of = of;
      Inputs inputs = of.inputs();
      List<Buffer> tables = new ArrayList<>();
      inputs.tables.forEach(rows -> tables.add(matrix("table", rows)));
      tableNumbers = inputs.tableIds;
      operands =
          new EmbeddingBag.Operands(
              tables,
              indices("ids", of.spec.ids(), Shape.of(inputs.ids.length), inputs.ids),
              indices("offsets", of.spec.offsets(), Shape.of(of.bags() + 1), inputs.offsets),
              tableNumbers == null
                  ? null
                  : indices("tableIds", DType.I32, Shape.of(of.bags()), tableNumbers),
              inputs.weights == null ? null : weights(inputs.weights),
              inputs.fallback == null ? null : matrix("fallback", inputs.fallback),
              output(of.spec.out(), of.spec.outputShape(of.bags())));
      plan = EmbeddingBag.plan(device, of.spec);
    }

    @Override
    public void run() {
      plan.run(stream(), operands);
    }

    @Override
    public void redrawIds(long seed) {
      replace(operands.ids(), of.ids(seed, tableNumbers));
    }
  }

  /** Empty, short, and around the chunk of 64 positions after which sums are combined. */
  private static final List<Integer> LENGTHS =
      List.of(0, 1, 2, 63, 64, 65, 127, 128, 129, 200, 1000);

  /** Tiny to middling calls that together meet every branch of a kernel. */
  public static List<Case> small() {
    Table cases = new Table();
    List<Integer> few = List.of(3, 0, 1, 8, 65, 0, 20);
    for (int dim : DIMS) {
      for (Combine combine : Combine.values()) {
        int n = cases.size();
        cases.add(
            spec(DType.F32, 41, dim, combine, policy(n), n),
            few,
            ValueSet.NORMAL,
            n % 3 == 0 ? Set.of(Trait.STRIDED, Trait.BAD_IDS) : Set.of());
        cases.add(
            spec(DType.F16, 41, dim, combine, policy(n), n),
            few,
            ValueSet.NORMAL,
            n % 3 == 1 ? Set.of(Trait.STRIDED) : Set.of(Trait.BAD_IDS));
        cases.add(
            spec(DType.BF16, 41, dim, combine, policy(n), n).withOut(DType.F32),
            few,
            ValueSet.NORMAL,
            n % 3 == 2 ? Set.of(Trait.STRIDED) : Set.of());
      }
    }
    for (Combine combine : Combine.values()) {
      for (ValueSet values : ValueSet.values()) {
        for (DType table : FLOATS) {
          for (DType out : FLOATS) {
            cases.add(
                spec(table, 41, 35, combine, IndexPolicy.FAIL, cases.size()).withOut(out),
                few,
                values,
                Set.of());
          }
        }
      }
      for (int dim : new int[] {1, 17, 128}) {
        cases.add(
            spec(DType.F32, 300, dim, combine, IndexPolicy.SKIP, dim),
            LENGTHS,
            ValueSet.NORMAL,
            Set.of(Trait.BAD_IDS));
        cases.add(
            spec(DType.F32, 300, dim, combine, IndexPolicy.FAIL, dim + 1),
            LENGTHS,
            ValueSet.SPECIAL,
            Set.of());
      }
      for (IndexPolicy policy : IndexPolicy.values()) {
        for (EmptyBagPolicy empty : EmptyBagPolicy.values()) {
          int n = cases.size();
          cases.add(
              spec(DType.F32, n % 2 == 0 ? 9 : 0, 33, combine, policy, n).withEmpty(empty),
              List.of(0, 1, 1, 2, 0, 3, 0, 40, 1, 1),
              ValueSet.NORMAL,
              n % 4 < 2 ? Set.of(Trait.BAD_IDS) : Set.of(Trait.BAD_IDS, Trait.ONE_FALLBACK));
        }
      }
    }
    for (IndexPolicy policy : IndexPolicy.values()) {
      for (int n = 0; n < 4; n++) {
        for (Combine combine : new Combine[] {Combine.SUM, Combine.MAX, Combine.LAST}) {
          cases.add(
              spec(DType.F32, 30, 8, combine, policy, n).withEmpty(EmptyBagPolicy.values()[n % 3]),
              IntStream.range(0, 30).mapToObj(i -> i % 5).toList(),
              ValueSet.NORMAL,
              Set.of(Trait.BAD_OFFSETS, Trait.STRIDED));
          cases.add(
              spec(DType.BF16, 30, 31, combine, policy, n).withTables(vocabs(2 + 3 * n)),
              IntStream.range(0, 40).mapToObj(i -> i % 4).toList(),
              ValueSet.NORMAL,
              n % 2 == 0
                  ? Set.of(Trait.BAD_TABLE_IDS)
                  : Set.of(Trait.BAD_TABLE_IDS, Trait.BAD_IDS, Trait.BAD_OFFSETS));
        }
      }
      for (int bags : new int[] {0, 1, 2, 257}) {
        cases.add(
            spec(DType.F32, 30, 64, Combine.SUM, policy, bags),
            Collections.nCopies(bags, 5),
            ValueSet.NORMAL,
            Set.of(Trait.BAD_IDS));
      }
      // Enough work for a CPU device to share it among its threads.
      cases.add(
          spec(DType.F32, 500, 128, Combine.SUM, policy, 1),
          IntStream.range(0, 150).mapToObj(i -> i * 37 % 41).toList(),
          ValueSet.NORMAL,
          Set.of(Trait.BAD_IDS));
      cases.add(
          spec(DType.F16, 500, 768, Combine.MEAN, policy, 2).withOut(DType.F32),
          List.of(70, 1, 0, 300, 64, 12),
          ValueSet.SUBNORMAL,
          Set.of(Trait.STRIDED, Trait.BAD_IDS));
    }
    for (IndexDistribution distribution : IndexDistribution.values()) {
      cases.add(
          spec(DType.F32, 500, 48, Combine.WEIGHTED_MEAN, IndexPolicy.FAIL, 0),
          List.of(20, 64, 130),
          distribution,
          ValueSet.NORMAL,
          Set.of());
    }
    return cases.list;
  }

  /** A spec whose index dtypes are chosen by {@code n}. */
  private static EmbeddingBag.Spec spec(
      DType table, long vocab, long dim, Combine combine, IndexPolicy policy, int n) {
    return EmbeddingBag.Spec.of(table, vocab, dim, combine, policy)
        .withIndices(INDICES.get(n & 1), INDICES.get(n >> 1 & 1));
  }

  /**
   * What is timed: weighted sums of 10 to 30 rows of 128 elements from tables of 1 GiB and 1 MiB in
   * three dtypes, all distributions, the other combines, other widths and lengths of bag, and a few
   * long bags.
   */
  public static List<Case> benchmark() {
    List<Case> cases = new ArrayList<>();
    for (long tableBytes : new long[] {GIB, MIB}) {
      for (DType table : FLOATS) {
        cases.add(
            timed(table, tableBytes, 128, Combine.SUM, true, 4096, 20, IndexDistribution.UNIFORM));
      }
      for (int dim : new int[] {16, 64, 256, 768}) {
        for (int hotness : new int[] {1, 4, 20, 64}) {
          cases.add(
              timed(
                  DType.F32,
                  tableBytes,
                  dim,
                  Combine.SUM,
                  true,
                  (1 << 23) / dim / hotness,
                  hotness,
                  IndexDistribution.UNIFORM));
        }
      }
      for (Combine combine : Combine.values()) {
        cases.add(
            timed(DType.F32, tableBytes, 128, combine, false, 4096, 20, IndexDistribution.UNIFORM));
      }
      for (int bags : new int[] {1, 2}) {
        cases.add(
            timed(
                DType.F32,
                tableBytes,
                128,
                Combine.SUM,
                true,
                bags,
                40_000,
                IndexDistribution.UNIFORM));
      }
    }
    for (IndexDistribution distribution : IndexDistribution.values()) {
      if (distribution != IndexDistribution.UNIFORM) {
        cases.add(timed(DType.F32, GIB, 128, Combine.SUM, true, 4096, 20, distribution));
      }
    }
    return List.copyOf(cases);
  }

  /**
   * A call that gives F32 whatever the table holds.
   *
   * @param hotness ids per bag, on average; lengths vary by half of it
   */
  private static Case timed(
      DType table,
      long tableBytes,
      long dim,
      Combine combine,
      boolean weighted,
      int bags,
      int hotness,
      IndexDistribution distribution) {
    boolean needsWeights = weighted || combine == Combine.WEIGHTED_MEAN;
    SplittableRandom random = new SplittableRandom(hotness);
    List<Integer> lengths =
        random.ints(bags, hotness - hotness / 2, hotness + hotness / 2 + 1).boxed().toList();
    return new Case(
        "%s-table%s-d%d-%s%s-bags%d-hot%d-%s"
            .formatted(
                table.name().toLowerCase(Locale.ROOT),
                tableBytes == GIB ? "1GiB" : "1MiB",
                dim,
                needsWeights && combine == Combine.SUM ? "weighted-" : "",
                combine.name().toLowerCase(Locale.ROOT),
                bags,
                hotness,
                distribution.name().toLowerCase(Locale.ROOT)),
        EmbeddingBag.Spec.of(
                table, tableBytes / dim / table.byteSize(), dim, combine, IndexPolicy.FAIL)
            .withOut(DType.F32),
        lengths,
        distribution,
        ValueSet.NORMAL,
        needsWeights ? Set.of(Trait.WEIGHTED) : Set.of(),
        dim + bags + hotness);
  }

  /** Collects cases, numbering them; the number is the seed. */
  private static final class Table {
    private final List<Case> list = new ArrayList<>();

    int size() {
      return list.size();
    }

    void add(EmbeddingBag.Spec spec, List<Integer> lengths, ValueSet values, Set<Trait> traits) {
      add(spec, lengths, IndexDistribution.UNIFORM, values, traits);
    }

    /** Adds the case; sums once without and once with weights. */
    void add(
        EmbeddingBag.Spec spec,
        List<Integer> lengths,
        IndexDistribution distribution,
        ValueSet values,
        Set<Trait> traits) {
      if (spec.combine() != Combine.WEIGHTED_MEAN) {
        addOne(spec, lengths, distribution, values, traits);
      }
      if (spec.combine() == Combine.WEIGHTED_MEAN || spec.combine() == Combine.SUM) {
        EnumSet<Trait> weighted = EnumSet.of(Trait.WEIGHTED);
        weighted.addAll(traits);
        addOne(spec, lengths, distribution, values, weighted);
      }
    }

    private void addOne(
        EmbeddingBag.Spec spec,
        List<Integer> lengths,
        IndexDistribution distribution,
        ValueSet values,
        Set<Trait> traits) {
      list.add(new Case("small-" + size(), spec, lengths, distribution, values, traits, size()));
    }
  }
}
