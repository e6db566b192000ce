package io.quern.op;

import io.quern.Buffer;
import io.quern.DType;
import io.quern.Device;
import io.quern.Shape;
import io.quern.Stream;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;

/** The calls of {@link TokenMatch} that are tested and timed. */
public final class TokenMatchCases {
  private TokenMatchCases() {}

  /** How a case's order or offsets are. */
  public enum Order {
    NONE,
    GIVEN,
    /** No permutation in one batch row of two, and offsets outside their cells. */
    BAD
  }

  /**
   * A call.
   *
   * @param full whether similarity and count are asked for
   * @param strided whether the metric has gaps between its rows
   */
  public record Case(
      String id,
      TokenMatch.Spec spec,
      int batch,
      Order given,
      boolean full,
      boolean strided,
      ValueSet values,
      long seed)
      implements OperatorCase {
    /** The inputs, the same for every call. */
    public Inputs inputs() {
      SplittableRandom random = new SplittableRandom(~seed);
      Shape rows = Shape.of(batch * spec.tokens(), spec.dim());
      long[] limits = null;
      if (spec.limited()) {
        limits = random.longs(batch, -1, spec.r() + 2).toArray();
      }
      return new Inputs(
          new RandomRows(spec.metric(), rows, values, seed),
          given == Order.NONE ? null : order(random),
          limits);
    }

    private long[] order(SplittableRandom random) {
      if (spec.scheme() instanceof MergeScheme.Grid grid) {
        long cell = (long) grid.strideX() * grid.strideY();
        long out = given == Order.BAD ? 2 : 0;
        return random.longs((long) grid.rows() * grid.columns(), -out, cell + out).toArray();
      }
      int tokens = (int) spec.tokens();
      long[] order = new long[batch * tokens];
      for (int b = 0; b < batch; b++) {
        for (int n = 0; n < tokens; n++) {
          int other = random.nextInt(n + 1);
          order[b * tokens + n] = order[b * tokens + other];
          order[b * tokens + other] = n;
        }
        if (given == Order.BAD && b % 2 == 0 && tokens > 0) {
          int place = b * tokens + random.nextInt(tokens);
          order[place] =
              b % 4 == 0 ? (random.nextBoolean() ? -1 : tokens) : (order[place] + 1) % tokens;
        }
      }
      return order;
    }

    @Override
    public Outcome expected() {
      return MergingReference.match(this);
    }

    @Override
    public PreparedCase prepare(Device device, Stream stream, OperandMemory memory) {
      return prepare(TokenMatch.plan(device, spec), stream, memory);
    }

    /** The same with a plan that was made before. */
    PreparedCase prepare(TokenMatch plan, Stream stream, OperandMemory memory) {
      return new Prepared(this, plan, stream, memory);
    }

    /** The same call of other values. */
    Case of(ValueSet others) {
      return new Case(id, spec, batch, given, full, strided, others, seed);
    }
  }

  /**
   * What a case reads.
   *
   * @param order or null
   * @param limits or null
   */
  public record Inputs(RandomRows metric, long[] order, long[] limits) {}

  private static final class Prepared extends PreparedCase {
    private final TokenMatch plan;
    private final TokenMatch.Operands operands;

    Prepared(Case of, TokenMatch plan, Stream stream, OperandMemory memory) {
      super(stream, memory, of.strided);
      this.plan = plan;
      TokenMatch.Spec spec = of.spec;
      Inputs in = of.inputs();
      Buffer metric = matrix("metric", in.metric);
      Buffer order =
          in.order == null
              ? null
              : indices("order", DType.I32, spec.orderShape(of.batch), in.order);
      Buffer limits =
          in.limits == null ? null : indices("limits", DType.I32, Shape.of(of.batch), in.limits);
      Shape shape = spec.slotShape(of.batch);
      Buffer slot = denseOutput("slot", DType.I32, shape);
      Buffer similarity = of.full ? denseOutput("similarity", DType.F32, shape) : null;
      Buffer count = of.full ? denseOutput("count", DType.I32, Shape.of(of.batch)) : null;
      long bytes = plan.workspaceBytes(of.batch);
      operands =
          new TokenMatch.Operands(
              metric, order, limits, slot, similarity, count, bytes == 0 ? null : workspace(bytes));
    }

