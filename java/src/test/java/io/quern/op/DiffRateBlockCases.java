package io.quern.op;

import io.quern.Buffer;
import io.quern.DType;
import io.quern.Device;
import io.quern.Shape;
import io.quern.Stream;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;

/** The calls of {@link DiffRateBlock} that are tested and timed. */
public final class DiffRateBlockCases {
  private DiffRateBlockCases() {}

  /** A call. */
  public record Case(
      String id, DiffRateBlock.Spec spec, int batch, boolean sized, boolean strided, long seed)
      implements OperatorCase {
    RandomRows x() {
      return new RandomRows(
          spec.dtype(), Shape.of(batch * spec.tokens(), spec.dim()), ValueSet.NORMAL, seed);
    }

    RandomRows attention() {
      return new RandomRows(
          DType.F32, Shape.of(batch * spec.heads(), spec.tokens()), ValueSet.NORMAL, ~seed);
    }

    float size(int token) {
      return sized ? 1 + token % 5 : 1;
    }

    @Override
    public Outcome expected() {
      return MergingReference.diffRate(this);
    }

    @Override
    public PreparedCase prepare(Device device, Stream stream, OperandMemory memory) {
      return new Prepared(this, device, stream, memory);
    }
  }

  private static final class Prepared extends PreparedCase {
    private final DiffRateBlock.Call call;

    Prepared(Case of, Device device, Stream stream, OperandMemory memory) {
      super(stream, memory, of.strided);
      DiffRateBlock.Spec spec = of.spec;
      DiffRateBlock plan = DiffRateBlock.plan(device, spec);
      Shape tokens = Shape.of(of.batch, spec.tokens());
      Buffer x = matrix("x", of.x());
      Buffer attention = matrix("attention", of.attention());
      Buffer size = null;
      if (of.sized) {
        float[] sizes = new float[(int) tokens.size()];
        for (int i = 0; i < sizes.length; i++) {
          sizes[i] = of.size(i);
        }
        size = perToken("size", tokens, sizes);
      }
      Buffer order = denseOutput("order", DType.I32, tokens);
      Buffer slot = denseOutput("slot", DType.I32, tokens);
      Buffer similarity = denseOutput("similarity", DType.F32, tokens);
      Buffer out = output(spec.dtype(), Shape.of(of.batch * spec.keptTokens(), spec.dim()));
      Buffer sizeOut = denseOutput("sizeOut", DType.F32, Shape.of(of.batch, spec.keptTokens()));
      long bytes = plan.workspaceBytes(of.batch);
      call =
          plan.call(
              new DiffRateBlock.Operands(
                  x,
                  attention,
                  size,
                  order,
                  slot,
                  similarity,
                  out,
                  sizeOut,
                  bytes == 0 ? null : workspace(bytes)));
    }

    @Override
    public void run() {
      call.run(stream());
    }
  }

  /** Small calls: pruning, merging, both, neither. */
  public static List<Case> small() {
    List<Case> cases = new ArrayList<>();
    for (DType dtype : EmbeddingGatherCases.FLOATS) {
      for (int[] kept : new int[][] {{14, 10}, {30, 30}, {12, 12}, {30, 20}, {17, 2}, {17, 16}}) {
        add(cases, DiffRateBlock.Spec.of(dtype, 17, 16, 3, kept[0], kept[1]), 3);
        add(cases, new DiffRateBlock.Spec(dtype, 17, 5, 2, kept[0], kept[1], false, 1), 2);
      }
    }
    add(cases, DiffRateBlock.Spec.of(DType.F32, 197, 32, 4, 192, 178), 2);
    add(cases, DiffRateBlock.Spec.of(DType.F32, 1100, 4, 1, 1000, 600), 1);
    return cases;
  }

  /** A random call: any numbers to keep, a few tokens, now and then more than a tile of them. */
  static Case random(SplittableRandom random) {
    int tokens = 1 + random.nextInt(random.nextInt(8) == 0 ? 200 : 20);
    DiffRateBlock.Spec spec =
        new DiffRateBlock.Spec(
            EmbeddingGatherCases.FLOATS.get(random.nextInt(3)),
            tokens,
            1 + random.nextInt(random.nextInt(8) == 0 ? 300 : 30),
            1 + random.nextInt(4),
            1 + random.nextInt(tokens + 2),
            2 + random.nextInt(tokens + 1),
            random.nextBoolean(),
            random.nextBoolean() ? 1 : Float.NEGATIVE_INFINITY);
    return new Case(
        "random",
        spec,
        random.nextInt(4),
        random.nextBoolean(),
        random.nextBoolean(),
        random.nextLong());
  }

  private static void add(List<Case> cases, DiffRateBlock.Spec spec, int batch) {
    int n = cases.size();
    cases.add(new Case("small-" + n, spec, batch, n % 2 == 0, n % 3 == 1, n));
  }
}
