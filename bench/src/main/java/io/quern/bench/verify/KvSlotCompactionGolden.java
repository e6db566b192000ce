package io.quern.bench.verify;

import static io.quern.bench.verify.VerifyOperands.tensor;

import io.quern.Buffer;
import io.quern.DType;
import io.quern.Shape;
import io.quern.op.CacheAddressing;
import io.quern.op.KvCompaction;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.stream.IntStream;

/**
 * SGLang's slots. The cache moved here holds each slot's own number, so that what a slot holds
 * afterwards is the slot that it was copied from.
 */
final class KvSlotCompactionGolden implements GoldenOp {
  @Override
  public String name() {
    return "kv_slot_compaction";
  }

  @Override
  public Optional<String> missingVariant(GoldenCase golden) {
    return Optional.empty();
  }

  @Override
  public Map<String, GoldenTensor> run(GoldenCase golden, Operands operands) {
    GoldenTensor slots = golden.input("out_cache_loc");
    GoldenTensor accepted = golden.input("accept_index");
    GoldenTensor counts = golden.input("num_correct_drafts");
    int batch = (int) accepted.shape().dim(0);
    int width = (int) accepted.shape().dim(1);
    int n = Math.toIntExact((Long) golden.params().get("n"));
    int[] path = new int[batch * width];
    for (int i = 0; i < path.length; i++) { // node numbers there count the whole batch
      path[i] = accepted.asLong(i) < 0 ? -1 : (int) accepted.asLong(i) - i / width * n;
    }
    int most = 0;
    for (int i = 0; i < batch * n; i++) {
      most = Math.max(most, (int) slots.asLong(i));
    }
    Buffer cache =
        operands.input(tensor(Shape.of(most + 1, 1), IntStream.rangeClosed(0, most).toArray()));
    Buffer freed = operands.output(slots.dtype(), Shape.of(batch * n));
    Buffer freedCounts = operands.output(DType.I32, Shape.of(batch));
    Buffer evicted = operands.output(DType.U8, Shape.of(batch * n));
    var spec =
        KvCompaction.Spec.paged(
            CacheAddressing.TABLE,
            DType.I32,
            slots.dtype(),
            1,
            (Long) golden.params().get("page_size"));
    int[] offsets = IntStream.rangeClosed(0, batch).map(b -> b * n).toArray();
    KvCompaction.plan(operands.device(), spec)
        .run(
            operands.stream(),
            KvCompaction.Operands.paged(
                    List.of(cache),
                    operands.input(tensor(accepted.shape(), path)),
                    ints(counts, operands),
                    ints(golden.input("seq_lens"), operands),
                    operands.input(golden.input("req_to_token")),
                    operands.input(tensor(Shape.of(batch + 1), offsets)),
                    operands.output(DType.I32, Shape.of(batch)),
                    operands.output(DType.I32, Shape.of(batch)))
                .withTableRows(ints(golden.input("req_pool_indices"), operands))
                .withFreed(freed, freedCounts)
                .withEvicted(evicted));
    int[] targets =
        IntStream.range(0, batch)
            .flatMap(
                b ->
                    IntStream.rangeClosed(0, (int) counts.asLong(b))
                        .map(j -> (int) slots.asLong(b * n + j)))
            .toArray();
    GoldenTensor moved = operands.result(cache);
    int[] sources = Arrays.stream(targets).map(slot -> (int) moved.asLong(slot)).toArray();
    GoldenTensor free = operands.result(freed);
    GoldenTensor freeCounts = operands.result(freedCounts);
    int[] packed =
        IntStream.range(0, batch)
            .flatMap(
                b ->
                    IntStream.range(0, (int) freeCounts.asLong(b))
                        .map(i -> (int) free.asLong(b * n + i)))
            .toArray();
    return Map.of(
        "src_slots",
        tensor(Shape.of(sources.length), sources),
        "tgt_slots",
        tensor(Shape.of(targets.length), targets),
        "to_free_num_slots",
        freeCounts,
        "to_free_slots",
        tensor(Shape.of(packed.length), packed),
        "evict_mask_page_aligned",
        new GoldenTensor(DType.BOOL, Shape.of(batch, n), operands.result(evicted).data()));
  }

  private static Buffer ints(GoldenTensor tensor, Operands operands) {
    int[] values = new int[(int) tensor.shape().size()];
    Arrays.setAll(values, i -> Math.toIntExact(tensor.asLong(i)));
    return operands.input(tensor(tensor.shape(), values));
  }
}
