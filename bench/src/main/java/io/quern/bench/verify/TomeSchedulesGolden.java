package io.quern.bench.verify;

import io.quern.io.CompressionSchedule;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/** ToMe's merges of each layer. */
final class TomeSchedulesGolden implements GoldenOp {
  @Override
  public String name() {
    return "tome.parse_r";
  }

  @Override
  public Optional<String> missingVariant(GoldenCase golden) {
    return Optional.empty();
  }

  @Override
  public Map<String, GoldenTensor> run(GoldenCase golden, Operands operands) {
    throw new IllegalArgumentException("expects no tensors");
  }

  @Override
  public Object value(GoldenCase golden) {
    int layers = MergeGolden.number(golden, "num_layers");
    Object r = golden.params().get("r");
    int[] merges =
        switch ((String) golden.params().get("r_kind")) {
          case "int" -> CompressionSchedule.merges(layers, ((Number) r).intValue());
          case "tuple" -> {
            List<?> pair = (List<?>) r;
            yield CompressionSchedule.merges(
                layers, ((Number) pair.get(0)).intValue(), ((Number) pair.get(1)).doubleValue());
          }
          default ->
              CompressionSchedule.merges(
                  layers, ((List<?>) r).stream().mapToInt(n -> ((Number) n).intValue()).toArray());
        };
    return Arrays.stream(merges).asLongStream().boxed().toList();
  }
}
