package io.quern.bench.verify;

import io.quern.Shape;
import io.quern.op.MergeScheme;
import io.quern.op.TokenMatch;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.stream.IntStream;

/** {@code in.metric, in.x, in.dst_choice}: into one token of each cell of a grid. */
final class TomesdGridGolden implements GoldenOp {
  @Override
  public String name() {
    return "tomesd.bipartite_soft_matching_random2d";
  }

  @Override
  public Optional<String> missingVariant(GoldenCase golden) {
    return Optional.empty();
  }

  @Override
  public Map<String, GoldenTensor> run(GoldenCase golden, Operands operands) {
    GoldenTensor metric = golden.input("metric");
    var grid =
        new MergeScheme.Grid(
            MergeGolden.number(golden, "w"),
            MergeGolden.number(golden, "h"),
            MergeGolden.number(golden, "sx"),
            MergeGolden.number(golden, "sy"));
    var spec =
        TokenMatch.Spec.grid(
            metric.dtype(), metric.shape().dim(2), grid, MergeGolden.number(golden, "r"));
    GoldenTensor offsets =
        spec.isIdentity()
            ? null
            : MergeGolden.narrowed(
                golden.input("dst_choice"), Shape.of(grid.rows(), grid.columns()));
    int tokens = (int) spec.tokens();
    MergeGolden merge = new MergeGolden(operands, spec, metric, offsets);
    Map<String, GoldenTensor> results = merge.merges(golden.input("x"), tokens);
    if (!spec.isIdentity()) {
      List<Integer> destinations =
          IntStream.range(0, tokens)
              .filter(n -> merge.similarity(0, n) == 1 && isDestination(grid, offsets, n))
              .boxed()
              .toList();
      List<Integer> sources =
          IntStream.range(0, tokens).filter(n -> !destinations.contains(n)).boxed().toList();
      merge.indices(results, sources, destinations);
      results.put("src_tokens", flat(sources));
      results.put("dst_tokens", flat(destinations));
    }
    return results;
  }

  private static boolean isDestination(MergeScheme.Grid grid, GoldenTensor offsets, int token) {
    int x = token % grid.width();
    int y = token / grid.width();
    int column = x / grid.strideX();
    int row = y / grid.strideY();
    if (column >= grid.columns() || row >= grid.rows()) {
      return false;
    }
    long offset = offsets.asLong((long) row * grid.columns() + column);
    return offset == y % grid.strideY() * grid.strideX() + x % grid.strideX();
  }

  private static GoldenTensor flat(List<Integer> tokens) {
    GoldenTensor row = MergeGolden.tensor(tokens.stream().mapToInt(n -> n).toArray());
    return new GoldenTensor(row.dtype(), Shape.of(tokens.size()), row.data());
  }
}
