package io.quern.bench.verify;

import io.quern.Buffer;
import io.quern.DType;
import io.quern.Shape;
import io.quern.op.Combine;
import io.quern.op.MergeStep;
import io.quern.op.SourceMap;
import io.quern.op.TokenMatch;
import io.quern.op.TokenMerge;
import io.quern.op.TokenUnmerge;
import java.lang.foreign.MemorySegment;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;

/** One match of a golden vector, and what is derived from its slots. */
final class MergeGolden {
  private final Operands operands;
  private final TokenMatch.Spec spec;
  private final TokenMatch.Operands matched;
  private final long[] slots;
  private final float[] similarities;
  private final int batch;
  private final int tokens;
  private final int merged;

  /**
   * Matches.
   *
   * @param order or null
   */
  MergeGolden(Operands operands, TokenMatch.Spec spec, GoldenTensor metric, GoldenTensor order) {
    this.operands = operands;
    this.spec = spec;
    batch = (int) metric.shape().dim(0);
    tokens = (int) spec.tokens();
    merged = (int) spec.mergedTokens();
    TokenMatch match = TokenMatch.plan(operands.device(), spec);
    Buffer slot = operands.output(DType.I32, spec.slotShape(batch));
    Buffer similarity = operands.output(DType.F32, spec.slotShape(batch));
    long bytes = match.workspaceBytes(batch);
    matched =
        TokenMatch.Operands.of(operands.input(metric), slot)
            .withOrder(order == null ? null : operands.input(order))
            .withOutputs(similarity, null)
            .withWorkspace(bytes == 0 ? null : operands.output(DType.U8, Shape.of(bytes)));
    match.run(operands.stream(), matched);
    GoldenTensor read = operands.result(slot);
    GoldenTensor values = operands.result(similarity);
    slots = new long[batch * tokens];
    similarities = new float[slots.length];
    for (int i = 0; i < slots.length; i++) {
      slots[i] = read.asLong(i);
      similarities[i] = (float) values.asDouble(i);
    }
  }

  /** An index tensor as I32, which is what operators take. */
  static GoldenTensor narrowed(GoldenTensor indices, Shape shape) {
    int[] values = new int[(int) indices.shape().size()];
    for (int i = 0; i < values.length; i++) {
      values[i] = (int) indices.asLong(i);
    }
    byte[] bytes = new byte[values.length * Integer.BYTES];
    MemorySegment.ofArray(bytes).copyFrom(MemorySegment.ofArray(values));
    return new GoldenTensor(DType.I32, shape, MemorySegment.ofArray(bytes));
  }

  /** The slots, on the device. */
  Buffer slot() {
    return matched.slot();
  }

  /** The similarity that a token was matched with. */
  float similarity(int batch, int token) {
    return similarities[batch * tokens + token];
  }

  /**
   * Matches once more and merges, in one step, of sizes that may be null.
   *
   * @param size its name in the results, or null
   */
  void merge(
      Map<String, GoldenTensor> results,
      GoldenTensor x,
      Combine combine,
      String name,
      GoldenTensor size,
      String sizes) {
    long dim = x.shape().last();
    var step = MergeStep.Spec.of(spec, x.dtype(), dim, combine);
    Buffer out = operands.output(x.dtype(), step.merge().outputShape(batch));
    Buffer sizeOut = sizes == null ? null : operands.output(DType.F32, Shape.of(batch, merged));
    MergeStep.plan(operands.device(), step)
        .run(
            operands.stream(),
            new MergeStep.Operands(
                matched,
                TokenMerge.Operands.of(operands.input(x), slot(), out)
                    .withSizes(size == null ? null : operands.input(size), sizeOut)));
    results.put(name, operands.result(out));
    if (sizes != null) {
      GoldenTensor read = operands.result(sizeOut);
      results.put(sizes, new GoldenTensor(DType.F32, Shape.of(batch, merged, 1), read.data()));
    }
  }

  /** Unmerges the first {@code left} tokens of each batch row. */
  GoldenTensor unmerge(GoldenTensor y, int left) {
    var spec = TokenUnmerge.Spec.of(y.dtype(), merged, tokens, y.shape().last());
    Buffer out = operands.output(y.dtype(), spec.outputShape(batch));
    TokenUnmerge.plan(operands.device(), spec)
        .run(operands.stream(), new TokenUnmerge.Operands(operands.input(y), slot(), out));
    GoldenTensor all = operands.result(out);
    if (left == tokens) {
      return all;
    }
    long row = y.shape().last() * y.dtype().byteSize();
    byte[] first = new byte[(int) (batch * left * row)];
    for (int b = 0; b < batch; b++) {
      MemorySegment.copy(
          all.data(), b * tokens * row, MemorySegment.ofArray(first), b * left * row, left * row);
    }
    return new GoldenTensor(
        y.dtype(), Shape.of(batch, left, y.shape().last()), MemorySegment.ofArray(first));
  }

