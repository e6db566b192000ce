package io.quern.bench.verify;

import io.quern.Buffer;
import io.quern.DType;
import io.quern.Shape;
import io.quern.op.PonetPooling;
import io.quern.op.PonetSegments;
import java.util.Map;
import java.util.Optional;

/** {@code in.q, in.k, in.o [B, H, L, D], in.local, in.segment [B, L, C], in.mask? → out.y}. */
final class PonetMixGolden implements GoldenOp {
  @Override
  public String name() {
    return "ponet.mix_lra";
  }

  @Override
  public Optional<String> missingVariant(GoldenCase golden) {
    Object fill = golden.params().get("mask_value");
    return Long.valueOf(-10000).equals(fill) ? Optional.empty() : Optional.of("fill " + fill);
  }

  @Override
  public Map<String, GoldenTensor> run(GoldenCase golden, Operands operands) {
    GoldenTensor q = golden.input("q");
    long sequences = q.shape().dim(0);
    long length = q.shape().dim(2);
    long count = sequences * length;
    Buffer offsets = new PonetBatch(operands, sequences, length).offsets();
    Buffer ids = operands.output(DType.I32, Shape.of(count));
    var rule =
        new PonetSegments.Rule.Fixed(Math.toIntExact((Long) golden.params().get("segment_num")));
    PonetSegments.plan(operands.device(), new PonetSegments.Spec(rule, DType.I32))
        .run(operands.stream(), null, offsets, ids, null);
    var spec =
        PonetPooling.Spec.of(
                q.dtype(), Math.toIntExact(q.shape().dim(1)), Math.toIntExact(q.shape().dim(3)))
            .withOut(DType.F32)
            .withWindow(Math.toIntExact((Long) golden.params().get("kernel")))
            .withFlavour(PonetPooling.Flavour.LRA);
    var pooling = PonetPooling.plan(operands.device(), spec);
    Buffer y = operands.output(spec.out(), spec.rowsShape(count));
    var of =
        PonetPooling.Operands.of(
            operands.input(PonetBatch.rows(q)),
            operands.input(PonetBatch.rows(golden.input("k"))),
            operands.input(PonetBatch.rows(golden.input("o"))),
            operands.input(PonetBatch.rows(golden.input("local"))),
            operands.input(PonetBatch.rows(golden.input("segment"))),
            offsets,
            ids,
            y,
            operands.workspace(pooling.workspaceBytes(sequences, count)));
    if (Boolean.TRUE.equals(golden.params().get("masked"))) {
      of = of.withValid(operands.input(PonetBatch.flags(golden.input("mask"))));
    }
    pooling.run(operands.stream(), of);
    return Map.of(
        "y", operands.result(y).reshaped(Shape.of(sequences, length, spec.columns())),
        "segment_index", operands.result(ids).reshaped(Shape.of(sequences, length)));
  }
}