    @Override
    public void run() {
      plan.run(stream(), operands);
    }
  }

  /**
   * Small calls: every scheme, sizes around what they divide by, ties, zero norms, NaNs, bad
   * orders.
   */
  public static List<Case> small() {
    Cases cases = new Cases();
    for (DType dtype : EmbeddingGatherCases.FLOATS) {
      for (ValueSet values : ValueSet.values()) {
        cases.add(TokenMatch.Spec.bipartite(dtype, 17, 5, true, false, 4), 2, values);
        cases.add(TokenMatch.Spec.grid(dtype, 2, new MergeScheme.Grid(9, 7, 2, 2), 20), 2, values);
      }
    }
    for (int tokens = 0; tokens < 7; tokens++) {
      for (int isolated = 0; isolated < 4; isolated++) {
        for (int r : new int[] {-1, 0, 1, 100}) {
          cases.add(
              TokenMatch.Spec.bipartite(DType.F32, tokens, 3, isolated % 2 == 1, isolated > 1, r),
              1,
              ValueSet.FEW);
        }
      }
    }
    for (TokenOrder order : TokenOrder.values()) {
      for (int isolated = 0; isolated < 4; isolated++) {
        var spec =
            TokenMatch.Spec.bipartite(DType.F32, 70, 4, isolated % 2 == 1, isolated > 1, 21)
                .withOrder(order);
        cases.add(spec, 3, ValueSet.NORMAL);
        cases.add(spec.withThreshold(0.5f), 3, ValueSet.NORMAL);
        cases.add(spec.withThreshold(-0.5f).withLimits(), 7, ValueSet.FEW);
        cases.add(spec.withLimits(), 5, ValueSet.SPECIAL);
      }
      var grid =
          TokenMatch.Spec.grid(DType.F32, 3, new MergeScheme.Grid(8, 6, 2, 3), 30).withOrder(order);
      for (Order given : Order.values()) {
        cases.add(grid, 2, given, ValueSet.NORMAL);
        cases.add(grid.withThreshold(0.9f), 2, given, ValueSet.FEW);
      }
    }
    for (int k : new int[] {-1, 1, 2, 3, 17, 18, 40}) {
      cases.add(TokenMatch.Spec.everyKth(DType.F32, 17, 6, k), 2, ValueSet.NORMAL);
      cases.add(
          TokenMatch.Spec.everyKth(DType.F32, 17, 6, k).withOrder(TokenOrder.TOKENS),
          2,
          ValueSet.FEW);
    }
    for (Order given : Order.values()) {
      for (int r : new int[] {-3, 0, 1, 9, 15}) {
        cases.add(TokenMatch.Spec.permuted(DType.F32, 16, 5, r), 6, given, ValueSet.NORMAL);
      }
      for (int[] kept : new int[][] {{14, 10}, {30, 20}, {12, 30}, {16, 16}, {0, 0}, {9, 2}}) {
        cases.add(
            TokenMatch.Spec.headTail(DType.F32, 16, 5, kept[0], kept[1], true),
            6,
            given,
            ValueSet.NORMAL);
        cases.add(
            TokenMatch.Spec.headTail(DType.F32, 16, 5, kept[0], kept[1], false)
                .withOrder(TokenOrder.TOKENS),
            3,
            given,
            ValueSet.FEW);
      }
    }
    for (MergeScheme.Grid grid :
        List.of(
            new MergeScheme.Grid(0, 0, 1, 1),
            new MergeScheme.Grid(1, 1, 2, 2),
            new MergeScheme.Grid(3, 3, 1, 1),
            new MergeScheme.Grid(4, 4, 4, 4),
            new MergeScheme.Grid(5, 2, 3, 2))) {
      cases.add(TokenMatch.Spec.grid(DType.F32, 4, grid, 100), 2, Order.GIVEN, ValueSet.NORMAL);
    }
    // More than a tile of everything, a row longer than a piece, and too many tokens for one
    // launch.
    cases.add(TokenMatch.Spec.bipartite(DType.F32, 197, 64, true, false, 16), 2, ValueSet.NORMAL);
    cases.add(
        TokenMatch.Spec.bipartite(DType.BF16, 300, 33, false, false, 100), 1, ValueSet.NORMAL);
    cases.add(TokenMatch.Spec.bipartite(DType.F32, 9, 4100, false, false, 2), 1, ValueSet.NORMAL);
    cases.add(TokenMatch.Spec.bipartite(DType.F16, 5, 9000, false, false, 2), 1, ValueSet.NORMAL);
    cases.add(TokenMatch.Spec.bipartite(DType.F32, 1100, 5, true, true, 300), 2, ValueSet.NORMAL);
    cases.add(
        TokenMatch.Spec.grid(DType.F32, 3, new MergeScheme.Grid(33, 33, 2, 2), 500),
        2,
        Order.GIVEN,
        ValueSet.NORMAL);
    cases.add(
        TokenMatch.Spec.grid(DType.F32, 3, new MergeScheme.Grid(129, 33, 16, 16), 4000)
            .withOrder(TokenOrder.TOKENS),
        1,
        ValueSet.NORMAL);
    cases.add(
        TokenMatch.Spec.headTail(DType.F32, 1100, 4, 1000, 600, true),
        2,
        Order.BAD,
        ValueSet.NORMAL);
    cases.add(TokenMatch.Spec.bipartite(DType.F32, 6, 3, false, false, 2), 0, ValueSet.NORMAL);
    return cases.list;
  }

