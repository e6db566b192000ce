package io.quern.op;

import io.quern.DType;
import io.quern.Device;
import io.quern.Shape;
import io.quern.Stream;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.SplittableRandom;

/** The calls of {@link BeamExpand} that are tested and timed. */
public final class BeamExpandCases {
  private static final float[] AWKWARD = {
    Float.NaN, Float.NEGATIVE_INFINITY, Float.POSITIVE_INFINITY, 0, -0.0f
  };

  private BeamExpandCases() {}

  /** What the inputs of a case hold. */
  public enum Scores {
    /** Log-probabilities, or probabilities. */
    PLAIN,
    /** Few different ones. */
    TIES,
    /** Infinities, NaNs and zeros of both signs among them. */
    SPECIAL
  }

  /**
   * A call.
   *
   * @param biased whether a bias is given
   * @param missing whether some candidates do not exist
   */
  public record Case(
      String id,
      BeamExpand.Spec spec,
      int requests,
      boolean biased,
      boolean withWeights,
      boolean missing,
      Scores values,
      Set<Trait> traits,
      long seed)
      implements OperatorCase {
    public Case {
      traits = Set.copyOf(traits);
    }

    /** The inputs, the same for every call. */
    public Inputs inputs() {
      SplittableRandom random = new SplittableRandom(seed);
      int lists = (int) spec.lists(requests) * spec.candidates();
      int beams = requests * spec.beams();
      boolean stochastic = spec.mode() == BeamExpand.Mode.STOCHASTIC;
      int[] tokens = random.ints(lists, missing ? -9 : 0, 60).toArray();
      float[] inputs = new float[lists];
      for (int i = 0; i < lists; i++) {
        inputs[i] = spec.probabilities() ? Math.abs(next(random)) : -Math.abs(next(random)) * 3;
      }
      return new Inputs(
          tokens,
          inputs,
          stochastic ? floats(random, beams * spec.candidates()) : null,
          biased ? floats(random, beams * spec.candidates()) : null,
          floats(random, beams),
          stochastic ? floats(random, beams) : null);
    }

    private float[] floats(SplittableRandom random, int n) {
      float[] floats = new float[n];
      for (int i = 0; i < n; i++) {
        floats[i] = next(random);
      }
      return floats;
    }

    private float next(SplittableRandom random) {
      return switch (values) {
        case PLAIN -> (float) random.nextGaussian();
        case TIES -> random.nextInt(-2, 3);
        case SPECIAL ->
            random.nextInt(6) == 0
                ? AWKWARD[random.nextInt(AWKWARD.length)]
                : (float) random.nextGaussian();
      };
    }

    @Override
    public Outcome expected() {
      return RowsReference.expand(this);
    }

    @Override
    public PreparedCase prepare(Device device, Stream stream, OperandMemory memory) {
      return new Prepared(this, device, stream, memory);
    }

    @Override
    public String toString() {
      return "beams %s %s requests %d bias %s missing %s %s %s seed %d"
          .formatted(id, spec, requests, biased, missing, values, traits, seed);
    }
  }

  /** What a case reads, row by row; what it does not read is null. */
  public record Inputs(
      int[] tokens,
      float[] inputs,
      float[] noisy,
      float[] bias,
      float[] scores,
      float[] perturbed) {}

  private static final class Prepared extends PreparedCase {
    private final BeamExpand plan;
    private final BeamExpand.Operands operands;

    Prepared(Case of, Device device, Stream stream, OperandMemory memory) {
      super(stream, memory, of.traits.contains(Trait.STRIDED));
      Inputs in = of.inputs();
      BeamExpand.Spec spec = of.spec;
      Shape lists = Shape.of(spec.lists(of.requests), spec.candidates());
      Shape rows = Shape.of((long) of.requests * spec.beams(), spec.candidates());
      Shape beams = Shape.of(of.requests, spec.beams());
      Shape out = spec.outputShape(of.requests);
      boolean stochastic = spec.mode() == BeamExpand.Mode.STOCHASTIC;
      operands =
          new BeamExpand.Operands(
              matrix("tokens", DType.I32, lists, bytes(in.tokens)),
              matrix("inputs", DType.F32, lists, SampleRowsCases.bytes(in.inputs)),
              stochastic ? matrix("noisy", DType.F32, rows, SampleRowsCases.bytes(in.noisy)) : null,
              of.biased ? matrix("bias", DType.F32, rows, SampleRowsCases.bytes(in.bias)) : null,
              matrix("scores", DType.F32, beams, SampleRowsCases.bytes(in.scores)),
              stochastic
                  ? matrix("perturbed", DType.F32, beams, SampleRowsCases.bytes(in.perturbed))
                  : null,
              output("outParents", DType.I32, out),
              output("outTokens", DType.I32, out),
              output("outScores", DType.F32, out),
              stochastic ? output("outPerturbed", DType.F32, out) : null,
              of.withWeights ? output("outWeights", DType.F32, out) : null);
      plan = BeamExpand.plan(device, spec);
    }

    @Override
    public void run() {
      plan.run(stream(), operands);
    }
  }

  private static byte[] bytes(int[] values) {
    byte[] bytes = new byte[values.length * Integer.BYTES];
    MemorySegment.copy(
        values, 0, MemorySegment.ofArray(bytes), ValueLayout.JAVA_INT_UNALIGNED, 0, values.length);
    return bytes;
  }

  private static final int[][] SIZES = { // beams, candidates, keep
    {0, 4, 3},
    {4, 0, 3},
    {1, 1, 0},
    {1, 1, 1},
    {1, 1, 3},
    {3, 5, 4},
    {4, 50, 4},
    {8, 64, 8},
    {7, 33, 40},
    {5, 200, 70},
    {2, 3, 50}
  };

  /** Tiny to middling calls that together meet every branch of a kernel. */
  public static List<Case> small() {
    List<Case> cases = new ArrayList<>();
    for (int[] size : SIZES) {
      for (BeamExpand.Mode mode : BeamExpand.Mode.values()) {
        for (Scores values : Scores.values()) {
          BeamExpand.Spec spec = BeamExpand.Spec.of(mode, size[0], size[1], size[2]);
          add(cases, values, spec);
          add(cases, values, spec.withSharedCandidates().withScale(0.5f));
          add(cases, values, spec.withProbabilities());
          add(cases, values, spec.withSharedCandidates().withProbabilities().withThreshold(-2));
        }
      }
    }
    return cases;
  }

  /** Adds a case that chooses the rest by its number. */
  private static void add(List<Case> cases, Scores values, BeamExpand.Spec spec) {
    int n = cases.size();
    cases.add(
        new Case(
            "small-" + n,
            spec,
            n % 5,
            spec.mode() == BeamExpand.Mode.SUM && n % 2 == 0,
            n % 3 != 1,
            n % 4 < 2,
            values,
            n % 3 == 0 ? Set.of(Trait.STRIDED) : Set.of(),
            n));
  }

  /** What is timed: a step of a draft tree, and one of stochastic beam search. */
  public static List<Case> benchmark() {
    List<Case> cases = new ArrayList<>();
    for (BeamExpand.Mode mode : BeamExpand.Mode.values()) {
      cases.add(
          new Case(
              mode == BeamExpand.Mode.SUM ? "sum-8x10x10-keep10" : "stochastic-8x10x10-keep10",
              BeamExpand.Spec.of(mode, 10, 10, 10),
              8,
              false,
              false,
              false,
              Scores.PLAIN,
              Set.of(),
              1));
    }
    return List.copyOf(cases);
  }
}
