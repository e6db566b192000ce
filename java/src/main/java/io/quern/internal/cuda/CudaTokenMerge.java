package io.quern.internal.cuda;

import static io.quern.internal.cuda.Operand.address;

import io.quern.Device;
import io.quern.bindings.quern.QuernAbi;
import io.quern.bindings.quern.quern_token_merge_desc;
import io.quern.internal.device.QueueStream;
import io.quern.internal.kernel.TokenMergeKernel;
import io.quern.op.TokenMerge;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;

/** {@code quern_token_merge}. */
final class CudaTokenMerge implements TokenMergeKernel {
  private static final MethodHandle RUN =
      Downcalls.withLongs(
          QuernAbi.quern_token_merge$address(), QuernAbi.quern_token_merge$descriptor());

  private final int ordinal;
  private final TokenMerge.Spec spec;

  private CudaTokenMerge(int ordinal, TokenMerge.Spec spec) {
    this.ordinal = ordinal;
    this.spec = spec;
  }

  static TokenMergeKernel prepare(Device device, TokenMerge.Spec spec) {
    PrimaryContext context = ((RuntimeDevice) device).context();
    CudaTokenMerge kernel = new CudaTokenMerge(context.ordinal(), spec);
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment desc = quern_token_merge_desc.allocate(arena);
      describe(desc, spec, 0, spec.dim(), spec.dim());
      context.call(
          "quern_token_merge_prepare",
          () -> QuernAbi.quern_token_merge_prepare(desc, context.ordinal()));
    }
    return kernel;
  }

  @SuppressWarnings("EnumOrdinal") // the numbers of the C ABI
  static void describe(
      MemorySegment desc, TokenMerge.Spec spec, long batch, long stride, long outStride) {
    quern_token_merge_desc.size(desc, (int) quern_token_merge_desc.sizeof());
    quern_token_merge_desc.dtype(desc, spec.dtype().ordinal());
    quern_token_merge_desc.combine(desc, spec.combine().ordinal());
    quern_token_merge_desc.least_size(desc, spec.leastSize());
    quern_token_merge_desc.batch(desc, batch);
    quern_token_merge_desc.tokens(desc, spec.tokens());
    quern_token_merge_desc.merged(desc, spec.merged());
    quern_token_merge_desc.dim(desc, spec.dim());
    quern_token_merge_desc.x_stride(desc, stride);
    quern_token_merge_desc.out_stride(desc, outStride);
  }

  @Override
  public void run(QueueStream stream, TokenMerge.Operands operands) {
    RuntimeStream queue = (RuntimeStream) stream;
    MemorySegment desc = queue.descriptor();
    describe(
        desc,
        spec,
        operands.slot().shape().dim(0),
        Operand.stride(operands.x()),
        Operand.stride(operands.out()));
    queue.launched(call(desc, queue, operands), "quern_token_merge");
  }

  private int call(MemorySegment desc, RuntimeStream queue, TokenMerge.Operands operands) {
    try {
      return (int)
          RUN.invokeExact(
              desc.address(),
              ordinal,
              address(operands.x()),
              address(operands.slot()),
              address(operands.size()),
              address(operands.scale()),
              address(operands.out()),
              address(operands.sizeOut()),
              queue.handle());
    } catch (RuntimeException | Error e) {
      throw e;
    } catch (Throwable e) {
      throw new AssertionError("a downcall throws nothing", e);
    }
  }
}
