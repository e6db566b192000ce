package io.quern.internal.cpu;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import io.quern.Buffer;
import io.quern.DType;
import io.quern.internal.device.QueueStream;
import io.quern.internal.device.TypedMemory;
import io.quern.internal.kernel.Operator;
import java.lang.foreign.MemorySegment;

/**
 * A call of {@code SeededCoins}. Its rows are the coins of all nodes, then the final ones. There is
 * nothing to make faster: a coin takes a few nanoseconds, and a batch has some thousand.
 */
public final class CoinTask extends RowTask {
  private static final int C1 = 0xcc9e2d51;
  private static final int C2 = 0x1b873593;

  /** Bytes that are hashed. */
  private static final int LENGTH = 16;

  private static final double LARGEST = 0xffffffffL;
  private static final float BELOW_ONE = 1 - 0x1p-24f;

  private MemorySegment seeds;
  private MemorySegment positions;
  private MemorySegment offsets;
  private MemorySegment coins;
  private MemorySegment finals;
  private long nodes;
  private long batch;
  private boolean hashes;

  /** Takes the operands of a call and runs it on a CPU stream. */
  public static void run(
      QueueStream queue,
      Buffer seeds,
      Buffer positions,
      Buffer offsets,
      Buffer coins,
      Buffer finals) {
    HostStream stream = (HostStream) queue;
    CoinTask task = stream.task(CoinTask.class, workers -> new CoinTask());
    task.seeds = HostDevice.segment(TypedMemory.of(seeds));
    task.positions = HostDevice.segment(TypedMemory.of(positions));
    task.offsets = HostDevice.segment(TypedMemory.of(offsets));
    task.coins = HostDevice.segment(TypedMemory.of(coins));
    task.finals = HostDevice.segment(TypedMemory.of(finals));
    task.nodes = coins.shape().size();
    task.batch = finals.shape().size();
    task.hashes = coins.dtype() == DType.U32;
    stream.run(task, task.nodes + task.batch, Integer.BYTES);
  }

  @Override
  protected Operator operator() {
    return Operator.SEEDED_COINS;
  }

  @Override
  protected void run(int worker, long from, long to) {
    for (long i = from; i < Math.min(nodes, to); i++) {
      node(i);
    }
    for (long i = Math.max(nodes, from); i < to; i++) {
      long b = i - nodes;
      store(finals, b, hash(b, isGood(b) ? offset(b + 1) - offset(b) : 0));
    }
  }

  @Override
  protected void clear() {
    seeds = null;
    positions = null;
    offsets = null;
    coins = null;
    finals = null;
  }

  private void node(long i) {
    long low = 0;
    long high = batch; // the last offset that is no more than i is in [low, high]
    while (low < high) {
      long middle = (low + high + 1) >>> 1;
      if (offset(middle) <= i) {
        low = middle;
      } else {
        high = middle - 1;
      }
    }
    if (low < batch && isGood(low) && offset(low) <= i && i < offset(low + 1)) {
      store(coins, i, hash(low, (int) (i - offset(low))));
    } else {
      coins.set(JAVA_INT, i * Integer.BYTES, 0);
    }
  }

  private boolean isGood(long b) {
    return offset(b) >= 0 && offset(b) <= offset(b + 1) && offset(b + 1) <= nodes;
  }

  private int offset(long b) {
    return offsets.get(JAVA_INT, b * Integer.BYTES);
  }

  private void store(MemorySegment out, long i, int hash) {
    if (hashes) {
      out.set(JAVA_INT, i * Integer.BYTES, hash);
    } else {
      float coin = (float) (Integer.toUnsignedLong(hash) / LARGEST);
      out.set(JAVA_FLOAT, i * Float.BYTES, Math.min(coin, BELOW_ONE));
    }
  }

  /** MurmurHash3-x86-32. */
  private int hash(long b, int column) {
    long seed = seeds.get(JAVA_LONG, b * Long.BYTES);
    int hash = mix(0, (int) seed);
    hash = mix(hash, (int) (seed >>> Integer.SIZE));
    hash = mix(hash, (int) positions.get(JAVA_LONG, b * Long.BYTES));
    hash = mix(hash, column) ^ LENGTH;
    hash = (hash ^ hash >>> 16) * 0x85ebca6b;
    hash = (hash ^ hash >>> 13) * 0xc2b2ae35;
    return hash ^ hash >>> 16;
  }

  private static int mix(int hash, int word) {
    return Integer.rotateLeft(hash ^ Integer.rotateLeft(word * C1, 15) * C2, 13) * 5 + 0xe6546b64;
  }
}
