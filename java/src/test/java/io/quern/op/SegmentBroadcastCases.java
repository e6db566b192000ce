package io.quern.op;

import io.quern.Buffer;
import io.quern.DType;
import io.quern.Device;
import io.quern.InvalidDataException.Kind;
import io.quern.Shape;
import io.quern.Stream;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.SplittableRandom;

/** The calls of {@link SegmentBroadcast} that are tested. */
public final class SegmentBroadcastCases {
  private SegmentBroadcastCases() {}

  /** A call. */
  public record Case(
      String id,
      SegmentBroadcast.Spec spec,
      int segments,
      int tokens,
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
      return new RandomRows(spec.x(), Shape.of(segments, spec.dim()), values, seed);
    }

    private long[] ids() {
      SplittableRandom random = new SplittableRandom(seed);
      long[] ids = random.longs(tokens, 0, Math.max(1, segments)).toArray();
      if (traits.contains(Trait.BAD_IDS)) {
        BadIndices.amongIds(ids, segments, spec.ids(), random);
      }
      return ids;
    }

    @Override
    public Outcome expected() {
      ReferenceRows out = new ReferenceRows("out", spec.out(), tokens, spec.dim(), strided());
      ReferenceRows.Faults faults = new ReferenceRows.Faults("SegmentBroadcast");
      long[] ids = ids();
      for (int i = 0; i < tokens && spec.dim() > 0; i++) {
        long id = ids[i];
        if (id >= 0 && id < segments) {
          out.copy(x(), id, i);
        } else if (id == -1 || spec.policy() == IndexPolicy.ZERO) {
          out.zeros(i);
        } else if (spec.policy() == IndexPolicy.FAIL) {
          faults.add(Kind.INDEX, i, id, segments);
          out.zeros(i);
        } else if (spec.policy() == IndexPolicy.CLAMP) {
          if (segments == 0) {
            out.zeros(i);
          } else {
            out.copy(x(), id < 0 ? 0 : segments - 1, i);
          }
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
    private final SegmentBroadcast plan;
    private final Buffer x;
    private final Buffer ids;
    private final Buffer out;

    Prepared(Case of, Device device, Stream stream, OperandMemory memory) {
      super(stream, memory, of.strided());
      x = matrix("x", of.x());
      ids = indices("ids", of.spec.ids(), Shape.of(of.tokens), of.ids());
      out = output(of.spec.out(), of.spec.outputShape(of.tokens));
      plan = SegmentBroadcast.plan(device, of.spec);
    }

    @Override
    public void run() {
      plan.run(stream(), x, ids, out);
    }
  }

  /** Small calls; the kernels are those of {@link EmbeddingGather}, whose own cases go further. */
  public static List<Case> small() {
    List<Case> cases = new ArrayList<>();
    for (IndexPolicy policy : IndexPolicy.values()) {
      for (DType from : EmbeddingGatherCases.FLOATS) {
        for (DType to : EmbeddingGatherCases.FLOATS) {
          int n = cases.size();
          SegmentBroadcast.Spec spec =
              SegmentBroadcast.Spec.of(from, n % 2 == 0 ? 19 : 64, policy)
                  .withIds(EmbeddingGatherCases.INDICES.get(n % 2))
                  .withOut(to);
          Set<Trait> traits =
              n % 3 == 0 ? Set.of(Trait.STRIDED, Trait.BAD_IDS) : Set.of(Trait.BAD_IDS);
          cases.add(
              new Case(
                  "broadcast-" + n,
                  spec,
                  n % 9 == 8 ? 0 : 7,
                  40,
                  ValueSet.values()[n % 3],
                  n % 4 == 0 ? Set.of() : traits,
                  n));
        }
      }
    }
    return cases;
  }

  static List<MisuseCall> misuses() {
    return List.of(
        new MisuseCall(
            "broadcast",
            "SegmentBroadcast",
            MisuseCall.operands(
                "x",
                MisuseCall.Operand.in(DType.F32, 3, 4).ofAnyExtents(),
                "ids",
                MisuseCall.Operand.in(DType.I32, 6),
                "out",
                MisuseCall.Operand.out(DType.F16, 6, 4)),
            device -> {
              var plan =
                  SegmentBroadcast.plan(
                      device,
                      SegmentBroadcast.Spec.of(DType.F32, 4, IndexPolicy.FAIL).withOut(DType.F16));
              return (stream, of) -> plan.run(stream, of.get("x"), of.get("ids"), of.get("out"));
            }));
  }
}
