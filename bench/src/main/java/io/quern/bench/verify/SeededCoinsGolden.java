package io.quern.bench.verify;

import io.quern.Buffer;
import io.quern.DType;
import io.quern.Shape;
import io.quern.op.SeededCoins;
import java.lang.foreign.MemorySegment;
import java.util.Arrays;
import java.util.Map;
import java.util.Optional;

/** {@code in.sampling_seed, in.seq_lens → out.coins [batch, n], out.coins_final, out.hash_u32}. */
final class SeededCoinsGolden implements GoldenOp {
  @Override
  public String name() {
    return "seeded_verify_coins";
  }

  @Override
  public Optional<String> missingVariant(GoldenCase golden) {
    return Optional.empty();
  }

  @Override
  public Map<String, GoldenTensor> run(GoldenCase golden, Operands operands) {
    int batch = (int) golden.input("sampling_seed").shape().size();
    int nodes = ((Number) golden.params().get("draft_token_num")).intValue();
    int[] offsets = new int[batch + 1];
    Arrays.setAll(offsets, i -> i * nodes);
    Buffer seeds = operands.input(golden.input("sampling_seed"));
    Buffer positions = operands.input(golden.input("seq_lens"));
    Buffer starts = operands.input(RejectionCall.tensor(offsets, Shape.of(batch + 1)));
    GoldenTensor[][] results = new GoldenTensor[2][];
    DType[] outs = {DType.F32, DType.U32};
    for (int i = 0; i < outs.length; i++) {
      Buffer coins = operands.output(outs[i], Shape.of((long) batch * nodes));
      Buffer finals = operands.output(outs[i], Shape.of(batch));
      SeededCoins.plan(operands.device(), outs[i])
          .run(operands.stream(), seeds, positions, starts, coins, finals);
      results[i] = new GoldenTensor[] {operands.result(coins), operands.result(finals)};
    }
    long[] hashes = new long[batch * (nodes + 1)];
    for (int b = 0; b < batch; b++) {
      for (int c = 0; c < nodes; c++) {
        hashes[b * (nodes + 1) + c] = results[1][0].asLong((long) b * nodes + c);
      }
      hashes[b * (nodes + 1) + nodes] = results[1][1].asLong(b);
    }
    return Map.of(
        "coins", new GoldenTensor(DType.F32, golden.output("coins").shape(), results[0][0].data()),
        "coins_final", results[0][1],
        "hash_u32",
            new GoldenTensor(
                DType.I64, golden.output("hash_u32").shape(), MemorySegment.ofArray(hashes)));
  }
}
