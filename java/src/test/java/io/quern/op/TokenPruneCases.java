package io.quern.op;

import io.quern.Buffer;
import io.quern.DType;
import io.quern.Device;
import io.quern.Shape;
import io.quern.Stream;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;

/** The calls of {@link TokenPrune} that are tested and timed. */
public final class TokenPruneCases {
  private TokenPruneCases() {}

  /**
   * A call.
   *
   * @param slotted whether slots are asked for
   */
  public record Case(
      String id,
      TokenPrune.Spec spec,
      int batch,
      boolean slotted,
      boolean strided,
      ValueSet values,
      long seed)
      implements OperatorCase {
    RandomRows attention() {
      return new RandomRows(DType.F32, Shape.of(batch * spec.heads(), spec.tokens()), values, seed);
    }

    @Override
    public Outcome expected() {
      return MergingReference.prune(this);
    }

    @Override
    public PreparedCase prepare(Device device, Stream stream, OperandMemory memory) {
      return new Prepared(this, device, stream, memory);
    }
  }

  private static final class Prepared extends PreparedCase {
    private final TokenPrune plan;
    private final TokenPrune.Operands operands;

    Prepared(Case of, Device device, Stream stream, OperandMemory memory) {
      super(stream, memory, of.strided);
      plan = TokenPrune.plan(device, of.spec);
      Buffer attention = matrix("attention", of.attention());
      Shape shape = Shape.of(of.batch, of.spec.tokens());
      Buffer order = denseOutput("order", DType.I32, shape);
      Buffer slot = of.slotted ? denseOutput("slot", DType.I32, shape) : null;
      long bytes = plan.workspaceBytes(of.batch);
      operands =
          new TokenPrune.Operands(attention, order, slot, bytes == 0 ? null : workspace(bytes));
    }

    @Override
    public void run() {
      plan.run(stream(), operands);
    }
  }

  /**
   * Small calls: ties, NaNs, more heads than are added at a time, more tokens than shared memory
   * has keys.
   */
  public static List<Case> small() {
    List<Case> cases = new ArrayList<>();
    for (ValueSet values : ValueSet.values()) {
      for (boolean classToken : new boolean[] {false, true}) {
        add(cases, new TokenPrune.Spec(197, 3, 150, classToken), 2, values);
        add(cases, new TokenPrune.Spec(20, 1, 12, classToken), 3, values);
        add(cases, new TokenPrune.Spec(9, 150, 30, classToken), 2, values);
      }
    }
    for (int tokens : new int[] {0, 1, 2, 3}) {
      add(cases, new TokenPrune.Spec(tokens, 2, 1, true), 2, ValueSet.FEW);
      add(cases, new TokenPrune.Spec(tokens, 2, 0, false), 2, ValueSet.FEW);
    }
    add(cases, new TokenPrune.Spec(4100, 1, 4000, true), 1, ValueSet.NORMAL);
    add(cases, new TokenPrune.Spec(5, 1, 4, true), 0, ValueSet.NORMAL);
    return cases;
  }

  /** A random call. */
  static Case random(SplittableRandom random) {
    return new Case(
        "random",
        new TokenPrune.Spec(
            random.nextInt(random.nextInt(8) == 0 ? 400 : 40),
            1 + random.nextInt(random.nextInt(8) == 0 ? 200 : 5),
            random.nextInt(40),
            random.nextBoolean()),
        random.nextInt(4),
        random.nextBoolean(),
        random.nextBoolean(),
        ValueSet.values()[random.nextInt(ValueSet.values().length)],
        random.nextLong());
  }

  private static void add(List<Case> cases, TokenPrune.Spec spec, int batch, ValueSet values) {
    int n = cases.size();
    cases.add(new Case("small-" + n, spec, batch, n % 3 != 0, n % 2 == 1, values, n));
  }
}
