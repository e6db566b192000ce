package io.quern.bench.verify;

import static io.quern.bench.verify.VerifyOperands.tensor;

import io.quern.Buffer;
import io.quern.DType;
import io.quern.Shape;
import io.quern.op.KvCompaction;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/** Medusa's cache of all layers in one tensor, [2 · layers, batch, heads, rows, dim]. */
final class KvCompactPathGolden implements GoldenOp {
  @Override
  public String name() {
    return "kv_compact_path";
  }

  @Override
  public Optional<String> missingVariant(GoldenCase golden) {
    return Optional.empty();
  }

  @Override
  public Map<String, GoldenTensor> run(GoldenCase golden, Operands operands) {
    GoldenTensor kv = golden.input("kv");
    GoldenTensor retrieve = golden.input("retrieve_indices");
    GoldenTensor candidates = golden.input("cart_candidates");
    GoldenTensor ids = golden.input("input_ids");
    int width = (int) retrieve.shape().last();
    long best = golden.input("best_candidate").asLong(0) * width;
    int count = (int) golden.input("accept_length").asLong(0);
    int length = Math.toIntExact((Long) golden.params().get("prev_len"));
    int[] path = new int[width];
    for (int j = 0; j < width; j++) {
      path[j] = (int) retrieve.asLong(best + j);
    }
    Shape heads = kv.shape();
    Buffer cache = operands.input(kv);
    Buffer newLengths = operands.output(DType.I32, Shape.of(1));
    var spec = KvCompaction.Spec.contiguous(kv.dtype(), heads.dim(heads.rank() - 3), heads.last());
    KvCompaction.plan(operands.device(), spec)
        .run(
            operands.stream(),
            KvCompaction.Operands.contiguous(
                List.of(cache),
                operands.input(tensor(Shape.of(1, width), path)),
                operands.input(tensor(Shape.of(1), new int[] {count})),
                operands.input(tensor(Shape.of(1), new int[] {length})),
                newLengths,
                operands.output(DType.I32, Shape.of(1))));
    int[] selected = new int[count + 1];
    int known = (int) ids.shape().last();
    int[] all = new int[known + selected.length];
    for (int i = 0; i < all.length; i++) {
      all[i] = (int) (i < known ? ids.asLong(i) : candidates.asLong(best + i - known));
    }
    for (int j = 0; j <= count; j++) {
      selected[j] = length + path[j];
    }
    return Map.of(
        "kv",
        operands.result(cache),
        "new_len",
        operands.result(newLengths),
        "select_indices",
        tensor(Shape.of(selected.length), selected),
        "input_ids",
        tensor(Shape.of(1, all.length), all));
  }
}
