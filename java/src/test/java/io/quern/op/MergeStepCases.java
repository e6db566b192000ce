package io.quern.op;

import io.quern.Buffer;
import io.quern.DType;
import io.quern.Device;
import io.quern.Shape;
import io.quern.Stream;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;

/** The calls of {@link MergeStep} that are tested. */
public final class MergeStepCases {
  private static final List<Combine> COMBINES =
      List.of(Combine.SUM, Combine.MEAN, Combine.WEIGHTED_MEAN, Combine.MAX);

  private MergeStepCases() {}

  /** By what sizes are multiplied. */
  public enum Scale {
    NONE,
    GIVEN,
    /** The similarity that the step finds, as DiffRate does. */
    SIMILARITY
  }

  /**
   * A call.
   *
   * @param sized whether there are sizes, before and after
   */
  public record Case(
      String id, TokenMatchCases.Case match, TokenMerge.Spec merge, boolean sized, Scale scale)
      implements OperatorCase {
    /** The plan's spec. */
    public MergeStep.Spec spec() {
      return new MergeStep.Spec(match.spec(), merge);
    }

    /** The merge alone, of other slots. */
    TokenMergeCases.Case merging() {
      return new TokenMergeCases.Case(
          id,
          merge,
          match.batch(),
          TokenMergeCases.Slots.ANY,
          sized,
          scale == Scale.GIVEN,
          match.strided(),
          match.values(),
          ~match.seed());
    }

    @Override
    public Outcome expected() {
      return MergingReference.step(this);
    }

    @Override
    public PreparedCase prepare(Device device, Stream stream, OperandMemory memory) {
      return new Prepared(this, device, stream, memory);
    }
  }

  private static final class Prepared extends PreparedCase {
    private final MergeStep plan;
    private final MergeStep.Operands operands;

    Prepared(Case of, Device device, Stream stream, OperandMemory memory) {
      super(stream, memory, of.match.strided());
      int batch = of.match.batch();
      TokenMatch.Spec spec = of.match.spec();
      TokenMerge.Spec merge = of.merge;
      TokenMatchCases.Inputs in = of.match.inputs();
      TokenMergeCases.Inputs merged = of.merging().inputs();
      plan = MergeStep.plan(device, of.spec());
      Shape tokens = spec.slotShape(batch);
      Buffer metric = matrix("metric", in.metric());
      Buffer order =
          in.order() == null
              ? null
              : indices("order", DType.I32, spec.orderShape(batch), in.order());
      Buffer limits =
          in.limits() == null ? null : indices("limits", DType.I32, Shape.of(batch), in.limits());
      Buffer x = matrix("x", merged.x());
      Buffer size = merged.size() == null ? null : perToken("size", tokens, merged.size());
      Buffer given = merged.scale() == null ? null : perToken("scale", tokens, merged.scale());
      Buffer slot = denseOutput("slot", DType.I32, tokens);
      boolean full = of.match.full();
      Buffer similarity = full ? denseOutput("similarity", DType.F32, tokens) : null;
      Buffer count = full ? denseOutput("count", DType.I32, Shape.of(batch)) : null;
      Buffer out = output(merge.dtype(), Shape.of(batch * merge.merged(), merge.dim()));
      Buffer sizeOut =
          of.sized ? denseOutput("sizeOut", DType.F32, Shape.of(batch, merge.merged())) : null;
      long bytes = plan.workspaceBytes(batch);
      operands =
          new MergeStep.Operands(
              new TokenMatch.Operands(
                  metric,
                  order,
                  limits,
                  slot,
                  similarity,
                  count,
                  bytes == 0 ? null : workspace(bytes)),
              new TokenMerge.Operands(
                  x, slot, size, of.scale == Scale.SIMILARITY ? similarity : given, out, sizeOut));
    }

    @Override
    public void run() {
      plan.run(stream(), operands);
    }
  }

  /**
   * Small calls: of one match in five a merge, combinations and types in turn; a batch row that
   * fills a block's memory, one that is too long, all in one row, slices of the features.
   */
  public static List<Case> small() {
    List<Case> cases = new ArrayList<>();
    List<TokenMatchCases.Case> matches = TokenMatchCases.small();
    for (int i = 0; i < matches.size(); i += 5) {
      int[] dims = {19, 8, 1, 32, 0, 5};
      add(cases, matches.get(i), dims[cases.size() % dims.length]);
    }
    add(cases, match(TokenMatch.Spec.bipartite(DType.F32, 197, 64, true, false, 16), 2), 96);
    add(cases, match(TokenMatch.Spec.bipartite(DType.F16, 197, 16, true, true, 98), 3), 520);
    add(cases, match(TokenMatch.Spec.bipartite(DType.BF16, 33, 8, false, false, 9), 2), 520);
    add(cases, match(TokenMatch.Spec.headTail(DType.F32, 180, 6, 150, 1, false), 2), 300);
    add(cases, match(TokenMatch.Spec.headTail(DType.F32, 180, 6, 150, 2, true), 1), 300);
    add(cases, match(TokenMatch.Spec.permuted(DType.F32, 64, 6, 60), 70), 4);
    var cells = new MergeScheme.Grid(32, 32, 32, 32);
    add(cases, match(TokenMatch.Spec.grid(DType.F32, 2, cells, 700), 1), 4);
    add(cases, match(TokenMatch.Spec.bipartite(DType.F32, 1024, 2, true, false, 300), 1), 4);
    add(cases, match(TokenMatch.Spec.bipartite(DType.F32, 1025, 2, true, false, 300), 1), 4);
    return cases;
  }

  private static TokenMatchCases.Case match(TokenMatch.Spec spec, int batch) {
    return new TokenMatchCases.Case(
        "", spec, batch, TokenMatchCases.Order.NONE, true, batch > 2, ValueSet.NORMAL, batch);
  }

  private static void add(List<Case> cases, TokenMatchCases.Case match, int dim) {
    int n = cases.size();
    Scale scale = Scale.values()[n % Scale.values().length];
    cases.add(
        of(
            "small-" + n,
            match,
            EmbeddingGatherCases.FLOATS.get(n % 3),
            dim,
            COMBINES.get(n / 2 % COMBINES.size()),
            n % 5 == 0,
            n % 2 == 0,
            scale));
  }

  private static Case of(
      String id,
      TokenMatchCases.Case match,
      DType dtype,
      int dim,
      Combine combine,
      boolean least,
      boolean sized,
      Scale scale) {
    TokenMerge.Spec merge = MergeStep.Spec.of(match.spec(), dtype, dim, combine).merge();
    return new Case(
        id,
        match,
        least ? merge.withLeastSize(1) : merge,
        sized,
        scale == Scale.SIMILARITY && !match.full() ? Scale.NONE : scale);
  }

  /** A random call: a random match, and any merge of it. */
  static Case random(SplittableRandom random) {
    return of(
        "random",
        TokenMatchCases.random(random),
        EmbeddingGatherCases.FLOATS.get(random.nextInt(3)),
        random.nextInt(random.nextInt(8) == 0 ? 400 : 40),
        COMBINES.get(random.nextInt(COMBINES.size())),
        random.nextInt(3) == 0,
        random.nextBoolean(),
        Scale.values()[random.nextInt(Scale.values().length)]);
  }
}
