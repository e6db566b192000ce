package io.quern.op;

import io.quern.DType;
import io.quern.Device;
import io.quern.Shape;
import io.quern.Stream;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import java.util.SplittableRandom;

/** The calls of {@link SampleRows} that are tested and timed. */
public final class SampleRowsCases {
  /** Uniforms that have a stated meaning, and some that have none. */
  private static final float[] AWKWARD = {
    0, 1, Float.MIN_VALUE, 0x1p-24f, 1 - 0x1p-24f, -0.0f, 2, -1, Float.NaN
  };

  private SampleRowsCases() {}

  /**
   * A call.
   *
   * @param seeded whether numbers come from seeds
   * @param withAll whether scores and values are asked for
   * @param values what x holds; with SPECIAL uniforms may lie outside (0, 1), too
   */
  public record Case(
      String id,
      SampleRows.Spec spec,
      long rows,
      boolean seeded,
      boolean withAll,
      ValueSet values,
      Set<Trait> traits,
      long seed)
      implements OperatorCase {
    public Case {
      traits = Set.copyOf(traits);
    }

    /** The inputs, the same for every call. */
    public Inputs inputs() {
      RandomRows x = new RandomRows(spec.x(), Shape.of(rows, spec.dim()), values, seed);
      SplittableRandom random = new SplittableRandom(~seed);
      if (seeded) {
        return new Inputs(
            x, null, random.longs(rows).toArray(), random.longs(rows, -5, 1L << 40).toArray());
      }
      float[] uniforms = new float[Math.toIntExact(rows * spec.dim())];
      for (int i = 0; i < uniforms.length; i++) {
        boolean awkward = values == ValueSet.SPECIAL && random.nextInt(8) == 0;
        uniforms[i] =
            awkward
                ? AWKWARD[random.nextInt(AWKWARD.length)]
                : (random.nextInt(1 << 23) * 2 + 1) * 0x1p-24f;
      }
      return new Inputs(x, uniforms, null, null);
    }

    @Override
    public Outcome expected() {
      return RowsReference.sample(this);
    }

    @Override
    public PreparedCase prepare(Device device, Stream stream, OperandMemory memory) {
      return new Prepared(this, device, stream, memory);
    }

    @Override
    public String toString() {
      return "sample %s %s rows %d %s %s %s seed %d"
          .formatted(id, spec, rows, seeded ? "seeded" : "given", values, traits, seed);
    }
  }

  /**
   * What a case reads.
   *
   * @param uniforms [rows · dim], null where there are seeds
   */
  public record Inputs(RandomRows x, float[] uniforms, long[] seeds, long[] positions) {}

  private static final class Prepared extends PreparedCase {
    private final SampleRows plan;
    private final SampleRows.Operands operands;

    Prepared(Case of, Device device, Stream stream, OperandMemory memory) {
      super(stream, memory, of.traits.contains(Trait.STRIDED));
      Inputs in = of.inputs();
      Shape shape = of.spec.outputShape(of.rows);
      Shape perRow = Shape.of(of.rows);
      operands =
          new SampleRows.Operands(
              matrix("x", in.x),
              of.seeded ? null : matrix("uniforms", DType.F32, in.x.shape(), bytes(in.uniforms)),
              of.seeded ? indices("seeds", DType.I64, perRow, in.seeds) : null,
              of.seeded ? indices("positions", DType.I64, perRow, in.positions) : null,
              of.withAll ? output("scores", DType.F32, shape) : null,
              of.withAll ? output("values", DType.F32, shape) : null,
              output("indices", DType.I32, shape));
      plan = SampleRows.plan(device, of.spec);
    }

    @Override
    public void run() {
      plan.run(stream(), operands);
    }
  }

  static byte[] bytes(float[] values) {
    byte[] bytes = new byte[values.length * Float.BYTES];
    MemorySegment.copy(
        values,
        0,
        MemorySegment.ofArray(bytes),
        ValueLayout.JAVA_FLOAT_UNALIGNED,
        0,
        values.length);
    return bytes;
  }

  private static final int[][] DIMS_AND_KS = {
    {0, 0}, {1, 1}, {7, 3}, {64, 64}, {66, 9}, {300, 40}, {1001, 16}, {1001, 65}, {4101, 20}
  };

  /** Tiny to middling calls that together meet every branch of a kernel. */
  public static List<Case> small() {
    List<Case> cases = new ArrayList<>();
    for (int[] each : DIMS_AND_KS) {
      for (DType x : EmbeddingGatherCases.FLOATS) {
        for (ValueSet values : new ValueSet[] {ValueSet.NORMAL, ValueSet.SPECIAL}) {
          for (boolean seeded : new boolean[] {false, true}) {
            int n = cases.size();
            cases.add(
                new Case(
                    "small-" + n,
                    SampleRows.Spec.of(x, each[0], each[1])
                        .withScale(n % 2 == 0 ? 1 : 1 / 0.6f)
                        .withPurpose(n),
                    each[0] > 1000 ? 2 : 3,
                    seeded,
                    n % 4 != 3,
                    values,
                    n % 3 == 0 ? Set.of(Trait.STRIDED) : Set.of(),
                    n));
          }
        }
      }
    }
    for (boolean seeded : new boolean[] {false, true}) {
      cases.add(
          new Case(
              "shared-" + seeded,
              SampleRows.Spec.of(DType.F32, 3000, 3),
              6,
              seeded,
              true,
              ValueSet.NORMAL,
              Set.of(),
              7));
    }
    return cases;
  }

  /** What is timed: one token and eight of vocabularies, from given and from seeded numbers. */
  public static List<Case> benchmark() {
    List<Case> cases = new ArrayList<>();
    for (boolean seeded : new boolean[] {false, true}) {
      for (int k : new int[] {1, 8}) {
        cases.add(
            new Case(
                String.format(Locale.ROOT, "f32-8x32000-k%d-%s", k, seeded ? "seeded" : "given"),
                SampleRows.Spec.of(DType.F32, 32_000, k),
                8,
                seeded,
                true,
                ValueSet.NORMAL,
                Set.of(),
                k));
      }
    }
    return List.copyOf(cases);
  }
}
