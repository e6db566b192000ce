package io.quern.op;

import io.quern.Buffer;
import io.quern.DType;
import io.quern.Device;
import io.quern.Shape;
import io.quern.Stream;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;

/** The calls of {@link TokenUnmerge} that are tested and timed. */
public final class TokenUnmergeCases {
  private TokenUnmergeCases() {}

  /** A call whose slots are anywhere, some outside. */
  public record Case(
      String id, TokenUnmerge.Spec spec, int batch, boolean strided, ValueSet values, long seed)
      implements OperatorCase {
    RandomRows y() {
      return new RandomRows(
          spec.dtype(), Shape.of(batch * spec.merged(), spec.dim()), values, seed);
    }

    long[] slot() {
      SplittableRandom random = new SplittableRandom(~seed);
      return random.longs(batch * spec.tokens(), -2, spec.merged() + 2).toArray();
    }

    @Override
    public Outcome expected() {
      return MergingReference.unmerge(this);
    }

    @Override
    public PreparedCase prepare(Device device, Stream stream, OperandMemory memory) {
      return new Prepared(this, device, stream, memory);
    }
  }

  private static final class Prepared extends PreparedCase {
    private final TokenUnmerge plan;
    private final TokenUnmerge.Operands operands;

    Prepared(Case of, Device device, Stream stream, OperandMemory memory) {
      super(stream, memory, of.strided);
      TokenUnmerge.Spec spec = of.spec;
      plan = TokenUnmerge.plan(device, spec);
      Buffer y = matrix("y", of.y());
      Buffer slot = indices("slot", DType.I32, Shape.of(of.batch, spec.tokens()), of.slot());
      Buffer out = output(spec.dtype(), Shape.of(of.batch * spec.tokens(), spec.dim()));
      operands = new TokenUnmerge.Operands(y, slot, out);
    }

    @Override
    public void run() {
      plan.run(stream(), operands);
    }
  }

  /** Small calls. */
  public static List<Case> small() {
    List<Case> cases = new ArrayList<>();
    for (DType dtype : EmbeddingGatherCases.FLOATS) {
      for (boolean first : new boolean[] {false, true}) {
        for (int dim : new int[] {0, 1, 2, 4, 7, 8, 64, 200}) {
          add(cases, new TokenUnmerge.Spec(dtype, 11, 23, dim, first), 3, ValueSet.SPECIAL);
        }
        add(cases, new TokenUnmerge.Spec(dtype, 0, 5, 3, first), 2, ValueSet.NORMAL);
        add(cases, new TokenUnmerge.Spec(dtype, 4, 0, 3, first), 2, ValueSet.NORMAL);
        add(cases, new TokenUnmerge.Spec(dtype, 100, 200, 96, first), 4, ValueSet.NORMAL);
      }
    }
    return cases;
  }

  private static void add(List<Case> cases, TokenUnmerge.Spec spec, int batch, ValueSet values) {
    int n = cases.size();
    cases.add(new Case("small-" + n, spec, batch, n % 2 == 1, values, n));
  }
}
