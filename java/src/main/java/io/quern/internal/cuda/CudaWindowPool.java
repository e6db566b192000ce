package io.quern.internal.cuda;

import static io.quern.internal.cuda.Operand.address;

import io.quern.Buffer;
import io.quern.Device;
import io.quern.bindings.quern.QuernAbi;
import io.quern.bindings.quern.quern_window_pool_desc;
import io.quern.internal.device.QueueStream;
import io.quern.internal.kernel.WindowPoolKernel;
import io.quern.op.WindowPool;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;

/** {@code quern_window_pool}. */
final class CudaWindowPool implements WindowPoolKernel {
  private static final MethodHandle RUN =
      Downcalls.withLongs(
          QuernAbi.quern_window_pool$address(), QuernAbi.quern_window_pool$descriptor());

  private final int ordinal;
  private final WindowPool.Spec spec;

  private CudaWindowPool(int ordinal, WindowPool.Spec spec) {
    this.ordinal = ordinal;
    this.spec = spec;
  }

  static WindowPoolKernel prepare(Device device, WindowPool.Spec spec) {
    PrimaryContext context = ((RuntimeDevice) device).context();
    CudaWindowPool kernel = new CudaWindowPool(context.ordinal(), spec);
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment desc = quern_window_pool_desc.allocate(arena);
      kernel.describe(desc);
      quern_window_pool_desc.x_stride(desc, spec.dim());
      quern_window_pool_desc.out_stride(desc, spec.dim());
      context.call(
          "quern_window_pool_prepare",
          () -> QuernAbi.quern_window_pool_prepare(desc, context.ordinal()));
    }
    return kernel;
  }

  /** What does not change from call to call. */
  @SuppressWarnings("EnumOrdinal") // the numbers of the C ABI
  private void describe(MemorySegment desc) {
    quern_window_pool_desc.size(desc, (int) quern_window_pool_desc.sizeof());
    quern_window_pool_desc.x_dtype(desc, spec.x().ordinal());
    quern_window_pool_desc.out_dtype(desc, spec.out().ordinal());
    quern_window_pool_desc.mode(desc, spec.mode().ordinal());
    quern_window_pool_desc.window(desc, spec.window());
    quern_window_pool_desc.step(desc, spec.stride());
    quern_window_pool_desc.padding(desc, spec.padding());
    quern_window_pool_desc.reserved(desc, 0);
    quern_window_pool_desc.dim(desc, spec.dim());
  }

  @Override
  public void run(QueueStream stream, Buffer x, long length, Buffer out) {
    RuntimeStream queue = (RuntimeStream) stream;
    MemorySegment desc = queue.descriptor();
    describe(desc);
    quern_window_pool_desc.sequences(desc, x.shape().rank() == 2 ? 1 : x.shape().dim(0));
    quern_window_pool_desc.length(desc, length);
    quern_window_pool_desc.windows(desc, spec.windows(length));
    quern_window_pool_desc.x_stride(desc, Operand.stride(x));
    quern_window_pool_desc.out_stride(desc, Operand.stride(out));
    queue.launched(call(desc, queue, x, out), "quern_window_pool");
  }

  private int call(MemorySegment desc, RuntimeStream queue, Buffer x, Buffer out) {
    try {
      return (int)
          RUN.invokeExact(
              desc.address(),
              ordinal,
              address(x),
              address(out),
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
