package io.quern.op;

import io.quern.Buffer;
import io.quern.DType;
import io.quern.Device;
import io.quern.Shape;
import io.quern.Stream;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import java.util.SplittableRandom;
import java.util.stream.IntStream;

/** The calls of {@link EmbeddingGather} that are tested and timed. */
public final class EmbeddingGatherCases {
  static final List<DType> FLOATS = List.of(DType.F32, DType.F16, DType.BF16);
  static final List<DType> INDICES = List.of(DType.I32, DType.I64);
  static final int[] DIMS = {
    0, 1, 3, 8, 16, 17, 31, 33, 48, 64, 100, 127, 128, 129, 200, 384, 768, 1024, 8200
  };

  private static final long GIB = 1L << 30;
  private static final long MIB = 1L << 20;

  private EmbeddingGatherCases() {}

  /**
   * A call.
   *
   * @param idShape extents of the ids
   * @param distribution how ids, and table ids where there are several tables, are drawn
   * @param values what the tables hold
   */
  public record Case(
      String id,
      EmbeddingGather.Spec spec,
      Shape idShape,
      IndexDistribution distribution,
      ValueSet values,
      Set<Trait> traits,
      long seed)
      implements OperatorCase {
    public Case {
      traits = Set.copyOf(traits);
    }

    /** The inputs, the same for every call. */
    public Inputs inputs() {
      List<RandomRows> tables = new ArrayList<>();
      for (int i = 0; i < spec.vocabSizes().size(); i++) {
        tables.add(new RandomRows(spec.table(), spec.tableShape(i), values, seed + i));
      }
      long[] tableIds = tableIds();
      return new Inputs(tables, ids(seed, tableIds), tableIds);
    }

    private long[] tableIds() {
      int tables = spec.vocabSizes().size();
      if (tables == 1) {
        return null;
      }
      SplittableRandom random = new SplittableRandom(~seed);
      long[] tableIds = distribution.draw(count(), tables, random);
      if (traits.contains(Trait.BAD_TABLE_IDS)) {
        BadIndices.among(tableIds, tables, DType.I32, random);
      }
      return tableIds;
    }

    private long[] ids(long seed, long[] tableIds) {
      SplittableRandom random = new SplittableRandom(seed);
      long most = Collections.max(spec.vocabSizes());
      long[] ids = distribution.draw(count(), most, random);
      if (tableIds != null) {
        for (int i = 0; i < ids.length; i++) {
          ids[i] = within(spec.vocabSizes(), tableIds[i], ids[i]);
        }
      }
      if (traits.contains(Trait.BAD_IDS)) {
        BadIndices.amongIds(ids, spec.vocabSizes().getFirst(), spec.ids(), random);
      }
      return ids;
    }

    private int count() {
      return Math.toIntExact(idShape.size());
    }

    /** Bytes that any implementation has to move: ids, one row read and one written per id. */
    public long algorithmicBytes() {
      long row = spec.dim() * (spec.table().byteSize() + spec.out().byteSize());
      return count() * (spec.ids().byteSize() + row);
    }

    /** The same with each row read once; what is left for the memory behind a perfect cache. */
    public long uniqueBytes() {
      long rows = Arrays.stream(inputs().ids()).distinct().count();
      return algorithmicBytes() - (count() - rows) * spec.dim() * spec.table().byteSize();
    }

    @Override
    public Outcome expected() {
      return EmbeddingReference.gather(this);
    }

    @Override
    public PreparedCase prepare(Device device, Stream stream, OperandMemory memory) {
      return new Prepared(this, device, stream, memory);
    }

    @Override
    public String toString() {
      return "gather "
          + id
          + " "
          + spec
          + " ids "
          + idShape
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
   */
  public record Inputs(List<RandomRows> tables, long[] ids, long[] tableIds) {}

  private static final class Prepared extends PreparedCase {
    private final Case of;
    private final EmbeddingGather plan;
    private final List<Buffer> tables = new ArrayList<>();
    private final long[] tableNumbers;
    private final Buffer ids;
    private final Buffer tableIds;
    private final Buffer out;

    Prepared(Case of, Device device, Stream stream, OperandMemory memory) {
      super(stream, memory, of.traits.contains(Trait.STRIDED));
      this.of = of;
      Inputs inputs = of.inputs();
      inputs.tables.forEach(rows -> tables.add(matrix("table", rows)));
      tableNumbers = inputs.tableIds;
      ids = indices("ids", of.spec.ids(), of.idShape, inputs.ids);
      tableIds =
          tableNumbers == null ? null : indices("tableIds", DType.I32, of.idShape, tableNumbers);
      out = output(of.spec.out(), of.idShape.append(of.spec.dim()));
      plan = EmbeddingGather.plan(device, of.spec);
    }

    @Override
    public void run() {
      if (tableIds == null) {
        plan.run(stream(), tables.getFirst(), ids, out);
      } else {
        plan.run(stream(), tables, ids, tableIds, out);
      }
    }

    @Override
    public void redrawIds(long seed) {
      replace(ids, of.ids(seed, tableNumbers));
    }
  }

  /** Tiny to middling calls that together meet every branch of a kernel. */
  public static List<Case> small() {
    Table cases = new Table();
    for (int dim : DIMS) {
      for (DType table : FLOATS) {
        for (DType out : FLOATS) {
          int n = cases.size();
          cases.add(
              EmbeddingGather.Spec.of(table, 41, dim, policy(n))
                  .withOut(out)
                  .withIds(INDICES.get(n & 1)),
              Shape.of(19),
              IndexDistribution.UNIFORM,
              ValueSet.NORMAL,
              n % 3 == 0 ? Set.of(Trait.STRIDED, Trait.BAD_IDS) : Set.of(Trait.BAD_IDS));
        }
      }
    }
    for (int count : new int[] {0, 1, 2, 5, 257}) {
      for (IndexPolicy policy : IndexPolicy.values()) {
        for (DType ids : INDICES) {
          for (long vocab : new long[] {0, 1, 1000}) {
            cases.add(
                EmbeddingGather.Spec.of(DType.F32, vocab, 33, policy).withIds(ids),
                Shape.of(count),
                IndexDistribution.UNIFORM,
                ValueSet.NORMAL,
                Set.of(Trait.BAD_IDS));
          }
        }
      }
    }
    for (DType table : FLOATS) {
      for (DType out : FLOATS) {
        for (ValueSet values : new ValueSet[] {ValueSet.SUBNORMAL, ValueSet.SPECIAL}) {
          cases.add(
              EmbeddingGather.Spec.of(table, 50, 100, IndexPolicy.FAIL).withOut(out),
              Shape.of(64),
              IndexDistribution.UNIFORM,
              values,
              Set.of());
        }
      }
    }
    for (IndexDistribution distribution : IndexDistribution.values()) {
      // More than 64 KiB of output, so that a CPU device shares the rows among its threads.
      cases.add(
          EmbeddingGather.Spec.of(DType.F32, 500, 384, IndexPolicy.FAIL),
          Shape.of(4, 65),
          distribution,
          ValueSet.NORMAL,
          Set.of());
      cases.add(
          EmbeddingGather.Spec.of(DType.F16, 500, 200, IndexPolicy.FAIL).withOut(DType.F32),
          Shape.of(300),
          distribution,
          ValueSet.SUBNORMAL,
          Set.of(Trait.STRIDED, Trait.BAD_IDS));
    }
    for (Shape idShape :
        new Shape[] {Shape.of(), Shape.of(2, 3), Shape.of(2, 0), Shape.of(2, 1, 3)}) {
      cases.add(
          EmbeddingGather.Spec.of(DType.BF16, 20, 17, IndexPolicy.ZERO),
          idShape,
          IndexDistribution.UNIFORM,
          ValueSet.NORMAL,
          Set.of(Trait.STRIDED));
    }
    for (IndexPolicy policy : IndexPolicy.values()) {
      for (DType ids : INDICES) {
        for (int tables : new int[] {2, 5, EmbeddingGather.MAX_TABLES}) {
          cases.add(
              EmbeddingGather.Spec.of(DType.F32, 7, 31, policy)
                  .withIds(ids)
                  .withTables(vocabs(tables)),
              Shape.of(257),
              IndexDistribution.UNIFORM,
              ValueSet.NORMAL,
              tables == 5
                  ? Set.of(Trait.BAD_IDS, Trait.BAD_TABLE_IDS, Trait.STRIDED)
                  : Set.of(Trait.BAD_IDS, Trait.BAD_TABLE_IDS));
        }
        cases.add(
            EmbeddingGather.Spec.of(DType.F16, 7, 768, policy)
                .withIds(ids)
                .withOut(DType.BF16)
                .withTables(vocabs(3)),
            Shape.of(129),
            IndexDistribution.UNIFORM,
            ValueSet.NORMAL,
            Set.of());
      }
    }
    return cases.list;
  }

  /** Tables of growing size, one of them empty from three tables on. */
  static List<Long> vocabs(int tables) {
    return IntStream.range(0, tables).mapToObj(i -> i == 2 ? 0L : 7L + 3 * i).toList();
  }

  /** An id that was drawn for the largest table, brought into the table it belongs to. */
  static long within(List<Long> vocabs, long table, long id) {
    long vocab = table >= 0 && table < vocabs.size() ? vocabs.get((int) table) : 0;
    return vocab == 0 ? id : id % vocab;
  }

  static IndexPolicy policy(int n) {
    return IndexPolicy.values()[n % IndexPolicy.values().length];
  }

  /**
   * What is timed: tables of 1 GiB and of 1 MiB, rows of 64 to 3072 bytes, 32 MiB of rows read per
   * call; then all distributions at 512 bytes, then small calls.
   */
  public static List<Case> benchmark() {
    List<Case> cases = new ArrayList<>();
    for (long tableBytes : new long[] {GIB, MIB}) {
      for (long rowBytes : new long[] {64, 128, 256, 512, 1024, 1536, 3072}) {
        for (DType table : FLOATS) {
          cases.add(
              timed(
                  table,
                  tableBytes,
                  rowBytes,
                  (int) (32 * MIB / rowBytes),
                  IndexDistribution.UNIFORM));
        }
      }
    }
    for (IndexDistribution distribution : IndexDistribution.values()) {
      if (distribution != IndexDistribution.UNIFORM) {
        cases.add(timed(DType.F32, GIB, 512, (int) (32 * MIB / 512), distribution));
      }
    }
    for (long tableBytes : new long[] {GIB, MIB}) {
      for (long rowBytes : new long[] {512, 1536}) {
        for (int count : new int[] {1, 4, 16, 32, 96}) {
          cases.add(timed(DType.F32, tableBytes, rowBytes, count, IndexDistribution.UNIFORM));
        }
      }
    }
    return List.copyOf(cases);
  }

  /** A call that gives F32 whatever the table holds. */
  private static Case timed(
      DType table, long tableBytes, long rowBytes, int count, IndexDistribution distribution) {
    return new Case(
        "%s-table%s-row%d-n%d-%s"
            .formatted(
                table.name().toLowerCase(Locale.ROOT),
                tableBytes == GIB ? "1GiB" : "1MiB",
                rowBytes,
                count,
                distribution.name().toLowerCase(Locale.ROOT)),
        EmbeddingGather.Spec.of(
                table, tableBytes / rowBytes, rowBytes / table.byteSize(), IndexPolicy.FAIL)
            .withOut(DType.F32),
        Shape.of(count),
        distribution,
        ValueSet.NORMAL,
        Set.of(),
        rowBytes + count);
  }

  /** Collects cases, numbering them; the number is the seed. */
  private static final class Table {
    private final List<Case> list = new ArrayList<>();

    int size() {
      return list.size();
    }

    void add(
        EmbeddingGather.Spec spec,
        Shape idShape,
        IndexDistribution distribution,
        ValueSet values,
        Set<Trait> traits) {
      list.add(new Case("small-" + size(), spec, idShape, distribution, values, traits, size()));
    }
  }
}
