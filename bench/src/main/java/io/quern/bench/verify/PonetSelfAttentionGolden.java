package io.quern.bench.verify;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT_UNALIGNED;

import io.quern.Buffer;
import io.quern.DType;
import io.quern.Shape;
import io.quern.op.PonetPooling;
import io.quern.op.PonetSegments;
import java.lang.foreign.MemorySegment;
import java.util.Map;
import java.util.Optional;

/**
 * {@code in.x [B, L, C]}, token and segment ids, five dense layers and a mask {@code → out.y,
 * out.att_prob}. The five projections, which pooling takes as given, are computed here, in F64.
 */
final class PonetSelfAttentionGolden implements GoldenOp {
  @Override
  public String name() {
    return "ponet.self_attention";
  }

  @Override
  public Optional<String> missingVariant(GoldenCase golden) {
    return Optional.empty();
  }

  @Override
  public Map<String, GoldenTensor> run(GoldenCase golden, Operands operands) {
    GoldenTensor x = golden.input("x");
    long sequences = x.shape().dim(0);
    long length = x.shape().dim(1);
    long count = sequences * length;
    Buffer offsets = new PonetBatch(operands, sequences, length).offsets();
    var spec =
        PonetPooling.Spec.of(DType.F32, integer(golden, "heads"), integer(golden, "head_dim"))
            .withWindow(integer(golden, "kernel"));
    var pooling = PonetPooling.plan(operands.device(), spec);
    Buffer y = operands.output(DType.F32, spec.rowsShape(count));
    Buffer p = operands.output(DType.F32, Shape.of(count, spec.heads()));
    var of =
        PonetPooling.Operands.of(
                operands.input(projected(golden, "q")),
                operands.input(projected(golden, "k")),
                operands.input(projected(golden, "o")),
                operands.input(projected(golden, "local")),
                operands.input(projected(golden, "segment")),
                offsets,
                operands.input(PonetBatch.integers(golden.input("segment_index"))),
                y,
                operands.workspace(pooling.workspaceBytes(sequences, count)))
            .withProbabilities(p);
    if (Boolean.TRUE.equals(golden.params().get("masked"))) {
      of = of.withValid(operands.input(PonetBatch.flags(golden.input("attention_mask"))));
    }
    if (Boolean.TRUE.equals(golden.params().get("clsgsepg"))) {
      of = of.withSpecial(special(golden, operands, offsets, count));
    }
    pooling.run(operands.stream(), of);
    return Map.of(
        "y", operands.result(y).reshaped(x.shape()),
        "att_prob", PonetBatch.byHead(operands.result(p), sequences));
  }

  private static int integer(GoldenCase golden, String parameter) {
    return Math.toIntExact((Long) golden.params().get(parameter));
  }

  private static Buffer special(GoldenCase golden, Operands operands, Buffer offsets, long count) {
    var rule = new PonetSegments.Rule.Tokens(integer(golden, "cls_id"), integer(golden, "eos_id"));
    Buffer special = operands.output(DType.BOOL, Shape.of(count));
    PonetSegments.plan(operands.device(), new PonetSegments.Spec(rule, DType.I32))
        .run(
            operands.stream(),
            operands.input(PonetBatch.integers(golden.input("input_ids"))),
            offsets,
            operands.output(DType.I32, Shape.of(count)),
            special);
    return special;
  }

  /** Rows of x through a dense layer. */
  private static GoldenTensor projected(GoldenCase golden, String layer) {
    GoldenTensor x = PonetBatch.rows(golden.input("x"));
    GoldenTensor weight = golden.input("w.dense_" + layer + ".weight");
    GoldenTensor bias = golden.input("w.dense_" + layer + ".bias");
    long rows = x.shape().dim(0);
    long in = x.shape().dim(1);
    long out = weight.shape().dim(0);
    MemorySegment data = MemorySegment.ofArray(new float[Math.toIntExact(rows * out)]);
    for (long r = 0; r < rows; r++) {
      for (long c = 0; c < out; c++) {
        double sum = bias.asDouble(c);
        for (long i = 0; i < in; i++) {
          sum += x.asDouble(r * in + i) * weight.asDouble(c * in + i);
        }
        data.setAtIndex(JAVA_FLOAT_UNALIGNED, r * out + c, (float) sum);
      }
    }
    return new GoldenTensor(DType.F32, Shape.of(rows, out), data);
  }
}
