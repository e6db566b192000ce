package io.quern.op;

import io.quern.DType;
import io.quern.op.MisuseCall.Missing;
import io.quern.op.MisuseCall.Operand;
import java.util.List;

/** The calls of the merging operators, for {@link MisuseTest}. */
final class MergingMisuse {
  private static final long BATCH = 2;
  private static final long TOKENS = 6;
  private static final long DIM = 4;
  private static final long MERGED = 4;
  private static final long HEADS = 2;

  /** More than any of these calls needs on a GPU. */
  private static final long WORKSPACE = 1 << 16;

  private MergingMisuse() {}

  static List<MisuseCall> calls() {
    Operand rows = Operand.in(DType.F32, BATCH * TOKENS, DIM);
    Operand perToken = Operand.in(DType.F32, BATCH, TOKENS);
    Operand slot = Operand.in(DType.I32, BATCH, TOKENS);
    Operand slotOut = Operand.out(DType.I32, BATCH, TOKENS);
    Operand workspace = Operand.in(DType.U8, WORKSPACE).with(Missing.ALLOWED).ofAnyExtents();
    return List.of(
        new MisuseCall(
            "match within limits",
            "TokenMatch",
            MisuseCall.operands(
                "metric",
                rows,
                "limits",
                Operand.in(DType.I32, BATCH).with(Missing.NEEDED),
                "slot",
                slotOut,
                "similarity",
                Operand.out(DType.F32, BATCH, TOKENS).with(Missing.ALLOWED),
                "count",
                Operand.out(DType.I32, BATCH).with(Missing.ALLOWED),
                "workspace",
                workspace),
            device -> {
              var plan =
                  TokenMatch.plan(
                      device,
                      TokenMatch.Spec.bipartite(DType.F32, TOKENS, DIM, true, false, 2)
                          .withLimits());
              return (stream, of) ->
                  plan.run(
                      stream,
                      new TokenMatch.Operands(
                          of.get("metric"),
                          null,
                          of.get("limits"),
                          of.get("slot"),
                          of.get("similarity"),
                          of.get("count"),
                          of.get("workspace")));
            }),
        new MisuseCall(
            "match in order",
            "TokenMatch",
            MisuseCall.operands(
                "metric",
                rows,
                "order",
                slot.with(Missing.ALLOWED),
                "slot",
                slotOut,
                "workspace",
                workspace),
            device -> {
              var plan =
                  TokenMatch.plan(
                      device, TokenMatch.Spec.headTail(DType.F32, TOKENS, DIM, TOKENS, 3, true));
              return (stream, of) ->
                  plan.run(
                      stream,
                      TokenMatch.Operands.of(of.get("metric"), of.get("slot"))
                          .withOrder(of.get("order"))
                          .withWorkspace(of.get("workspace")));
            }),
        new MisuseCall(
            "merge",
            "TokenMerge",
            MisuseCall.operands(
                "x",
                rows,
                "slot",
                slot,
                "size",
                perToken.with(Missing.ALLOWED),
                "scale",
                perToken.with(Missing.ALLOWED),
                "out",
                Operand.out(DType.F32, BATCH * MERGED, DIM),
                "sizeOut",
                Operand.out(DType.F32, BATCH, MERGED).with(Missing.ALLOWED)),
            device -> {
              var plan =
                  TokenMerge.plan(
                      device,
                      TokenMerge.Spec.of(DType.F32, TOKENS, MERGED, DIM, Combine.WEIGHTED_MEAN));
              return (stream, of) ->
                  plan.run(
                      stream,
                      new TokenMerge.Operands(
                          of.get("x"),
                          of.get("slot"),
                          of.get("size"),
                          of.get("scale"),
                          of.get("out"),
                          of.get("sizeOut")));
            }),
        new MisuseCall(
            "step",
            "MergeStep",
            MisuseCall.operands(
                "metric",
                rows,
                "limits",
                Operand.in(DType.I32, BATCH).with(Missing.NEEDED),
                "x",
                rows,
                "size",
                perToken.with(Missing.ALLOWED),
                "scale",
                perToken.with(Missing.ALLOWED),
                "slot",
                slotOut,
                "similarity",
                Operand.out(DType.F32, BATCH, TOKENS).with(Missing.ALLOWED),
                "count",
                Operand.out(DType.I32, BATCH).with(Missing.ALLOWED),
                "out",
                Operand.out(DType.F32, BATCH * TOKENS, DIM),
                "sizeOut",
                Operand.out(DType.F32, BATCH, TOKENS).with(Missing.ALLOWED),
                "workspace",
                workspace),
            device -> {
              var match =
                  TokenMatch.Spec.bipartite(DType.F32, TOKENS, DIM, true, false, 2).withLimits();
              var plan =
                  MergeStep.plan(
                      device, MergeStep.Spec.of(match, DType.F32, DIM, Combine.WEIGHTED_MEAN));
              return (stream, of) ->
                  plan.run(
                      stream,
                      new MergeStep.Operands(
                          new TokenMatch.Operands(
                              of.get("metric"),
                              null,
                              of.get("limits"),
                              of.get("slot"),
                              of.get("similarity"),
                              of.get("count"),
                              of.get("workspace")),
                          new TokenMerge.Operands(
                              of.get("x"),
                              of.get("slot"),
                              of.get("size"),
                              of.get("scale"),
                              of.get("out"),
                              of.get("sizeOut"))));
            }),
        new MisuseCall(
            "step in order",
            "MergeStep",
            MisuseCall.operands(
                "metric",
                rows,
                "order",
                slot.with(Missing.ALLOWED),
                "x",
                rows,
                "slot",
                slotOut,
                "out",
                Operand.out(DType.F32, BATCH * 3, DIM)),
            device -> {
              var match = TokenMatch.Spec.headTail(DType.F32, TOKENS, DIM, TOKENS, 3, true);
              var plan =
                  MergeStep.plan(device, MergeStep.Spec.of(match, DType.F32, DIM, Combine.MEAN));
              return (stream, of) ->
                  plan.run(
                      stream,
                      new MergeStep.Operands(
                          TokenMatch.Operands.of(of.get("metric"), of.get("slot"))
                              .withOrder(of.get("order")),
                          TokenMerge.Operands.of(of.get("x"), of.get("slot"), of.get("out"))));
            }),
        new MisuseCall(
            "diffrate",
            "DiffRateBlock",
            MisuseCall.operands(
                "x",
                rows,
                "attention",
                Operand.in(DType.F32, BATCH * HEADS, TOKENS),
                "size",
                perToken.with(Missing.ALLOWED),
                "order",
                slotOut,
                "slot",
                slotOut,
                "similarity",
                Operand.out(DType.F32, BATCH, TOKENS),
                "out",
                Operand.out(DType.F32, BATCH * 3, DIM),
                "sizeOut",
                Operand.out(DType.F32, BATCH, 3).with(Missing.ALLOWED),
                "workspace",
                workspace),
            device -> {
              var plan =
                  DiffRateBlock.plan(
                      device, DiffRateBlock.Spec.of(DType.F32, TOKENS, DIM, HEADS, 5, 3));
              return (stream, of) ->
                  plan.call(
                          new DiffRateBlock.Operands(
                              of.get("x"),
                              of.get("attention"),
                              of.get("size"),
                              of.get("order"),
                              of.get("slot"),
                              of.get("similarity"),
                              of.get("out"),
                              of.get("sizeOut"),
                              of.get("workspace")))
                      .run(stream);
            }),
        new MisuseCall(
            "unmerge",
            "TokenUnmerge",
            MisuseCall.operands(
                "y",
                Operand.in(DType.F32, BATCH * MERGED, DIM),
                "slot",
                slot,
                "out",
                Operand.out(DType.F32, BATCH * TOKENS, DIM)),
            device -> {
              var plan =
                  TokenUnmerge.plan(device, TokenUnmerge.Spec.of(DType.F32, MERGED, TOKENS, DIM));
              return (stream, of) ->
                  plan.run(
                      stream,
                      new TokenUnmerge.Operands(of.get("y"), of.get("slot"), of.get("out")));
            }),
        new MisuseCall(
            "prune",
            "TokenPrune",
            MisuseCall.operands(
                "attention",
                Operand.in(DType.F32, BATCH * HEADS, TOKENS),
                "order",
                slotOut,
                "slot",
                slotOut.with(Missing.ALLOWED),
                "workspace",
                workspace),
            device -> {
              var plan = TokenPrune.plan(device, new TokenPrune.Spec(TOKENS, HEADS, 4, true));
              return (stream, of) ->
                  plan.run(
                      stream,
                      new TokenPrune.Operands(
                          of.get("attention"),
                          of.get("order"),
                          of.get("slot"),
                          of.get("workspace")));
            }));
  }
}
