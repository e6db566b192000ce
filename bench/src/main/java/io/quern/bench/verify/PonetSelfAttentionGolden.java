package io.quern.bench.verify;

import io.quern.Buffer;
import io.quern.DType;
import io.quern.Shape;
import io.quern.op.PonetMixer;
import io.quern.op.PonetPooling;
import io.quern.op.PonetSegments;
import java.lang.foreign.MemorySegment;
import java.util.Map;
import java.util.Optional;

/**
 * {@code in.x [B, L, C]}, token and segment ids, five dense layers and a mask {@code → out.y,
 * out.att_prob}: the mixer, of whose layers the reference makes all five products.
 */
final class PonetSelfAttentionGolden implements GoldenOp {
  private static final String[] LAYERS = {"q", "k", "o", "local", "segment"};

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
        PonetPooling.Spec.of(x.dtype(), integer(golden, "heads"), integer(golden, "head_dim"))
            .withOut(DType.F32)
            .withWindow(integer(golden, "kernel"));
    var mixer = PonetMixer.plan(operands.device(), spec);
    Buffer y = operands.output(DType.F32, spec.rowsShape(count));
    Buffer p = operands.output(DType.F32, Shape.of(count, spec.heads()));
    boolean masked = Boolean.TRUE.equals(golden.params().get("masked"));
    boolean special = Boolean.TRUE.equals(golden.params().get("clsgsepg"));
    mixer.run(
        operands.stream(),
        new PonetMixer.Operands(
            operands.input(PonetBatch.rows(x)),
            operands.input(layers(golden, "weight", spec.columns())),
            operands.input(layers(golden, "bias", 1)),
            offsets,
            operands.input(PonetBatch.integers(golden.input("segment_index"))),
            masked ? operands.input(PonetBatch.flags(golden.input("attention_mask"))) : null,
            special ? special(golden, operands, offsets, count) : null,
            y,
            p,
            operands.workspace(mixer.workspaceBytes(sequences, count))));
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

  /** The five layers' tensors, one after the other. */
  private static GoldenTensor layers(GoldenCase golden, String part, long columns) {
    GoldenTensor first = golden.input("w.dense_q." + part);
    long bytes = first.data().byteSize();
    MemorySegment data = MemorySegment.ofArray(new byte[Math.toIntExact(LAYERS.length * bytes)]);
    for (int i = 0; i < LAYERS.length; i++) {
      MemorySegment layer = golden.input("w.dense_" + LAYERS[i] + "." + part).data();
      MemorySegment.copy(layer, 0, data, i * bytes, bytes);
    }
    long rows = LAYERS.length * first.shape().dim(0);
    return new GoldenTensor(
        DType.F32, columns == 1 ? Shape.of(rows) : Shape.of(rows, columns), data);
  }
}
