package io.quern.internal.cuda;

import static io.quern.internal.cuda.Operand.address;

import io.quern.Buffer;
import io.quern.DType;
import io.quern.Device;
import io.quern.bindings.quern.QuernAbi;
import io.quern.bindings.quern.quern_seeded_coins_desc;
import io.quern.internal.device.QueueStream;
import io.quern.internal.kernel.SeededCoinsKernel;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;

/** {@code quern_seeded_coins}. */
final class CudaSeededCoins implements SeededCoinsKernel {
  private static final MethodHandle RUN =
      Downcalls.withLongs(
          QuernAbi.quern_seeded_coins$address(), QuernAbi.quern_seeded_coins$descriptor());

  private final int ordinal;
  private final DType out;

  private CudaSeededCoins(int ordinal, DType out) {
    this.ordinal = ordinal;
    this.out = out;
  }

  static SeededCoinsKernel prepare(Device device, DType out) {
    PrimaryContext context = ((RuntimeDevice) device).context();
    CudaSeededCoins kernel = new CudaSeededCoins(context.ordinal(), out);
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment desc = quern_seeded_coins_desc.allocate(arena);
      kernel.describe(desc, 0, 0);
      context.call(
          "quern_seeded_coins_prepare",
          () -> QuernAbi.quern_seeded_coins_prepare(desc, context.ordinal()));
    }
    return kernel;
  }

  @SuppressWarnings("EnumOrdinal") // the numbers of the C ABI
  private void describe(MemorySegment desc, long requests, long nodes) {
    quern_seeded_coins_desc.size(desc, (int) quern_seeded_coins_desc.sizeof());
    quern_seeded_coins_desc.out_dtype(desc, out.ordinal());
    quern_seeded_coins_desc.requests(desc, requests);
    quern_seeded_coins_desc.nodes(desc, nodes);
  }

  @Override
  public void run(
      QueueStream stream,
      Buffer seeds,
      Buffer positions,
      Buffer offsets,
      Buffer coins,
      Buffer finals) {
    RuntimeStream queue = (RuntimeStream) stream;
    MemorySegment desc = queue.descriptor();
    describe(desc, finals.shape().size(), coins.shape().size());
    queue.launched(
        call(desc, queue, seeds, positions, offsets, coins, finals), "quern_seeded_coins");
  }

  private int call(
      MemorySegment desc,
      RuntimeStream queue,
      Buffer seeds,
      Buffer positions,
      Buffer offsets,
      Buffer coins,
      Buffer finals) {
    try {
      return (int)
          RUN.invokeExact(
              desc.address(),
              ordinal,
              address(seeds),
              address(positions),
              address(offsets),
              address(coins),
              address(finals),
              0L, // no workspace
              0L,
              queue.handle());
    } catch (RuntimeException | Error e) {
      throw e;
    } catch (Throwable e) {
      throw new AssertionError("a downcall throws nothing", e);
    }
  }
}
