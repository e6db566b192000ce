package io.quern.op;

import io.quern.Buffer;
import io.quern.DType;
import io.quern.Device;
import io.quern.InvalidDataException.Kind;
import io.quern.Shape;
import io.quern.Stream;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Set;
import java.util.SplittableRandom;

/** The calls of {@link SegmentReduce} that are tested. */
public final class SegmentReduceCases {
  private SegmentReduceCases() {}

  /**
   * A call.
   *
   * @param lengths rows of each segment
   */
  public record Case(
      String id,
      SegmentReduce.Spec spec,
      List<Integer> lengths,
      ValueSet values,
      Set<Trait> traits,
      long seed)
      implements OperatorCase {
    public Case {
      lengths = List.copyOf(lengths);
      traits = Set.copyOf(traits);
    }

    private boolean strided() {
      return traits.contains(Trait.STRIDED);
    }

    private int rows() {
      return (strided() ? 6 : 0) + lengths.stream().mapToInt(n -> n).sum();
    }

    private RandomRows x() {
      return new RandomRows(spec.x(), Shape.of(rows(), spec.dim()), values, seed);
    }

    private long[] offsets() {
      long[] offsets = ReferenceRows.offsets(lengths, strided() ? 3 : 0);
      if (traits.contains(Trait.BAD_OFFSETS)) {
        BadIndices.among(offsets, rows() + 1L, spec.offsets(), new SplittableRandom(~seed));
      }
      return offsets;
    }

    private int[] weights() {
      if (!traits.contains(Trait.WEIGHTED)) {
        return null;
      }
      SplittableRandom random = new SplittableRandom(seed + 1);
      int[] weights = new int[rows()];
      Arrays.setAll(weights, i -> values.next(DType.F32, random));
      return weights;
    }

    private RandomRows fallback() {
      if (spec.empty() != EmptyBagPolicy.FALLBACK) {
        return null;
      }
      int rows = traits.contains(Trait.ONE_FALLBACK) ? 1 : lengths.size();
      return new RandomRows(spec.x(), Shape.of(rows, spec.dim()), values, -seed - 1);
    }

    @Override
    public Outcome expected() {
      ReferenceRows out =
          new ReferenceRows("out", spec.out(), lengths.size(), spec.dim(), strided());
      ReferenceRows.Faults faults = new ReferenceRows.Faults("SegmentReduce");
      long[] offsets = offsets();
      long rows = rows();
      for (int s = 0; s < lengths.size() && spec.dim() > 0; s++) {
        long begin = offsets[s];
        long end = offsets[s + 1];
        boolean badBegin = begin < 0 || begin > rows;
        if (badBegin || end < begin || end > rows) {
          if (spec.policy() == IndexPolicy.CLAMP) {
            begin = Math.clamp(begin, 0, rows);
            end = Math.max(begin, Math.clamp(end, 0, rows));
          } else {
            if (spec.policy() == IndexPolicy.FAIL) {
              faults.add(Kind.OFFSETS, s, badBegin ? begin : end, rows);
            }
            if (spec.policy() != IndexPolicy.SKIP) {
              out.zeros(s);
            }
            continue;
          }
        }
        combine(out, s, begin, end);
      }
      return new Outcome(List.of(out.output()), faults.lowest());
    }

    private void combine(ReferenceRows out, int s, long begin, long end) {
      RandomRows x = x();
      if (begin == end) {
        switch (spec.empty()) {
          case ZERO -> out.zeros(s);
          case KEEP -> {}
          case FALLBACK -> out.copy(fallback(), fallback().shape().dim(0) == 1 ? 0 : s, s);
        }
        return;
      }
      int[] weights = weights();
      for (int d = 0; d < spec.dim(); d++) {
        float total = 0;
        float weight = 0;
        float max = Float.NEGATIVE_INFINITY;
        float min = Float.POSITIVE_INFINITY;
        for (long chunk = begin; chunk < end; chunk += 64) {
          float sum = 0;
          float sumOfWeights = 0;
          for (long j = chunk; j < Math.min(end, chunk + 64); j++) {
            float value = ReferenceRows.value(x, j, d);
            float w = weights == null ? 1 : Float.intBitsToFloat(weights[(int) j]);
            sum = Math.fma(w, value, sum);
            sumOfWeights += w;
            max = ReferenceRows.max(max, value);
            min = -ReferenceRows.max(-min, -value);
          }
          total += sum;
          weight += sumOfWeights;
        }
        switch (spec.combine()) {
          case SUM -> out.set(s, d, total);
          case MEAN -> out.set(s, d, total / (end - begin));
          case WEIGHTED_MEAN -> out.set(s, d, total / weight);
          case MAX -> out.set(s, d, max);
          case MIN -> out.set(s, d, min == 0 ? 0 : min);
          case FIRST, LAST -> {
            out.copy(x, spec.combine() == Combine.FIRST ? begin : end - 1, s);
            return;
          }
        }
      }
    }

    @Override
    public PreparedCase prepare(Device device, Stream stream, OperandMemory memory) {
      return new Prepared(this, device, stream, memory);
    }
  }

