package io.quern.bench.verify;

import io.quern.io.CompressionSchedule;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/** The work of a published schedule. */
final class DiffRateFlopsGolden implements GoldenOp {
  @Override
  public String name() {
    return "diffrate.flops";
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
    CompressionSchedule schedule =
        new CompressionSchedule(numbers(golden, "prune_kept"), numbers(golden, "merge_kept"));
    int patches = MergeGolden.number(golden, "patches");
    float flops =
        schedule.flops(
            new CompressionSchedule.VisionTransformer(
                MergeGolden.number(golden, "C"),
                patches,
                MergeGolden.number(golden, "patch"),
                MergeGolden.number(golden, "classes")));
    return Map.of(
        "flops",
        flops,
        "gflops",
        flops / 1e9,
        "tokens_after_layer",
        schedule.tokensAfter(patches + 1));
  }

  private static List<Integer> numbers(GoldenCase golden, String parameter) {
    return ((List<?>) golden.params().get(parameter))
        .stream().map(number -> ((Number) number).intValue()).toList();
  }
}
