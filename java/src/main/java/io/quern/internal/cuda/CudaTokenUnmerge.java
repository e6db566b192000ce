package io.quern.internal.cuda;

import static io.quern.internal.cuda.Operand.address;

import io.quern.Device;
import io.quern.bindings.quern.QuernAbi;
import io.quern.bindings.quern.quern_token_unmerge_desc;
import io.quern.internal.device.QueueStream;
import io.quern.internal.kernel.TokenUnmergeKernel;
import io.quern.op.TokenUnmerge;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;

/** {@code quern_token_unmerge}. */
final class CudaTokenUnmerge implements TokenUnmergeKernel {
  private static final MethodHandle RUN =
      Downcalls.withLongs(
          QuernAbi.quern_token_unmerge$address(), QuernAbi.quern_token_unmerge$descriptor());

  private final int ordinal;
  private final TokenUnmerge.Spec spec;

  private CudaTokenUnmerge(int ordinal, TokenUnmerge.Spec spec) {
    this.ordinal = ordinal;
    this.spec = spec;
  }

  static TokenUnmergeKernel prepare(Device device, TokenUnmerge.Spec spec) {
    PrimaryContext context = ((RuntimeDevice) device).context();
    CudaTokenUnmerge kernel = new CudaTokenUnmerge(context.ordinal(), spec);
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment desc = quern_token_unmerge_desc.allocate(arena);
      kernel.describe(desc, 0, spec.dim(), spec.dim());
      context.call(
          "quern_token_unmerge_prepare",
          () -> QuernAbi.quern_token_unmerge_prepare(desc, context.ordinal()));
    }
    return kernel;
  }

  @SuppressWarnings("EnumOrdinal") // the numbers of the C ABI
  private void describe(MemorySegment desc, long batch, long stride, long outStride) {
    quern_token_unmerge_desc.size(desc, (int) quern_token_unmerge_desc.sizeof());
    quern_token_unmerge_desc.dtype(desc, spec.dtype().ordinal());
    quern_token_unmerge_desc.dropped_to_first(desc, spec.droppedToFirst() ? 1 : 0);
    quern_token_unmerge_desc.reserved(desc, 0);
    quern_token_unmerge_desc.batch(desc, batch);
    quern_token_unmerge_desc.merged(desc, spec.merged());
    quern_token_unmerge_desc.tokens(desc, spec.tokens());
    quern_token_unmerge_desc.dim(desc, spec.dim());
    quern_token_unmerge_desc.y_stride(desc, stride);
    quern_token_unmerge_desc.out_stride(desc, outStride);
  }

  @Override
  public void run(QueueStream stream, TokenUnmerge.Operands operands) {
    RuntimeStream queue = (RuntimeStream) stream;
    MemorySegment desc = queue.descriptor();
    describe(
        desc,
        operands.slot().shape().dim(0),
        Operand.stride(operands.y()),
        Operand.stride(operands.out()));
    queue.launched(call(desc, queue, operands), "quern_token_unmerge");
  }

  private int call(MemorySegment desc, RuntimeStream queue, TokenUnmerge.Operands operands) {
    try {
      return (int)
          RUN.invokeExact(
              desc.address(),
              ordinal,
              address(operands.y()),
              address(operands.slot()),
              address(operands.out()),
              queue.handle());
    } catch (RuntimeException | Error e) {
      throw e;
    } catch (Throwable e) {
      throw new AssertionError("a downcall throws nothing", e);
    }
  }
}
