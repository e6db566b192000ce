package io.quern.bench.verify;

import io.quern.Buffer;
import io.quern.Shape;
import io.quern.op.IndexPolicy;
import io.quern.op.SegmentBroadcast;
import io.quern.op.SegmentMax;
import java.util.Map;
import java.util.Optional;

/** {@code in.src [B, L, C], in.index [B, L] → out.y}: the maximum, broadcast back to each token. */
final class PonetSegmentMaxGolden implements GoldenOp {
  @Override
  public String name() {
    return "ponet.segment_max";
  }

  @Override
  public Optional<String> missingVariant(GoldenCase golden) {
    return Optional.empty();
  }

  @Override
  public Map<String, GoldenTensor> run(GoldenCase golden, Operands operands) {
    GoldenTensor src = golden.input("src");
    GoldenTensor index = golden.input("index");
    long batch = src.shape().dim(0);
    long length = src.shape().dim(1);
    long dim = src.shape().dim(2);
    var max =
        SegmentMax.plan(
            operands.device(), SegmentMax.Spec.of(src.dtype(), dim).withIds(index.dtype()));
    var broadcast =
        SegmentBroadcast.plan(
            operands.device(),
            SegmentBroadcast.Spec.of(src.dtype(), dim, IndexPolicy.FAIL).withIds(index.dtype()));
    Buffer x = operands.input(src);
    Buffer ids = operands.input(index);
    Buffer segments = operands.output(src.dtype(), Shape.of(length, dim));
    Buffer workspace = operands.workspace(max.workspaceBytes(length));
    Buffer y = operands.output(src.dtype(), src.shape());
    for (long b = 0; b < batch; b++) {
      Buffer rows = x.view(b * length * dim, Shape.of(length, dim), dim);
      Buffer row = ids.view(b * length, Shape.of(length), length);
      max.run(operands.stream(), rows, row, segments, workspace);
      broadcast.run(
          operands.stream(), segments, row, y.view(b * length * dim, Shape.of(length, dim), dim));
    }
    return Map.of("y", operands.result(y));
  }
}
