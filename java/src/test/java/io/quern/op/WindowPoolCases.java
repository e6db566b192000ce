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

/** The calls of {@link WindowPool} that are tested. */
public final class WindowPoolCases {
  private WindowPoolCases() {}

  /**
   * A call.
   *
   * @param sequences 0: one sequence, given as a matrix
   */
  public record Case(
      String id,
      WindowPool.Spec spec,
      int sequences,
      int length,
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

    private Shape shape(long rows) {
      return sequences == 0 ? Shape.of(rows, spec.dim()) : Shape.of(sequences, rows, spec.dim());
    }

    private RandomRows x() {
      return new RandomRows(
          spec.x(), Shape.of(Math.max(1, sequences) * (long) length, spec.dim()), values, seed);
    }

    @Override
    public Outcome expected() {
      long windows = 0;
      for (int first = -spec.padding();
          length > 0 && first + spec.window() <= length + spec.padding();
          first += spec.stride()) {
        windows++;
      }
      int count = Math.max(1, sequences);
      ReferenceRows out =
          new ReferenceRows("out", spec.out(), count * windows, spec.dim(), strided());
      RandomRows x = x();
      for (int s = 0; s < count; s++) {
        for (long i = 0; i < windows; i++) {
          for (int d = 0; d < spec.dim(); d++) {
            out.set(s * windows + i, d, pooled(x, s * (long) length, i, d));
          }
        }
      }
      return new Outcome(List.of(out.output()), null);
    }

    private float pooled(RandomRows x, long begin, long window, int d) {
      float max = Float.NEGATIVE_INFINITY;
      float total = 0;
      float chunk = 0;
      int n = 0;
      for (int w = 0; w < spec.window(); w++) {
        long row = window * spec.stride() - spec.padding() + w;
        if (row < 0 || row >= length) {
          continue;
        }
        float value = ReferenceRows.value(x, begin + row, d);
        max = ReferenceRows.max(max, value);
        if (n > 0 && n % 64 == 0) {
          total += chunk;
          chunk = 0;
        }
        chunk += value;
        n++;
      }
      return spec.mode() == WindowPool.Mode.MAX ? max : (total + chunk) / n;
    }

    @Override
    public PreparedCase prepare(Device device, Stream stream, OperandMemory memory) {
      return new Prepared(this, device, stream, memory);
    }
  }

  private static final class Prepared extends PreparedCase {
    private final WindowPool plan;
    private final Buffer x;
    private final Buffer out;

    Prepared(Case of, Device device, Stream stream, OperandMemory memory) {
      super(stream, memory, of.strided());
      Buffer rows = matrix("x", of.x());
      x = rows.view(0, of.shape(of.length), rows.rowStride());
      out = output(of.spec.out(), of.shape(of.spec.windows(of.length)));
      plan = WindowPool.plan(device, of.spec);
    }

    @Override
    public void run() {
      plan.run(stream(), x, out);
    }
  }

  /** Windows of all kinds over sequences shorter and longer than they are. */
  public static List<Case> small() {
    List<Case> cases = new ArrayList<>();
    int[][] windows = {
      {1, 1, 0}, {3, 1, 1}, {5, 1, 2}, {7, 1, 3}, {4, 2, 1}, {3, 5, 0}, {150, 7, 75}
    };
    for (int[] w : windows) {
      for (int length : new int[] {0, 1, 2, 3, 20, 200}) {
        for (WindowPool.Mode mode : WindowPool.Mode.values()) {
          int n = cases.size();
          DType x = EmbeddingGatherCases.FLOATS.get(n % 3);
          DType out = EmbeddingGatherCases.FLOATS.get(n / 3 % 3);
          int dim = new int[] {8, 33, 1, 64}[n % 4];
          cases.add(
              new Case(
                  "window-" + n,
                  new WindowPool.Spec(x, out, dim, w[0], w[1], w[2], mode),
                  n % 3,
                  length,
                  ValueSet.values()[n % 5 % 3],
                  n % 2 == 0 ? Set.of() : Set.of(Trait.STRIDED),
                  n));
        }
      }
    }
    cases.add(
        new Case(
            "wide",
            WindowPool.Spec.centred(DType.F16, 9000, 3, WindowPool.Mode.MAX),
            0,
            5,
            ValueSet.NORMAL,
            Set.of(),
            1));
    return cases;
  }

  static List<MisuseCall> misuses() {
    return List.of(
        new MisuseCall(
            "windows",
            "WindowPool",
            MisuseCall.operands(
                "x",
                MisuseCall.Operand.in(DType.F32, 6, 4),
                "out",
                MisuseCall.Operand.out(DType.F16, 6, 4)),
            device -> {
              var plan =
                  WindowPool.plan(
                      device,
                      WindowPool.Spec.centred(DType.F32, 4, 3, WindowPool.Mode.MAX)
                          .withOut(DType.F16));
              return (stream, of) -> plan.run(stream, of.get("x"), of.get("out"));
            }));
  }

  /** Any call. */
  static Case random(SplittableRandom random) {
    int window = 1 + random.nextInt(random.nextBoolean() ? 8 : 150);
    return new Case(
        "random",
        new WindowPool.Spec(
            EmbeddingGatherCases.FLOATS.get(random.nextInt(3)),
            EmbeddingGatherCases.FLOATS.get(random.nextInt(3)),
            random.nextInt(80),
            window,
            1 + random.nextInt(9),
            random.nextInt(window / 2 + 1),
            WindowPool.Mode.values()[random.nextInt(2)]),
        random.nextInt(4),
        random.nextInt(200),
        ValueSet.values()[random.nextInt(4)],
        random.nextBoolean() ? Set.of() : Set.of(Trait.STRIDED),
        random.nextLong());
  }
}
