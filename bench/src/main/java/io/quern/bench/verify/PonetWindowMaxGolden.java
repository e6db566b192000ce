package io.quern.bench.verify;

import io.quern.Buffer;
import io.quern.op.WindowPool;
import java.util.Map;
import java.util.Optional;

/** {@code in.x [B, L, C] → out.y}: the maximum of {@code kernel} rows around each. */
final class PonetWindowMaxGolden implements GoldenOp {
  @Override
  public String name() {
    return "ponet.win_max";
  }

  @Override
  public Optional<String> missingVariant(GoldenCase golden) {
    return Optional.empty();
  }

  @Override
  public Map<String, GoldenTensor> run(GoldenCase golden, Operands operands) {
    GoldenTensor x = golden.input("x");
    int window = Math.toIntExact((Long) golden.params().get("kernel"));
    var spec = WindowPool.Spec.centred(x.dtype(), x.shape().last(), window, WindowPool.Mode.MAX);
    Buffer y = operands.output(x.dtype(), x.shape());
    WindowPool.plan(operands.device(), spec).run(operands.stream(), operands.input(x), y);
    return Map.of("y", operands.result(y));
  }
}