  /** A random call: any scheme, a few tokens, now and then more than a tile of them. */
  static Case random(SplittableRandom random) {
    DType dtype = EmbeddingGatherCases.FLOATS.get(random.nextInt(3));
    int tokens = random.nextInt(random.nextInt(8) == 0 ? 200 : 20);
    int dim = 1 + random.nextInt(random.nextInt(8) == 0 ? 150 : 12);
    int r = random.nextInt(-1, tokens + 2);
    TokenMatch.Spec spec =
        switch (random.nextInt(5)) {
          case 0 ->
              TokenMatch.Spec.bipartite(
                  dtype, tokens, dim, random.nextBoolean(), random.nextBoolean(), r);
          case 1 -> TokenMatch.Spec.everyKth(dtype, tokens, dim, random.nextInt(-1, tokens + 3));
          case 2 -> TokenMatch.Spec.permuted(dtype, tokens, dim, Math.min(r, tokens - 1));
          case 3 -> {
            int width = 1 + random.nextInt(20);
            var grid =
                new MergeScheme.Grid(
                    width, tokens / width, 1 + random.nextInt(4), 1 + random.nextInt(4));
            yield TokenMatch.Spec.grid(dtype, dim, grid, r);
          }
          default ->
              TokenMatch.Spec.headTail(
                  dtype,
                  tokens,
                  dim,
                  random.nextInt(tokens + 3),
                  2 + random.nextInt(tokens + 1),
                  random.nextBoolean());
        };
    if (spec.scheme().selects() && random.nextInt(3) == 0) {
      spec = spec.withThreshold((float) random.nextDouble(-1.2, 1));
    }
    if (spec.scheme().selects() && random.nextInt(3) == 0) {
      spec = spec.withLimits();
    }
    if (random.nextInt(3) == 0) {
      spec = spec.withOrder(TokenOrder.TOKENS);
    }
    Order given =
        spec.orderShape(0) == null
            ? Order.NONE
            : Order.values()[random.nextInt(Order.values().length)];
    return new Case(
        "random",
        spec,
        random.nextInt(5),
        given,
        random.nextBoolean(),
        random.nextBoolean(),
        ValueSet.values()[random.nextInt(ValueSet.values().length)],
        random.nextLong());
  }

  private static final class Cases {
    private final List<Case> list = new ArrayList<>();

    void add(TokenMatch.Spec spec, int batch, ValueSet values) {
      add(spec, batch, Order.NONE, values);
    }

    void add(TokenMatch.Spec spec, int batch, Order given, ValueSet values) {
      int n = list.size();
      list.add(new Case("small-" + n, spec, batch, given, n % 3 != 0, n % 2 == 1, values, n));
    }
  }
}
