package io.quern.op;

import static java.lang.foreign.ValueLayout.JAVA_INT_UNALIGNED;
import static java.lang.foreign.ValueLayout.JAVA_LONG_UNALIGNED;
import static java.lang.foreign.ValueLayout.JAVA_SHORT_UNALIGNED;

import io.quern.Buffer;
import io.quern.DType;
import io.quern.Device;
import io.quern.InvalidDataException;
import io.quern.InvalidDataException.Kind;
import io.quern.Shape;
import io.quern.Stream;
import io.quern.op.MisuseCall.Operand;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.SplittableRandom;

/** The calls of {@link ScatterRows} that are tested and timed. */
public final class ScatterRowsCases {
  private static final long MIB = 1L << 20;

  private ScatterRowsCases() {}

  /**
   * A call.
   *
   * @param count rows that are scattered
   * @param places rows of the output
   * @param distribution how ids are drawn
   * @param values what rows and output hold; integers are random bits
   */
  public record Case(
      String id,
      ScatterRows.Spec spec,
      int count,
      int places,
      IndexDistribution distribution,
      ValueSet values,
      Set<Trait> traits,
      long seed)
      implements OperatorCase {
    public Case {
      traits = Set.copyOf(traits);
    }

    private boolean strided() {
      return traits.contains(Trait.STRIDED);
    }

    /** The ids, the same for every call. */
    public long[] ids() {
      SplittableRandom random = new SplittableRandom(seed);
      long[] ids = distribution.draw(count, places, random);
      if (traits.contains(Trait.BAD_IDS)) {
        BadIndices.amongIds(ids, places, spec.ids(), random);
      }
      return ids;
    }

    /** The rows' memory, gaps included. */
    public byte[] x() {
      return elements(spec.x(), Shape.of(count, spec.dim()), ~seed);
    }

    /** The output's memory before a run, gaps included. */
    public byte[] before() {
      return elements(spec.out(), Shape.of(places, spec.dim()), seed ^ Long.MIN_VALUE);
    }

    private byte[] elements(DType dtype, Shape shape, long seed) {
      SplittableRandom random = new SplittableRandom(seed);
      long count = PreparedCase.elements(strided(), shape);
      byte[] bytes = new byte[Math.toIntExact(count * dtype.byteSize())];
      for (int i = 0; i < count; i++) {
        set(bytes, dtype, i, dtype.isIndex() ? random.nextLong() : values.next(dtype, random));
      }
      return bytes;
    }

    @Override
    public Outcome expected() {
      byte[] x = x();
      byte[] out = before();
      long[] ids = ids();
      InvalidDataException fault = null;
      Map<Long, List<Integer>> rows = new HashMap<>(); // by destination, ascending
      for (int i = 0; i < count && places * spec.dim() > 0; i++) {
        long id = ids[i];
        if (id != -1 && (id < 0 || id >= places)) {
          if (spec.policy() == IndexPolicy.FAIL && fault == null) {
            fault = new InvalidDataException("ScatterRows", Kind.INDEX, i, id, places);
          }
          id = spec.policy() != IndexPolicy.CLAMP || places == 0 ? -1 : id < 0 ? 0 : places - 1;
        }
        if (id != -1) {
          rows.computeIfAbsent(id, missing -> new ArrayList<>()).add(i);
        }
      }
      rows.forEach(
          (place, from) -> {
            for (int d = 0; d < spec.dim(); d++) {
              long at = position(place, d);
              set(out, spec.out(), at, combined(x, from, d, bits(out, spec.out(), at)));
            }
          });
      return new Outcome(List.of(new Outcome.Output("out", spec.out(), out)), fault);
    }

    private long combined(byte[] x, List<Integer> rows, int d, long before) {
      if (spec.mode() == ScatterMode.SET) {
        long last = bits(x, spec.x(), position(rows.getLast(), d));
        return spec.x() == spec.out()
            ? last
            : EmbeddingReference.encode(
                spec.out(), EmbeddingReference.decode(spec.x(), (int) last));
      }
      float old = EmbeddingReference.decode(spec.out(), (int) before);
      float[] chunks = new float[(rows.size() + 63) / 64];
      float best = old;
      for (int k = 0; k < rows.size(); k++) {
        long bits = bits(x, spec.x(), position(rows.get(k), d));
        float value = EmbeddingReference.decode(spec.x(), (int) bits);
        chunks[k / 64] += value;
        best = Float.isNaN(best) || Float.isNaN(value) ? Float.NaN : Math.max(best, value);
      }
      float total = 0;
      for (float chunk : chunks) {
        total += chunk;
      }
      float result = spec.mode() == ScatterMode.ADD ? old + total : best == 0 ? 0 : best;
      return EmbeddingReference.encode(spec.out(), result);
    }

    private long position(long row, int d) {
      return PreparedCase.position(strided(), row, d, spec.dim());
    }

    private static long bits(byte[] bytes, DType dtype, long i) {
      MemorySegment segment = MemorySegment.ofArray(bytes);
      return switch (dtype.byteSize()) {
        case Short.BYTES -> segment.getAtIndex(JAVA_SHORT_UNALIGNED, i) & 0xffff;
        case Integer.BYTES -> segment.getAtIndex(JAVA_INT_UNALIGNED, i);
        default -> segment.getAtIndex(JAVA_LONG_UNALIGNED, i);
      };
    }

    private static void set(byte[] bytes, DType dtype, long i, long bits) {
      MemorySegment segment = MemorySegment.ofArray(bytes);
      switch (dtype.byteSize()) {
        case Short.BYTES -> segment.setAtIndex(JAVA_SHORT_UNALIGNED, i, (short) bits);
        case Integer.BYTES -> segment.setAtIndex(JAVA_INT_UNALIGNED, i, (int) bits);
        default -> segment.setAtIndex(JAVA_LONG_UNALIGNED, i, bits);
      }
    }

    @Override
    public PreparedCase prepare(Device device, Stream stream, OperandMemory memory) {
      return new Prepared(this, device, stream, memory);
    }

    @Override
    public String toString() {
      return "scatter %s %s %d rows to %d places %s %s %s seed %d"
          .formatted(id, spec, count, places, distribution, values, traits, seed);
    }
  }

