package io.quern.bench.verify;

import io.quern.Buffer;
import io.quern.DType;
import io.quern.Shape;
import io.quern.op.Combine;
import io.quern.op.DiffRateBlock;
import io.quern.op.TokenMerge;
import java.util.Map;
import java.util.Optional;

/** {@code in.x, in.cls_attn, in.size, in.source}: sort, prune and merge of a block. */
final class DiffRateBlockGolden implements GoldenOp {
  @Override
  public String name() {
    return "diffrate.compress";
  }

  @Override
  public Optional<String> missingVariant(GoldenCase golden) {
    return Optional.empty();
  }

  @Override
  public Map<String, GoldenTensor> run(GoldenCase golden, Operands operands) {
    GoldenTensor x = golden.input("x");
    GoldenTensor attention = golden.input("cls_attn");
    GoldenTensor source = golden.input("source");
    long batch = x.shape().dim(0);
    long tokens = x.shape().dim(1);
    var spec =
        DiffRateBlock.Spec.of(
            x.dtype(),
            tokens,
            x.shape().dim(2),
            attention.shape().dim(1),
            MergeGolden.number(golden, "prune_kept"),
            MergeGolden.number(golden, "merge_kept"));
    DiffRateBlock plan = DiffRateBlock.plan(operands.device(), spec);
    long kept = spec.keptTokens();
    Shape perToken = Shape.of(batch, tokens);
    Buffer order = operands.output(DType.I32, perToken);
    Buffer slot = operands.output(DType.I32, perToken);
    Buffer y = operands.output(x.dtype(), Shape.of(batch, kept, spec.dim()));
    Buffer size = operands.output(DType.F32, Shape.of(batch, kept));
    long bytes = plan.workspaceBytes(batch);
    plan.call(
            new DiffRateBlock.Operands(
                operands.input(x),
                operands.input(attention),
                operands.input(MergeGolden.sizes(golden.input("size"))),
                order,
                slot,
                operands.output(DType.F32, perToken),
                y,
                size,
                bytes == 0 ? null : operands.output(DType.U8, Shape.of(bytes))))
        .run(operands.stream());
    // The source matrix is merged as tokens are, by its greatest value.
    long originals = source.shape().last();
    Buffer sources = operands.output(DType.F32, Shape.of(batch, kept, originals));
    TokenMerge.plan(
            operands.device(), TokenMerge.Spec.of(DType.F32, tokens, kept, originals, Combine.MAX))
        .run(operands.stream(), TokenMerge.Operands.of(operands.input(source), slot, sources));
    GoldenTensor sizes = operands.result(size);
    return Map.of(
        "y",
        operands.result(y),
        "size",
        new GoldenTensor(DType.F32, Shape.of(batch, kept, 1), sizes.data()),
        "source",
        operands.result(sources),
        "order",
        operands.result(order));
  }
}
