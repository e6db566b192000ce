package io.quern.op;

import io.quern.Buffer;
import io.quern.DType;
import io.quern.Device;
import io.quern.Shape;
import io.quern.Stream;
import io.quern.op.MisuseCall.Missing;
import io.quern.op.MisuseCall.Operand;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;

/** The calls of {@link SourceMap} that are tested. */
public final class SourceMapCases {
  private SourceMapCases() {}

  /**
   * A call with slots and sources anywhere, some outside.
   *
   * @param first whether it is the first layer, which has no sources
   * @param drawn whether the matrix is asked for
   */
  public record Case(
      String id, SourceMap.Spec spec, int batch, boolean first, boolean drawn, long seed)
      implements OperatorCase {
    long[] slot() {
      return new SplittableRandom(seed)
          .longs(batch * spec.tokens(), -2, spec.merged() + 2)
          .toArray();
    }

    long[] source() {
      return new SplittableRandom(~seed)
          .longs(batch * spec.sources(), -2, spec.tokens() + 2)
          .toArray();
    }

    @Override
    public Outcome expected() {
      ReferenceRows groups = new ReferenceRows("groups", DType.I32, batch, spec.sources(), false);
      ReferenceRows matrix =
          new ReferenceRows("matrix", spec.matrix(), batch * spec.merged(), spec.sources(), false);
      long[] slot = slot();
      long[] source = source();
      for (int b = 0; b < batch; b++) {
        for (int n = 0; n < spec.sources(); n++) {
          long token = first ? n : source[b * (int) spec.sources() + n];
          boolean there = token >= 0 && token < spec.tokens();
          long group = there ? slot[(int) (b * spec.tokens() + token)] : -1;
          if (group < 0 || group >= spec.merged()) {
            group = -1;
          }
          groups.setBits(b, n, (int) group);
          for (int m = 0; m < spec.merged(); m++) {
            matrix.set(b * spec.merged() + m, n, m == group ? 1 : 0);
          }
        }
      }
      return new Outcome(
          drawn ? List.of(groups.output(), matrix.output()) : List.of(groups.output()), null);
    }

    @Override
    public PreparedCase prepare(Device device, Stream stream, OperandMemory memory) {
      return new Prepared(this, device, stream, memory);
    }
  }

  private static final class Prepared extends PreparedCase {
    private final SourceMap plan;
    private final SourceMap.Operands operands;

    Prepared(Case of, Device device, Stream stream, OperandMemory memory) {
      super(stream, memory, false);
      plan = SourceMap.plan(device, of.spec);
      Buffer slot = indices("slot", DType.I32, Shape.of(of.batch, of.spec.tokens()), of.slot());
      Shape groups = of.spec.groupsShape(of.batch);
      operands =
          new SourceMap.Operands(
              slot,
              of.first ? null : indices("source", DType.I32, groups, of.source()),
              denseOutput("groups", DType.I32, groups),
              of.drawn
                  ? denseOutput("matrix", of.spec.matrix(), of.spec.matrixShape(of.batch))
                  : null);
    }

    @Override
    public void run() {
      plan.run(stream(), operands);
    }
  }

  /** A call that is right. */
  static List<MisuseCall> misuses() {
    return List.of(
        new MisuseCall(
            "map of sources",
            "SourceMap",
            MisuseCall.operands(
                "slot",
                Operand.in(DType.I32, 2, 6),
                "source",
                Operand.in(DType.I32, 2, 9).with(Missing.NEEDED),
                "groups",
                Operand.out(DType.I32, 2, 9),
                "matrix",
                Operand.out(DType.F16, 2, 4, 9).with(Missing.ALLOWED)),
            device -> {
              var plan = SourceMap.plan(device, new SourceMap.Spec(9, 6, 4, DType.F16));
              return (stream, of) ->
                  plan.run(
                      stream,
                      new SourceMap.Operands(
                          of.get("slot"), of.get("source"), of.get("groups"), of.get("matrix")));
            }));
  }

  /** A random call. */
  static Case random(SplittableRandom random) {
    boolean first = random.nextBoolean();
    int tokens = random.nextInt(90);
    return new Case(
        "random",
        new SourceMap.Spec(
            first ? tokens : random.nextInt(300),
            tokens,
            random.nextInt(70),
            EmbeddingGatherCases.FLOATS.get(random.nextInt(3))),
        random.nextInt(4),
        first,
        random.nextBoolean(),
        random.nextLong());
  }

  /** First and later layers, with the matrix and without, of every dtype. */
  public static List<Case> small() {
    List<Case> cases = new ArrayList<>();
    for (DType matrix : EmbeddingGatherCases.FLOATS) {
      for (int[] sizes :
          new int[][] {{0, 0, 0}, {1, 1, 1}, {9, 9, 5}, {9, 6, 4}, {40, 0, 3}, {300, 70, 45}}) {
        int n = cases.size();
        SourceMap.Spec spec = new SourceMap.Spec(sizes[0], sizes[1], sizes[2], matrix);
        boolean first = sizes[0] == sizes[1];
        cases.add(new Case("small-" + n, spec, n % 3, first, true, n));
        cases.add(new Case("small-" + (n + 1), spec, 2, false, n % 2 == 0, n));
      }
    }
    cases.add(new Case("none-left", SourceMap.Spec.of(5, 5, 0), 2, true, true, 1));
    return cases;
  }
}
