package io.quern.op;

import io.quern.Buffer;
import io.quern.DType;
import io.quern.Device;
import io.quern.InvalidDataException.Kind;
import io.quern.Shape;
import io.quern.Stream;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.EnumSet;
import java.util.List;
import java.util.Set;
import java.util.SplittableRandom;

/** The calls of {@link SegmentMax} that are tested. */
public final class SegmentMaxCases {
  private SegmentMaxCases() {}

  /** A call; ids come in any order, or sorted. */
  public record Case(
      String id,
      SegmentMax.Spec spec,
      int rows,
      int segments,
      boolean sorted,
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

    private RandomRows x() {
      return new RandomRows(spec.x(), Shape.of(rows, spec.dim()), values, seed);
    }

    private long[] ids() {
      SplittableRandom random = new SplittableRandom(seed);
      long[] ids = random.longs(rows, 0, Math.max(1, segments)).toArray();
      if (sorted) {
        Arrays.sort(ids);
      }
      if (traits.contains(Trait.BAD_IDS)) {
        BadIndices.amongIds(ids, segments, spec.ids(), random);
      }
      return ids;
    }

    @Override
    public Outcome expected() {
      ReferenceRows out = new ReferenceRows("out", spec.x(), segments, spec.dim(), strided());
      ReferenceRows.Faults faults = new ReferenceRows.Faults("SegmentMax");
      RandomRows x = x();
      long[] ids = ids();
      for (int s = 0; s < segments && spec.dim() > 0; s++) {
        out.zeros(s);
        for (int d = 0; d < spec.dim(); d++) {
          float max = Float.NEGATIVE_INFINITY;
          boolean any = false;
          for (int i = 0; i < rows; i++) {
            if (ids[i] == s) {
              max = ReferenceRows.max(max, ReferenceRows.value(x, i, d));
              any = true;
            }
          }
          out.set(s, d, any ? max : 0);
        }
      }
      for (int i = 0; i < rows && segments > 0 && spec.dim() > 0; i++) {
        if (ids[i] < -1 || ids[i] >= segments) {
          faults.add(Kind.INDEX, i, ids[i], segments);
        }
      }
      return new Outcome(List.of(out.output()), faults.lowest());
    }

    @Override
    public PreparedCase prepare(Device device, Stream stream, OperandMemory memory) {
      return new Prepared(this, device, stream, memory);
    }
  }

  private static final class Prepared extends PreparedCase {
    private final SegmentMax plan;
    private final Buffer x;
    private final Buffer ids;
    private final Buffer out;
    private final Buffer workspace;

    Prepared(Case of, Device device, Stream stream, OperandMemory memory) {
      super(stream, memory, of.strided());
      x = matrix("x", of.x());
      ids = indices("ids", of.spec.ids(), Shape.of(of.rows), of.ids());
      out = output(of.spec.x(), of.spec.outputShape(of.segments));
      plan = SegmentMax.plan(device, of.spec);
      workspace = workspace(plan.workspaceBytes(of.segments));
    }

    @Override
    public void run() {
      plan.run(stream(), x, ids, out, workspace);
    }
  }

  /** Sorted and unsorted ids with gaps, empty calls, every dtype and kind of value. */
  public static List<Case> small() {
    List<Case> cases = new ArrayList<>();
    for (DType dtype : EmbeddingGatherCases.FLOATS) {
      for (int dim : new int[] {1, 8, 33, 64, 4100}) {
        for (ValueSet values : ValueSet.values()) {
          int n = cases.size();
          SegmentMax.Spec spec =
              SegmentMax.Spec.of(dtype, dim).withIds(EmbeddingGatherCases.INDICES.get(n % 2));
          Set<Trait> traits =
              switch (n % 4) {
                case 0 -> Set.of(Trait.STRIDED);
                case 1 -> Set.of(Trait.BAD_IDS);
                case 2 -> Set.of();
                default -> Set.of(Trait.STRIDED, Trait.BAD_IDS);
              };
          int rows = dim > 1000 ? 9 : 70;
          cases.add(new Case("max-" + n, spec, rows, 20, n % 3 == 0, values, traits, n));
        }
      }
    }
    SegmentMax.Spec spec = SegmentMax.Spec.of(DType.F32, 16);
    cases.add(new Case("no-segments", spec, 5, 0, false, ValueSet.NORMAL, Set.of(), 1));
    cases.add(new Case("no-rows", spec, 0, 3, false, ValueSet.NORMAL, Set.of(), 1));
    cases.add(
        new Case(
            "many",
            SegmentMax.Spec.of(DType.F32, 128),
            400,
            60,
            true,
            ValueSet.NORMAL,
            Set.of(),
            2));
    return cases;
  }

  static List<MisuseCall> misuses() {
    return List.of(
        new MisuseCall(
            "segment maximum",
            "SegmentMax",
            MisuseCall.operands(
                "x",
                MisuseCall.Operand.in(DType.F16, 6, 4),
                "ids",
                MisuseCall.Operand.in(DType.I32, 6),
                "out",
                MisuseCall.Operand.out(DType.F16, 3, 4).ofAnyExtents()),
            device -> {
              var plan = SegmentMax.plan(device, SegmentMax.Spec.of(DType.F16, 4));
              return (stream, of) -> {
                try (Buffer workspace =
                    device.allocate(DType.U8, Shape.of(plan.workspaceBytes(4)))) {
                  plan.run(stream, of.get("x"), of.get("ids"), of.get("out"), workspace);
                }
              };
            }));
  }

  /** Any call. */
  static Case random(SplittableRandom random) {
    Set<Trait> traits = EnumSet.noneOf(Trait.class);
    if (random.nextBoolean()) {
      traits.add(Trait.STRIDED);
    }
    if (random.nextInt(3) == 0) {
      traits.add(Trait.BAD_IDS);
    }
    return new Case(
        "random",
        new SegmentMax.Spec(
            EmbeddingGatherCases.FLOATS.get(random.nextInt(3)),
            EmbeddingGatherCases.INDICES.get(random.nextInt(2)),
            random.nextInt(100)),
        random.nextInt(150),
        random.nextInt(60),
        random.nextBoolean(),
        ValueSet.values()[random.nextInt(4)],
        traits,
        random.nextLong());
  }
}