  /** The three merges that every scheme has, and back. */
  Map<String, GoldenTensor> merges(GoldenTensor x, int left) {
    Map<String, GoldenTensor> results = new HashMap<>();
    merge(results, x, Combine.MEAN, "merged_mean", null, null);
    merge(results, x, Combine.SUM, "merged_sum", null, null);
    merge(results, x, Combine.MAX, "merged_amax", null, null);
    results.put("unmerged", unmerge(results.get("merged_mean"), left));
    return results;
  }

  /** The published 0/1 matrix [batch, merged, tokens]: which row each token went into. */
  GoldenTensor source() {
    SourceMap.Spec map = SourceMap.Spec.of(tokens, tokens, merged);
    Buffer matrix = operands.output(map.matrix(), map.matrixShape(batch));
    Buffer groups = operands.output(DType.I32, map.groupsShape(batch));
    SourceMap.plan(operands.device(), map)
        .run(operands.stream(), new SourceMap.Operands(slot(), null, groups, matrix));
    return operands.result(matrix);
  }

  /**
   * Unmerged sources, merged ones and their destinations, as positions in the lists of sources and
   * destinations.
   */
  void indices(
      Map<String, GoldenTensor> results, List<Integer> sources, List<Integer> destinations) {
    int[][] unmerged = new int[batch][];
    int[][] mergedSources = new int[batch][];
    int[][] into = new int[batch][];
    for (int b = 0; b < batch; b++) {
      int first = b * tokens;
      int[] ofSlot = new int[merged];
      java.util.Arrays.fill(ofSlot, -1);
      for (int j = 0; j < destinations.size(); j++) {
        ofSlot[(int) slots[first + destinations.get(j)]] = j;
      }
      unmerged[b] =
          IntStream.range(0, sources.size())
              .filter(i -> ofSlot[(int) slots[first + sources.get(i)]] < 0)
              .boxed()
              .sorted(Comparator.comparing(i -> slots[first + sources.get(i)]))
              .mapToInt(i -> i)
              .toArray();
      IntStream gone =
          IntStream.range(0, sources.size())
              .filter(i -> ofSlot[(int) slots[first + sources.get(i)]] >= 0);
      mergedSources[b] =
          !spec.scheme().selects()
              ? gone.toArray()
              : gone.boxed()
                  .sorted(
                      Comparator.<Integer, Float>comparing(
                              i -> -similarities[first + sources.get(i)])
                          .thenComparing(i -> i))
                  .mapToInt(i -> i)
                  .toArray();
      into[b] =
          java.util.Arrays.stream(mergedSources[b])
              .map(i -> ofSlot[(int) slots[first + sources.get(i)]])
              .toArray();
    }
    results.put("unm_idx", tensor(unmerged));
    results.put("src_idx", tensor(mergedSources));
    results.put("dst_idx", tensor(into));
  }

  /** Rows of indices. */
  static GoldenTensor tensor(int[]... rows) {
    int columns = rows.length == 0 ? 0 : rows[0].length;
    byte[] bytes = new byte[rows.length * columns * Integer.BYTES];
    for (int row = 0; row < rows.length; row++) {
      MemorySegment.copy(
          MemorySegment.ofArray(rows[row]),
          0,
          MemorySegment.ofArray(bytes),
          (long) row * columns * Integer.BYTES,
          (long) columns * Integer.BYTES);
    }
    return new GoldenTensor(
        DType.I32, Shape.of(rows.length, columns), MemorySegment.ofArray(bytes));
  }

  /** Widened or narrowed sizes [batch, tokens], which operators take as F32. */
  static GoldenTensor sizes(GoldenTensor size) {
    float[] values = new float[(int) size.shape().size()];
    for (int i = 0; i < values.length; i++) {
      values[i] = (float) size.asDouble(i);
    }
    byte[] bytes = new byte[values.length * Float.BYTES];
    MemorySegment.ofArray(bytes).copyFrom(MemorySegment.ofArray(values));
    return new GoldenTensor(
        DType.F32,
        Shape.of(size.shape().dim(0), size.shape().dim(1)),
        MemorySegment.ofArray(bytes));
  }

  static int number(GoldenCase golden, String parameter) {
    return ((Number) golden.params().get(parameter)).intValue();
  }

  static boolean flag(GoldenCase golden, String parameter) {
    return (Boolean) golden.params().get(parameter);
  }
}
