package io.quern.bench.verify;

import io.quern.DType;
import io.quern.Shape;
import io.quern.op.TokenMatch;
import java.lang.foreign.MemorySegment;
import java.util.Map;
import java.util.Optional;

/** {@code in.metric, in.x}: the tokens behind the first {@code kept_number} into these. */
final class DiffRateMergeGolden implements GoldenOp {
  @Override
  public String name() {
    return "diffrate.get_merge_func";
  }

  @Override
  public Optional<String> missingVariant(GoldenCase golden) {
    return Optional.empty();
  }

  @Override
  public Map<String, GoldenTensor> run(GoldenCase golden, Operands operands) {
    GoldenTensor metric = golden.input("metric");
    GoldenTensor x = golden.input("x");
    int batch = (int) metric.shape().dim(0);
    int tokens = (int) metric.shape().dim(1);
    int kept = Math.min(tokens, MergeGolden.number(golden, "kept_number"));
    var spec =
        TokenMatch.Spec.headTail(
            metric.dtype(),
            tokens,
            metric.shape().dim(2),
            tokens,
            kept,
            MergeGolden.flag(golden, "class_token"));
    MergeGolden merge = new MergeGolden(operands, spec, metric, null);
    Map<String, GoldenTensor> results = merge.merges(x, tokens);
    GoldenTensor slots = operands.result(merge.slot());
    int[][] into = new int[batch][tokens - kept];
    float[] best = new float[batch * (tokens - kept)];
    for (int b = 0; b < batch; b++) {
      for (int i = 0; i < tokens - kept; i++) {
        into[b][i] = (int) slots.asLong(b * tokens + kept + i);
        best[b * (tokens - kept) + i] = merge.similarity(b, kept + i);
      }
    }
    results.put("dst_idx", MergeGolden.tensor(into));
    byte[] bytes = new byte[best.length * Float.BYTES];
    MemorySegment.ofArray(bytes).copyFrom(MemorySegment.ofArray(best));
    results.put(
        "node_max",
        new GoldenTensor(DType.F32, Shape.of(batch, tokens - kept), MemorySegment.ofArray(bytes)));
    results.put("merged_training", training(results.get("merged_mean"), x, batch, tokens, kept));
    return results;
  }

  /** Merged destinations, then sources as they are. */
  private static GoldenTensor training(
      GoldenTensor merged, GoldenTensor x, int batch, int tokens, int kept) {
    long row = x.shape().last() * x.dtype().byteSize();
    byte[] bytes = new byte[(int) (batch * tokens * row)];
    MemorySegment all = MemorySegment.ofArray(bytes);
    for (int b = 0; b < batch; b++) {
      long from = b * tokens * row;
      MemorySegment.copy(merged.data(), b * kept * row, all, from, kept * row);
      MemorySegment.copy(
          x.data(), from + kept * row, all, from + kept * row, (tokens - kept) * row);
    }
    return new GoldenTensor(x.dtype(), x.shape(), all);
  }
}