  private static final class Prepared extends PreparedCase {
    private final ScatterRows plan;
    private final Buffer x;
    private final Buffer ids;
    private final Buffer out;
    private final Buffer workspace;

    Prepared(Case of, Device device, Stream stream, OperandMemory memory) {
      super(stream, memory, of.strided());
      Shape xShape = Shape.of(of.count, of.spec.dim());
      Shape outShape = Shape.of(of.places, of.spec.dim());
      x = rows(input("x", of.spec.x(), flat(of, xShape), of.x()), xShape);
      ids = indices("ids", of.spec.ids(), Shape.of(of.count), of.ids());
      out = rows(updated("out", of.spec.out(), flat(of, outShape), of.before()), outShape);
      plan = ScatterRows.plan(device, of.spec);
      long bytes = plan.workspaceBytes(of.count);
      workspace = bytes == 0 ? null : workspace(bytes);
    }

    private static Shape flat(Case of, Shape shape) {
      return Shape.of(elements(of.strided(), shape));
    }

    @Override
    public void run() {
      plan.run(stream(), x, ids, out, workspace);
    }
  }

  /** A call that is right. */
  static List<MisuseCall> misuses() {
    return List.of(
        new MisuseCall(
            "scatter",
            "ScatterRows",
            MisuseCall.operands(
                "x",
                Operand.in(DType.F16, 6, 4),
                "ids",
                Operand.in(DType.I64, 6),
                "out",
                Operand.out(DType.F32, 5, 4).ofAnyExtents(),
                "workspace",
                Operand.in(DType.U8, 4096).with(MisuseCall.Missing.ALLOWED).ofAnyExtents()),
            device -> {
              var plan =
                  ScatterRows.plan(
                      device,
                      ScatterRows.Spec.of(DType.F16, ScatterMode.SET, 4, IndexPolicy.FAIL)
                          .withIds(DType.I64)
                          .withOut(DType.F32));
              return (stream, of) ->
                  plan.run(stream, of.get("x"), of.get("ids"), of.get("out"), of.get("workspace"));
            }));
  }

