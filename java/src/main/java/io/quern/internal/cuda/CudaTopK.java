package io.quern.internal.cuda;

import static io.quern.internal.cuda.Operand.address;

import io.quern.Buffer;
import io.quern.Device;
import io.quern.bindings.quern.QuernAbi;
import io.quern.bindings.quern.quern_top_k_desc;
import io.quern.internal.device.QueueStream;
import io.quern.internal.kernel.TopKKernel;
import io.quern.op.TopK;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;

/** {@code quern_top_k}. */
final class CudaTopK implements TopKKernel {
  private static final MethodHandle RUN =
      Downcalls.withLongs(QuernAbi.quern_top_k$address(), QuernAbi.quern_top_k$descriptor());

  private final int ordinal;
  private final TopK.Spec spec;

  private CudaTopK(int ordinal, TopK.Spec spec) {
    this.ordinal = ordinal;
    this.spec = spec;
  }

  static TopKKernel prepare(Device device, TopK.Spec spec) {
    PrimaryContext context = ((RuntimeDevice) device).context();
    CudaTopK kernel = new CudaTopK(context.ordinal(), spec);
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment desc = quern_top_k_desc.allocate(arena);
      kernel.describe(desc);
      quern_top_k_desc.x_stride(desc, spec.dim());
      quern_top_k_desc.indices_stride(desc, spec.k());
      context.call(
          "quern_top_k_prepare", () -> QuernAbi.quern_top_k_prepare(desc, context.ordinal()));
    }
    return kernel;
  }

  /** What does not change from call to call. */
  @SuppressWarnings("EnumOrdinal") // the numbers of the C ABI
  private void describe(MemorySegment desc) {
    quern_top_k_desc.size(desc, (int) quern_top_k_desc.sizeof());
    quern_top_k_desc.x_dtype(desc, spec.x().ordinal());
    quern_top_k_desc.dim(desc, spec.dim());
    quern_top_k_desc.k(desc, spec.k());
  }

  @Override
  public void run(QueueStream stream, Buffer x, Buffer values, Buffer indices) {
    RuntimeStream queue = (RuntimeStream) stream;
    MemorySegment desc = queue.descriptor();
    describe(desc);
    quern_top_k_desc.rows(desc, x.shape().dim(0));
    quern_top_k_desc.x_stride(desc, Operand.stride(x));
    quern_top_k_desc.values_stride(desc, Operand.strideOrZero(values));
    quern_top_k_desc.indices_stride(desc, Operand.stride(indices));
    queue.launched(call(desc, queue, x, values, indices), "quern_top_k");
  }

  private int call(
      MemorySegment desc, RuntimeStream queue, Buffer x, Buffer values, Buffer indices) {
    try {
      return (int)
          RUN.invokeExact(
              desc.address(),
              ordinal,
              address(x),
              address(values),
              address(indices),
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
