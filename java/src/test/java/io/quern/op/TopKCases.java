package io.quern.op;

import io.quern.Buffer;
import io.quern.DType;
import io.quern.Device;
import io.quern.Shape;
import io.quern.Stream;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Set;

/** The calls of {@link TopK} that are tested and timed. */
public final class TopKCases {
  private TopKCases() {}

  /**
   * A call.
   *
   * @param withValues whether values are asked for
   */
  public record Case(
      String id,
      TopK.Spec spec,
      long rows,
      boolean withValues,
      ValueSet values,
      Set<Trait> traits,
      long seed)
      implements OperatorCase {
    public Case {
      traits = Set.copyOf(traits);
    }

    /** What is ranked. */
    public RandomRows x() {
      return new RandomRows(spec.x(), Shape.of(rows, spec.dim()), values, seed);
    }

    @Override
    public Outcome expected() {
      return RowsReference.topK(this);
    }

    @Override
    public PreparedCase prepare(Device device, Stream stream, OperandMemory memory) {
      return new Prepared(this, device, stream, memory);
    }

    @Override
    public String toString() {
      return "top-k %s %s rows %d %s %s seed %d".formatted(id, spec, rows, values, traits, seed);
    }
  }

  private static final class Prepared extends PreparedCase {
    private final TopK plan;
    private final Buffer x;
    private final Buffer values;
    private final Buffer indices;

    Prepared(Case of, Device device, Stream stream, OperandMemory memory) {
      super(stream, memory, of.traits.contains(Trait.STRIDED));
      Shape shape = of.spec.outputShape(of.rows);
      x = matrix("x", of.x());
      values = of.withValues ? output("values", DType.F32, shape) : null;
      indices = output("indices", DType.I32, shape);
      plan = TopK.plan(device, of.spec);
    }

    @Override
    public void run() {
      plan.run(stream(), x, values, indices);
    }
  }

  /** Around vectors, lists, pieces and batches. */
  private static final int[][] DIMS_AND_KS = {
    {0, 0},
    {1, 0},
    {1, 1},
    {3, 1},
    {3, 3},
    {17, 5},
    {64, 1},
    {64, 64},
    {65, 8},
    {100, 32},
    {100, 33},
    {129, 65},
    {300, 64},
    {300, 300},
    {1000, 8},
    {2048, 2048},
    {2049, 40},
    {2049, 2049},
    {4097, 1},
    {4097, 70},
    {4200, 4200},
    {9000, 8},
    {9000, 100}
  };

  /** Tiny to middling calls that together meet every branch of a kernel. */
  public static List<Case> small() {
    List<Case> cases = new ArrayList<>();
    for (int[] each : DIMS_AND_KS) {
      for (DType x : EmbeddingGatherCases.FLOATS) {
        for (ValueSet values : ValueSet.values()) {
          int n = cases.size();
          cases.add(small(n, x, each[0], each[1], each[0] > 2000 ? 1 : 3, values, n % 4 != 1));
        }
      }
    }
    for (int rows : new int[] {0, 1, 40}) {
      cases.add(small(cases.size(), DType.F32, 40, 4, rows, ValueSet.NORMAL, true));
      cases.add(small(cases.size(), DType.BF16, 40, 40, rows, ValueSet.SPECIAL, true));
    }
    // Enough work for a CPU device to share it among its threads.
    cases.add(small(cases.size(), DType.F32, 5000, 8, 12, ValueSet.NORMAL, true));
    cases.add(small(cases.size(), DType.BF16, 5000, 1, 12, ValueSet.NORMAL, true));
    cases.add(small(cases.size(), DType.F16, 700, 65, 12, ValueSet.NORMAL, true));
    return cases;
  }

  private static Case small(
      int n, DType x, long dim, long k, long rows, ValueSet values, boolean withValues) {
    return new Case(
        "small-" + n,
        new TopK.Spec(x, dim, k),
        rows,
        withValues,
        values,
        n % 3 == 0 ? Set.of(Trait.STRIDED) : Set.of(),
        n);
  }

  /** What is timed: argmax and top-8 over vocabularies, and full sorts of token importances. */
  public static List<Case> benchmark() {
    List<Case> cases = new ArrayList<>();
    for (DType x : EmbeddingGatherCases.FLOATS) {
      cases.add(timed(x, 64, 128_256, 1, false));
      cases.add(timed(x, 81, 32_000, 8, true));
    }
    cases.add(timed(DType.F32, 1, 128_256, 1, false));
    cases.add(timed(DType.F32, 1, 32_000, 8, true));
    cases.add(timed(DType.F32, 64, 32_000, 1, false));
    cases.add(timed(DType.F32, 8, 128_256, 10, true));
    cases.add(timed(DType.F32, 8, 128_256, 64, true));
    cases.add(timed(DType.F32, 8, 128_256, 1000, true));
    cases.add(timed(DType.F32, 8, 32_000, 32_000, true));
    cases.add(timed(DType.F32, 64, 197, 197, true));
    return List.copyOf(cases);
  }

  private static Case timed(DType x, long rows, long dim, long k, boolean withValues) {
    return new Case(
        "%s-%dx%d-top%d".formatted(x.name().toLowerCase(Locale.ROOT), rows, dim, k),
        new TopK.Spec(x, dim, k),
        rows,
        withValues,
        ValueSet.NORMAL,
        Set.of(),
        dim + k);
  }
}
