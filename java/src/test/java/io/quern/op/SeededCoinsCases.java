package io.quern.op;

import io.quern.Buffer;
import io.quern.DType;
import io.quern.Device;
import io.quern.Shape;
import io.quern.Stream;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;

/** The calls of {@link SeededCoins} that are tested. */
public final class SeededCoinsCases {
  private SeededCoinsCases() {}

  /**
   * A call.
   *
   * @param trees nodes of each request
   * @param badOffsets whether some offsets descend or leave the nodes
   */
  public record Case(String id, DType out, List<Integer> trees, boolean badOffsets, long seed)
      implements OperatorCase {
    private long[] offsets() {
      long[] offsets = new long[trees.size() + 1];
      for (int b = 0; b < trees.size(); b++) {
        offsets[b + 1] = offsets[b] + trees.get(b);
      }
      if (badOffsets) {
        SplittableRandom random = new SplittableRandom(seed);
        for (int i = 0; i < offsets.length; i++) {
          if (random.nextInt(3) == 0) {
            offsets[i] = random.nextInt(-3, nodes() + 4);
          }
        }
      }
      return offsets;
    }

    private int nodes() {
      return trees.stream().mapToInt(n -> n).sum() + 2; // two that belong to nobody
    }

    private long[] words(int salt) {
      return new SplittableRandom(seed * 3 + salt).longs(trees.size()).toArray();
    }

    @Override
    public Outcome expected() {
      long[] offsets = offsets();
      int[] coins = new int[nodes()];
      int[] finals = new int[trees.size()];
      for (int i = 0; i < coins.length; i++) {
        int low = 0;
        int high = trees.size();
        while (low < high) { // the last offset that is no more than i, as far as offsets ascend
          int middle = (low + high + 1) / 2;
          if (offsets[middle] <= i) {
            low = middle;
          } else {
            high = middle - 1;
          }
        }
        int nodes = low < trees.size() ? nodesOf(offsets, low) : 0;
        long column = low < offsets.length ? i - offsets[low] : -1;
        coins[i] = column >= 0 && column < nodes ? coin(low, (int) column) : 0;
      }
      for (int b = 0; b < finals.length; b++) {
        finals[b] = coin(b, nodesOf(offsets, b));
      }
      return new Outcome(
          List.of(
              new Outcome.Output("coins", out, bytes(coins)),
              new Outcome.Output("finals", out, bytes(finals))),
          null);
    }

    private int nodesOf(long[] offsets, int b) {
      boolean good = offsets[b] >= 0 && offsets[b + 1] >= offsets[b] && offsets[b + 1] <= nodes();
      return good ? (int) (offsets[b + 1] - offsets[b]) : 0;
    }

    private int coin(int b, int column) {
      byte[] key = new byte[16];
      MemorySegment words = MemorySegment.ofArray(key);
      words.set(ValueLayout.JAVA_LONG_UNALIGNED, 0, words(1)[b]);
      words.set(ValueLayout.JAVA_INT_UNALIGNED, 8, (int) words(2)[b]);
      words.set(ValueLayout.JAVA_INT_UNALIGNED, 12, column);
      long hash = murmur3(key);
      if (out == DType.U32) {
        return (int) hash;
      }
      float coin = (float) (hash / 4294967295.0);
      return Float.floatToRawIntBits(coin >= 1 ? Math.nextDown(1f) : coin);
    }

    /** MurmurHash3-x86-32 with seed 0 of whole words, in 64-bit arithmetic. */
    private static long murmur3(byte[] key) {
      long mask = 0xffffffffL;
      long h = 0;
      for (int i = 0; i < key.length; i += 4) {
        long k = 0;
        for (int j = 3; j >= 0; j--) {
          k = k << 8 | key[i + j] & 0xff;
        }
        k = k * 0xcc9e2d51L & mask;
        k = (k << 15 | k >> 17) & mask;
        k = k * 0x1b873593L & mask;
        h ^= k;
        h = (h << 13 | h >> 19) & mask;
        h = h * 5 + 0xe6546b64L & mask;
      }
      h ^= key.length;
      h ^= h >> 16;
      h = h * 0x85ebca6bL & mask;
      h ^= h >> 13;
      h = h * 0xc2b2ae35L & mask;
      return h ^ h >> 16;
    }

    private static byte[] bytes(int[] values) {
      return MemorySegment.ofArray(values).toArray(ValueLayout.JAVA_BYTE);
    }

    @Override
    public PreparedCase prepare(Device device, Stream stream, OperandMemory memory) {
      return new Prepared(this, device, stream, memory);
    }
  }

  private static final class Prepared extends PreparedCase {
    private final SeededCoins plan;
    private final Buffer seeds;
    private final Buffer positions;
    private final Buffer offsets;
    private final Buffer coins;
    private final Buffer finals;

    Prepared(Case of, Device device, Stream stream, OperandMemory memory) {
      super(stream, memory, false);
      Shape batch = Shape.of(of.trees.size());
      plan = SeededCoins.plan(device, of.out);
      seeds = indices("seeds", DType.I64, batch, of.words(1));
      positions = indices("positions", DType.I64, batch, of.words(2));
      offsets = indices("offsets", DType.I32, Shape.of(of.trees.size() + 1), of.offsets());
      coins = output("coins", of.out, Shape.of(of.nodes()));
      finals = output("finals", of.out, batch);
    }

    @Override
    public void run() {
      plan.run(stream(), seeds, positions, offsets, coins, finals);
    }
  }

  /** Empty and ragged batches, good and bad offsets. */
  public static List<Case> small() {
    List<Case> cases = new ArrayList<>();
    for (DType out : new DType[] {DType.F32, DType.U32}) {
      for (List<Integer> trees :
          List.of(
              List.<Integer>of(),
              List.of(0),
              List.of(1),
              List.of(5, 0, 0, 64, 1, 9),
              new SplittableRandom(3).ints(300, 0, 70).boxed().toList())) {
        for (boolean bad : new boolean[] {false, true}) {
          cases.add(new Case("" + cases.size(), out, trees, bad, 40 + cases.size()));
        }
      }
    }
    return cases;
  }

  static List<MisuseCall> misuses() {
    return List.of(
        new MisuseCall(
            "seeded coins",
            "SeededCoins",
            MisuseCall.operands(
                "seeds",
                MisuseCall.Operand.in(DType.I64, 3),
                "positions",
                MisuseCall.Operand.in(DType.I64, 3),
                "offsets",
                MisuseCall.Operand.in(DType.I32, 4),
                "coins",
                MisuseCall.Operand.out(DType.F32, 7).ofAnyExtents(),
                "finals",
                MisuseCall.Operand.out(DType.F32, 3)),
            device -> {
              SeededCoins plan = SeededCoins.plan(device, DType.F32);
              return (stream, of) ->
                  plan.run(
                      stream,
                      of.get("seeds"),
                      of.get("positions"),
                      of.get("offsets"),
                      of.get("coins"),
                      of.get("finals"));
            }));
  }
}