  /** Tiny to middling calls that together meet every branch of a kernel. */
  public static List<Case> small() {
    Table cases = new Table();
    for (long dim : new long[] {0, 1, 3, 8, 17, 31, 64, 129, 384, 8200}) {
      for (DType x : EmbeddingGatherCases.FLOATS) {
        for (DType out : EmbeddingGatherCases.FLOATS) {
          for (ScatterMode mode : ScatterMode.values()) {
            int n = cases.list.size();
            cases.add(
                new ScatterRows.Spec(
                    x,
                    EmbeddingGatherCases.INDICES.get(n & 1),
                    out,
                    mode,
                    dim,
                    EmbeddingGatherCases.policy(n / 3)),
                dim > 1000 ? 7 : 29,
                dim > 1000 ? 5 : 19,
                IndexDistribution.UNIFORM,
                ValueSet.NORMAL,
                n % 3 == 0 ? Set.of(Trait.STRIDED, Trait.BAD_IDS) : Set.of(Trait.BAD_IDS));
          }
        }
      }
    }
    for (ScatterMode mode : ScatterMode.values()) {
      for (int count : new int[] {0, 1, 64, 65, 200, 700}) {
        for (int places : new int[] {0, 1, 3, 1000}) {
          for (IndexPolicy policy : IndexPolicy.values()) {
            cases.add(
                ScatterRows.Spec.of(DType.F32, mode, 5, policy),
                count,
                places,
                IndexDistribution.UNIFORM,
                ValueSet.NORMAL,
                Set.of(Trait.BAD_IDS));
          }
        }
      }
      for (DType x : EmbeddingGatherCases.FLOATS) {
        for (DType out : EmbeddingGatherCases.FLOATS) {
          for (ValueSet values : new ValueSet[] {ValueSet.SUBNORMAL, ValueSet.SPECIAL}) {
            cases.add(
                ScatterRows.Spec.of(x, mode, 40, IndexPolicy.SKIP).withOut(out),
                100,
                30,
                IndexDistribution.UNIFORM,
                values,
                Set.of());
          }
        }
      }
      for (IndexDistribution distribution : IndexDistribution.values()) {
        // More than 64 KiB, so that a CPU device shares the rows among its threads.
        cases.add(
            ScatterRows.Spec.of(DType.F32, mode, 256, IndexPolicy.FAIL),
            300,
            200,
            distribution,
            ValueSet.NORMAL,
            Set.of());
        cases.add(
            ScatterRows.Spec.of(DType.F16, mode, 136, IndexPolicy.CLAMP).withOut(DType.F32),
            300,
            90,
            distribution,
            ValueSet.NORMAL,
            Set.of(Trait.STRIDED, Trait.BAD_IDS));
      }
    }
    for (DType dtype : EmbeddingGatherCases.INDICES) {
      for (long dim : new long[] {1, 4, 7, 8}) {
        cases.add(
            ScatterRows.Spec.of(dtype, ScatterMode.SET, dim, IndexPolicy.FAIL).withIds(dtype),
            81,
            60,
            IndexDistribution.UNIFORM,
            ValueSet.NORMAL,
            dim == 7 ? Set.of(Trait.STRIDED, Trait.BAD_IDS) : Set.of());
      }
    }
    return cases.list;
  }

  /**
   * What is timed: the adjacency update of Token Recycling, and 16 MiB of rows to uniform places.
   */
  public static List<Case> benchmark() {
    List<Case> cases = new ArrayList<>();
    cases.add(
        new Case(
            "i32-set-81x8-of-32000",
            ScatterRows.Spec.of(DType.I32, ScatterMode.SET, 8, IndexPolicy.FAIL),
            81,
            32000,
            IndexDistribution.UNIFORM,
            ValueSet.NORMAL,
            Set.of(),
            1));
    for (ScatterMode mode : ScatterMode.values()) {
      int count = (int) (16 * MIB / 512);
      cases.add(
          new Case(
              "f32-%s-%dx128-of-%d"
                  .formatted(mode.name().toLowerCase(Locale.ROOT), count, count / 2),
              ScatterRows.Spec.of(DType.F32, mode, 128, IndexPolicy.FAIL),
              count,
              count / 2,
              IndexDistribution.UNIFORM,
              ValueSet.NORMAL,
              Set.of(),
              2));
    }
    return List.copyOf(cases);
  }

  /** Collects cases, numbering them; the number is the seed. */
  private static final class Table {
    private final List<Case> list = new ArrayList<>();

    void add(
        ScatterRows.Spec spec,
        int count,
        int places,
        IndexDistribution distribution,
        ValueSet values,
        Set<Trait> traits) {
      list.add(
          new Case(
              "small-" + list.size(),
              spec,
              count,
              places,
              distribution,
              values,
              traits,
              list.size()));
    }
  }
}
