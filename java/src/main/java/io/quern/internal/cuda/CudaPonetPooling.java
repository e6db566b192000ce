package io.quern.internal.cuda;

import static io.quern.internal.cuda.Operand.address;

import io.quern.Device;
import io.quern.bindings.quern.QuernAbi;
import io.quern.bindings.quern.quern_ponet_pooling_desc;
import io.quern.internal.device.QueueStream;
import io.quern.internal.kernel.Operator;
import io.quern.internal.kernel.PonetPoolingKernel;
import io.quern.op.PonetPooling;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;

/** {@code quern_ponet_pooling}. */
final class CudaPonetPooling implements PonetPoolingKernel {
  private static final MethodHandle RUN =
      Downcalls.withLongs(
          QuernAbi.quern_ponet_pooling$address(), QuernAbi.quern_ponet_pooling$descriptor());

  private final int ordinal;
  private final PonetPooling.Spec spec;

  private CudaPonetPooling(int ordinal, PonetPooling.Spec spec) {
    this.ordinal = ordinal;
    this.spec = spec;
  }

  static PonetPoolingKernel prepare(Device device, PonetPooling.Spec spec) {
    PrimaryContext context = ((RuntimeDevice) device).context();
    CudaPonetPooling kernel = new CudaPonetPooling(context.ordinal(), spec);
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment desc = quern_ponet_pooling_desc.allocate(arena);
      kernel.describe(desc);
      setStrides(desc, spec.columns());
      context.call(
          "quern_ponet_pooling_prepare",
          () -> QuernAbi.quern_ponet_pooling_prepare(desc, context.ordinal()));
    }
    return kernel;
  }

  /** What does not change from call to call. */
  @SuppressWarnings("EnumOrdinal") // the numbers of the C ABI
  private void describe(MemorySegment desc) {
    quern_ponet_pooling_desc.size(desc, (int) quern_ponet_pooling_desc.sizeof());
    quern_ponet_pooling_desc.x_dtype(desc, spec.x().ordinal());
    quern_ponet_pooling_desc.out_dtype(desc, spec.out().ordinal());
    quern_ponet_pooling_desc.offset_dtype(desc, spec.offsets().ordinal());
    quern_ponet_pooling_desc.heads(desc, spec.heads());
    quern_ponet_pooling_desc.head_dim(desc, spec.headDim());
    quern_ponet_pooling_desc.window(desc, spec.window());
    quern_ponet_pooling_desc.flavour(desc, spec.flavour().ordinal());
    quern_ponet_pooling_desc.scale(desc, spec.scale());
    quern_ponet_pooling_desc.reserved(desc, 0);
  }

  private static void setStrides(MemorySegment desc, long stride) {
    quern_ponet_pooling_desc.q_stride(desc, stride);
    quern_ponet_pooling_desc.k_stride(desc, stride);
    quern_ponet_pooling_desc.o_stride(desc, stride);
    quern_ponet_pooling_desc.local_stride(desc, stride);
    quern_ponet_pooling_desc.segment_stride(desc, stride);
    quern_ponet_pooling_desc.out_stride(desc, stride);
  }

  @Override
  public long workspaceBytes(long sequences, long tokens) {
    return QuernAbi.quern_ponet_pooling_workspace(sequences, tokens, spec.heads(), spec.headDim());
  }

  @Override
  public void run(QueueStream stream, PonetPooling.Operands operands) {
    RuntimeStream queue = (RuntimeStream) stream;
    MemorySegment desc = queue.descriptor();
    describe(desc);
    quern_ponet_pooling_desc.count(desc, operands.out().shape().dim(0));
    quern_ponet_pooling_desc.sequences(desc, operands.offsets().shape().dim(0) - 1);
    quern_ponet_pooling_desc.q_stride(desc, Operand.stride(operands.q()));
    quern_ponet_pooling_desc.k_stride(desc, Operand.stride(operands.k()));
    quern_ponet_pooling_desc.o_stride(desc, Operand.stride(operands.o()));
    quern_ponet_pooling_desc.local_stride(desc, Operand.stride(operands.local()));
    quern_ponet_pooling_desc.segment_stride(desc, Operand.stride(operands.segment()));
    quern_ponet_pooling_desc.out_stride(desc, Operand.stride(operands.out()));
    quern_ponet_pooling_desc.launch(desc, queue.nextLaunch(Operator.PONET_POOLING));
    queue.launched(call(desc, queue, operands), "quern_ponet_pooling");
  }

  private int call(MemorySegment desc, RuntimeStream queue, PonetPooling.Operands operands) {
    try {
      return (int)
          RUN.invokeExact(
              desc.address(),
              ordinal,
              address(operands.q()),
              address(operands.k()),
              address(operands.o()),
              address(operands.local()),
              address(operands.segment()),
              address(operands.offsets()),
              address(operands.segmentIds()),
              address(operands.valid()),
              address(operands.special()),
              address(operands.out()),
              address(operands.probabilities()),
              queue.errorRecord(),
              address(operands.workspace()),
              operands.workspace() == null ? 0L : operands.workspace().shape().dim(0),
              queue.handle());
    } catch (RuntimeException | Error e) {
      throw e;
    } catch (Throwable e) {
      throw new AssertionError("a downcall throws nothing", e);
    }
  }
}
