package io.quern.bench.verify;

import io.quern.Buffer;
import io.quern.Shape;
import io.quern.op.TokenUnmerge;
import java.util.Map;
import java.util.Optional;

/**
 * {@code in.x, in.source → out.y}: every token gets the row that its column of the source matrix
 * names, or row 0.
 */
final class DiffRateUncompressGolden implements GoldenOp {
  @Override
  public String name() {
    return "diffrate.uncompress";
  }

  @Override
  public Optional<String> missingVariant(GoldenCase golden) {
    return Optional.empty();
  }

  @Override
  public Map<String, GoldenTensor> run(GoldenCase golden, Operands operands) {
    GoldenTensor x = golden.input("x");
    GoldenTensor source = golden.input("source");
    int batch = (int) source.shape().dim(0);
    int merged = (int) source.shape().dim(1);
    int tokens = (int) source.shape().dim(2);
    int[][] slots = new int[batch][tokens];
    for (int b = 0; b < batch; b++) {
      for (int n = 0; n < tokens; n++) {
        slots[b][n] = -1;
        for (int m = merged - 1; m >= 0; m--) {
          if (source.asDouble(((long) b * merged + m) * tokens + n) > 0) {
            slots[b][n] = m;
          }
        }
      }
    }
    var spec = new TokenUnmerge.Spec(x.dtype(), merged, tokens, x.shape().last(), true);
    Buffer y = operands.output(x.dtype(), Shape.of(batch, tokens, x.shape().last()));
    TokenUnmerge.plan(operands.device(), spec)
        .run(
            operands.stream(),
            new TokenUnmerge.Operands(
                operands.input(x), operands.input(MergeGolden.tensor(slots)), y));
    return Map.of("y", operands.result(y));
  }
}
