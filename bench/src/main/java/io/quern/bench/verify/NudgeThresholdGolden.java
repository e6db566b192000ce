package io.quern.bench.verify;

import io.quern.Buffer;
import io.quern.DType;
import io.quern.Shape;
import io.quern.op.TopK;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import java.util.Map;
import java.util.Optional;

/**
 * {@code in.logprobs → out.need_nudging, out.first}: whether a row's greatest probability is below
 * the threshold, and which row is the first of these.
 */
final class NudgeThresholdGolden implements GoldenOp {
  @Override
  public String name() {
    return "nudge_threshold";
  }

  @Override
  public Optional<String> missingVariant(GoldenCase golden) {
    return Optional.empty();
  }

  @Override
  public Map<String, GoldenTensor> run(GoldenCase golden, Operands operands) {
    GoldenTensor logprobs = golden.input("logprobs");
    double threshold = ((Number) golden.params().get("threshold")).doubleValue();
    int rows = (int) logprobs.shape().dim(0);
    var spec = new TopK.Spec(logprobs.dtype(), logprobs.shape().last(), 1);
    Buffer values = operands.output(DType.F32, spec.outputShape(rows));
    Buffer indices = operands.output(DType.I32, spec.outputShape(rows));
    TopK.plan(operands.device(), spec)
        .run(operands.stream(), operands.input(logprobs), values, indices);
    GoldenTensor greatest = operands.result(values);
    byte[] needed = new byte[rows];
    long first = -1;
    for (int row = 0; row < rows; row++) {
      needed[row] = (byte) (Math.exp(greatest.asDouble(row)) < threshold ? 1 : 0);
      first = first < 0 && needed[row] == 1 ? row : first;
    }
    MemorySegment index = MemorySegment.ofArray(new byte[Long.BYTES]);
    index.set(ValueLayout.JAVA_LONG_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN), 0, first);
    return Map.of(
        "need_nudging",
        new GoldenTensor(DType.BOOL, Shape.of(rows), MemorySegment.ofArray(needed)),
        "first",
        new GoldenTensor(DType.I64, Shape.of(1), index));
  }
}
