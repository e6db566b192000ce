package io.quern.op;

import io.quern.Buffer;
import io.quern.DType;
import io.quern.Device;
import io.quern.Stream;
import io.quern.internal.device.QueueStream;
import io.quern.internal.kernel.KernelProvider;
import io.quern.internal.kernel.SeededCoinsKernel;
import java.util.Objects;

/**
 * Coins for verification that depend on a request's seed and position alone, so that a batch, a
 * restart or another back end does not change what is sampled: {@code coins[i]} for each node i of
 * request b, and {@code finals[b]}.
 *
 * <p>hash = MurmurHash3-x86-32, seed 0, of the four words seed (low half, high half), position (low
 * 32 bits) and column; the column of a node is its id within the request, that of the final coin
 * the number of the request's nodes. coin = hash / (2^32 − 1) in F64, rounded to F32, at most 1 −
 * 2^−24, so that it is in [0, 1).
 *
 * <p>Nodes are found by {@code offsets}: node i belongs to the request b that a binary search for
 * the last {@code offsets[b] ≤ i} gives. A node that belongs to none gets 0, and a request whose
 * offsets descend or leave [0, N] counts as one without nodes.
 *
 * <p>A plan is immutable and thread-safe. {@code run} allocates nothing, does not wait on CUDA, and
 * can be captured into a {@link io.quern.Graph}. The rule is that of SGLang's {@code
 * _seeded_verify_coins}.
 */
public final class SeededCoins {
  private static final String OP = "SeededCoins";

  private final Device device;
  private final DType out;
  private final SeededCoinsKernel kernel;

  private SeededCoins(Device device, DType out) {
    this.device = device;
    this.out = out;
    this.kernel = KernelProvider.of(device).seededCoins().prepare(device, out);
  }

  /**
   * Prepares the operator for a device; loads every kernel it may launch.
   *
   * @param out F32 for coins, U32 for the hashes that they are made of
   * @throws IllegalArgumentException if {@code out} is neither
   * @throws IllegalStateException if the device is closed
   */
  public static SeededCoins plan(Device device, DType out) {
    if (Objects.requireNonNull(out, "out dtype") != DType.F32 && out != DType.U32) {
      throw new IllegalArgumentException("out dtype is " + out + ", expected F32 or U32");
    }
    return new SeededCoins(Objects.requireNonNull(device, "device"), out);
  }

  /**
   * Makes the coins.
   *
   * @param stream a stream of the plan's device
   * @param seeds I64 [B]
   * @param positions I64 [B]: the length of each request's sequence
   * @param offsets I32 [B + 1]: where the nodes of each request begin, and where the last one's end
   * @param coins F32 or U32 [N]
   * @param finals the same dtype, [B]
   * @throws IllegalArgumentException if an operand does not fit; nothing is written then
   * @throws IllegalStateException if an operand or the stream is closed
   */
  public void run(
      Stream stream, Buffer seeds, Buffer positions, Buffer offsets, Buffer coins, Buffer finals) {
    QueueStream queue = QueueStream.of(stream, device, OP);
    Check.operand(OP, "coins", coins, out, device);
    Check.vector(OP, "coins", coins, coins.shape().size());
    Check.writable(OP, "coins", coins);
    Check.operand(OP, "finals", finals, out, device);
    long batch = finals.shape().size();
    Check.vector(OP, "finals", finals, batch);
    Check.writable(OP, "finals", finals);
    Check.operand(OP, "seeds", seeds, DType.I64, device);
    Check.vector(OP, "seeds", seeds, batch);
    Check.operand(OP, "positions", positions, DType.I64, device);
    Check.vector(OP, "positions", positions, batch);
    Check.operand(OP, "offsets", offsets, DType.I32, device);
    Check.vector(OP, "offsets", offsets, batch + 1);
    Check.disjoint(OP, "coins", coins, "seeds", seeds);
    Check.disjoint(OP, "coins", coins, "positions", positions);
    Check.disjoint(OP, "coins", coins, "offsets", offsets);
    Check.disjoint(OP, "coins", coins, "finals", finals);
    Check.disjoint(OP, "finals", finals, "seeds", seeds);
    Check.disjoint(OP, "finals", finals, "positions", positions);
    Check.disjoint(OP, "finals", finals, "offsets", offsets);
    queue.begin();
    try {
      queue.hold(seeds);
      queue.hold(positions);
      queue.hold(offsets);
      queue.hold(coins);
      queue.hold(finals);
      if (batch > 0 || coins.shape().size() > 0) {
        kernel.run(queue, seeds, positions, offsets, coins, finals);
      }
    } finally {
      queue.end();
    }
  }
}
