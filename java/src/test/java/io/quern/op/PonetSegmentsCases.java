package io.quern.op;

import io.quern.Buffer;
import io.quern.DType;
import io.quern.Device;
import io.quern.Shape;
import io.quern.Stream;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.SplittableRandom;

/** The calls of {@link PonetSegments} that are tested. */
public final class PonetSegmentsCases {
  private static final int CLS = 101;
  private static final int SEP = 102;

  private PonetSegmentsCases() {}

  /**
   * A call.
   *
   * @param specials one token in so many is special
   */
  public record Case(
      String id,
      PonetSegments.Spec spec,
      List<Integer> lengths,
      int specials,
      boolean wantsSpecial,
      Set<Trait> traits,
      long seed)
      implements OperatorCase {
    public Case {
      lengths = List.copyOf(lengths);
      traits = Set.copyOf(traits);
    }

    private int lead() {
      return traits.contains(Trait.STRIDED) ? 3 : 0;
    }

    private int count() {
      return 2 * lead() + lengths.stream().mapToInt(n -> n).sum();
    }

    private long[] offsets() {
      long[] offsets = ReferenceRows.offsets(lengths, lead());
      if (traits.contains(Trait.BAD_OFFSETS)) {
        BadIndices.among(offsets, count() + 1L, spec.offsets(), new SplittableRandom(~seed));
      }
      return offsets;
    }

    private long[] tokens() {
      SplittableRandom random = new SplittableRandom(seed);
      long[] tokens = new long[count()];
      for (int i = 0; i < tokens.length; i++) {
        tokens[i] =
            random.nextInt(specials) == 0 ? random.nextBoolean() ? CLS : SEP : random.nextInt(100);
      }
      return tokens;
    }

    @Override
    public Outcome expected() {
      ReferenceRows ids = new ReferenceRows("segmentIds", DType.I32, 1, count(), false);
      ReferenceRows special = new ReferenceRows("special", DType.BOOL, 1, count(), false);
      ReferenceRows.Faults faults = new ReferenceRows.Faults("PonetSegments");
      long[] offsets = offsets();
      long[] tokens = tokens();
      if (count() > 0 && ReferenceRows.areOffsets(offsets, count(), faults)) {
        for (int s = 0; s < lengths.size(); s++) {
          int id = -1;
          for (long t = offsets[s]; t < offsets[s + 1]; t++) {
            if (spec.rule() instanceof PonetSegments.Rule.Fixed by) {
              long length = offsets[s + 1] - offsets[s];
              ids.setBits(0, t, (int) ((t - offsets[s]) / (length / by.segments() + 1)));
              continue;
            }
            boolean here = tokens[(int) t] == CLS || tokens[(int) t] == SEP;
            boolean before =
                t > offsets[s] && (tokens[(int) t - 1] == CLS || tokens[(int) t - 1] == SEP);
            id += (here ? 1 : 0) + (before ? 1 : 0);
            ids.setBits(0, t, id);
            special.setBits(0, t, here ? 1 : 0);
          }
        }
      }
      return new Outcome(
          wantsSpecial ? List.of(ids.output(), special.output()) : List.of(ids.output()),
          faults.lowest());
    }

    @Override
    public PreparedCase prepare(Device device, Stream stream, OperandMemory memory) {
      return new Prepared(this, device, stream, memory);
    }
  }

  private static final class Prepared extends PreparedCase {
    private final PonetSegments plan;
    private final Buffer tokens;
    private final Buffer offsets;
    private final Buffer ids;
    private final Buffer special;

    Prepared(Case of, Device device, Stream stream, OperandMemory memory) {
      super(stream, memory, false);
      long[] at = of.offsets();
      offsets = indices("offsets", of.spec.offsets(), Shape.of(at.length), at);
      tokens =
          of.spec.rule() instanceof PonetSegments.Rule.Fixed
              ? null
              : indices("tokens", DType.I32, Shape.of(of.count()), of.tokens());
      ids = denseOutput("segmentIds", DType.I32, Shape.of(of.count()));
      special = of.wantsSpecial ? denseOutput("special", DType.BOOL, Shape.of(of.count())) : null;
      plan = PonetSegments.plan(device, of.spec);
    }

    @Override
    public void run() {
      plan.run(stream(), tokens, offsets, ids, special);
    }
  }

  /** Both rules over short and long sequences, and bad offsets. */
  public static List<Case> small() {
    List<Case> cases = new ArrayList<>();
    List<List<Integer>> batches =
        List.of(List.of(), List.of(0), List.of(1, 0, 9), List.of(33, 257, 600), List.of(256, 2, 7));
    for (List<Integer> lengths : batches) {
      for (int n = 0; n < 8; n++) {
        DType offsets = EmbeddingGatherCases.INDICES.get(n % 2);
        Set<Trait> traits =
            n < 4 ? Set.of() : n < 6 ? Set.of(Trait.STRIDED) : Set.of(Trait.BAD_OFFSETS);
        cases.add(
            new Case(
                "tokens-" + cases.size(),
                new PonetSegments.Spec(new PonetSegments.Rule.Tokens(CLS, SEP), offsets),
                lengths,
                1 + n * n,
                n % 3 != 0,
                traits,
                n));
        cases.add(
            new Case(
                "fixed-" + cases.size(),
                new PonetSegments.Spec(new PonetSegments.Rule.Fixed(1 + n * 5), offsets),
                lengths,
                2,
                false,
                traits,
                n));
      }
    }
    return cases;
  }
}