  private static final class Prepared extends PreparedCase {
    private final SegmentReduce plan;
    private final SegmentReduce.Operands operands;

    Prepared(Case of, Device device, Stream stream, OperandMemory memory) {
      super(stream, memory, of.strided());
      long[] offsets = of.offsets();
      Buffer at = indices("offsets", of.spec.offsets(), Shape.of(offsets.length), offsets);
      SegmentReduce.Operands operands =
          SegmentReduce.Operands.of(
              matrix("x", of.x()),
              at,
              output(of.spec.out(), of.spec.outputShape(of.lengths.size())));
      if (of.weights() != null) {
        operands = operands.withWeights(weights(of.weights()));
      }
      if (of.fallback() != null) {
        operands = operands.withFallback(matrix("fallback", of.fallback()));
      }
      this.operands = operands;
      plan = SegmentReduce.plan(device, of.spec);
    }

    @Override
    public void run() {
      plan.run(stream(), operands);
    }
  }

  /** Small calls; the kernels are those of {@link EmbeddingBag}, whose own cases go further. */
  public static List<Case> small() {
    List<Case> cases = new ArrayList<>();
    List<Integer> lengths = List.of(3, 0, 1, 64, 65, 0, 130, 7);
    for (Combine combine : Combine.values()) {
      for (DType dtype : EmbeddingGatherCases.FLOATS) {
        for (IndexPolicy policy : IndexPolicy.values()) {
          int n = cases.size();
          SegmentReduce.Spec spec =
              SegmentReduce.Spec.of(dtype, n % 2 == 0 ? 33 : 64, combine, policy)
                  .withOffsets(EmbeddingGatherCases.INDICES.get(n % 2))
                  .withOut(EmbeddingGatherCases.FLOATS.get(n / 2 % 3))
                  .withEmpty(EmptyBagPolicy.values()[n % 3]);
          List<Trait> traits = new ArrayList<>();
          if (n % 3 == 0) {
            traits.add(Trait.STRIDED);
          }
          if (n % 4 == 1) {
            traits.add(Trait.BAD_OFFSETS);
          }
          if (combine == Combine.WEIGHTED_MEAN || (combine == Combine.SUM && n % 2 == 0)) {
            traits.add(Trait.WEIGHTED);
          }
          if (n % 5 == 0) {
            traits.add(Trait.ONE_FALLBACK);
          }
          ValueSet values = ValueSet.values()[n % 7 % 3];
          cases.add(new Case("segments-" + n, spec, lengths, values, Set.copyOf(traits), n));
        }
      }
    }
    SegmentReduce.Spec none = SegmentReduce.Spec.of(DType.F32, 8, Combine.SUM, IndexPolicy.FAIL);
    cases.add(new Case("no-segments", none, List.of(), ValueSet.NORMAL, Set.of(), 1));
    cases.add(new Case("no-rows", none, List.of(0, 0), ValueSet.NORMAL, Set.of(), 1));
    return cases;
  }

  static List<MisuseCall> misuses() {
    return List.of(
        new MisuseCall(
            "segments",
            "SegmentReduce",
            MisuseCall.operands(
                "x",
                MisuseCall.Operand.in(DType.F32, 6, 4),
                "offsets",
                MisuseCall.Operand.in(DType.I64, 4),
                "weights",
                MisuseCall.Operand.in(DType.F32, 6).with(MisuseCall.Missing.NEEDED),
                "fallback",
                MisuseCall.Operand.in(DType.F32, 3, 4).with(MisuseCall.Missing.NEEDED),
                "out",
                MisuseCall.Operand.out(DType.F16, 3, 4)),
            device -> {
              var plan =
                  SegmentReduce.plan(
                      device,
                      SegmentReduce.Spec.of(DType.F32, 4, Combine.WEIGHTED_MEAN, IndexPolicy.FAIL)
                          .withOffsets(DType.I64)
                          .withOut(DType.F16)
                          .withEmpty(EmptyBagPolicy.FALLBACK));
              return (stream, of) ->
                  plan.run(
                      stream,
                      SegmentReduce.Operands.of(of.get("x"), of.get("offsets"), of.get("out"))
                          .withWeights(of.get("weights"))
                          .withFallback(of.get("fallback")));
            }));
  }
}
