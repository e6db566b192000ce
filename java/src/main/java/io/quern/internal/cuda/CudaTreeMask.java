package io.quern.internal.cuda;

import static io.quern.internal.cuda.Operand.address;

import io.quern.Device;
import io.quern.bindings.quern.QuernAbi;
import io.quern.bindings.quern.quern_tree_mask_desc;
import io.quern.internal.device.QueueStream;
import io.quern.internal.kernel.TreeMaskKernel;
import io.quern.op.TreeMask;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;

/** {@code quern_tree_mask}. */
final class CudaTreeMask implements TreeMaskKernel {
  private static final MethodHandle RUN =
      Downcalls.withLongs(
          QuernAbi.quern_tree_mask$address(), QuernAbi.quern_tree_mask$descriptor());

  private final int ordinal;
  private final TreeMask.Spec spec;

  private CudaTreeMask(int ordinal, TreeMask.Spec spec) {
    this.ordinal = ordinal;
    this.spec = spec;
  }

  static TreeMaskKernel prepare(Device device, TreeMask.Spec spec) {
    PrimaryContext context = ((RuntimeDevice) device).context();
    CudaTreeMask kernel = new CudaTreeMask(context.ordinal(), spec);
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment desc = quern_tree_mask_desc.allocate(arena);
      kernel.describe(desc);
      context.call(
          "quern_tree_mask_prepare",
          () -> QuernAbi.quern_tree_mask_prepare(desc, context.ordinal()));
    }
    return kernel;
  }

  /** What does not change from call to call. */
  @SuppressWarnings("EnumOrdinal") // the numbers of the C ABI
  private void describe(MemorySegment desc) {
    quern_tree_mask_desc.size(desc, (int) quern_tree_mask_desc.sizeof());
    quern_tree_mask_desc.prefix_dtype(desc, spec.prefix().ordinal());
    quern_tree_mask_desc.format(desc, spec.format().ordinal());
    quern_tree_mask_desc.dtype(desc, spec.out().ordinal());
  }

  @Override
  public void run(QueueStream stream, TreeMask.Operands operands) {
    RuntimeStream queue = (RuntimeStream) stream;
    MemorySegment desc = queue.descriptor();
    describe(desc);
    quern_tree_mask_desc.requests(desc, operands.offsets().shape().size() - 1);
    quern_tree_mask_desc.nodes(desc, operands.parent().shape().size());
    quern_tree_mask_desc.columns(desc, operands.out().shape().last());
    quern_tree_mask_desc.stride(desc, Operand.stride(operands.out()));
    queue.launched(call(desc, queue, operands), "quern_tree_mask");
  }

  private int call(MemorySegment desc, RuntimeStream queue, TreeMask.Operands operands) {
    try {
      return (int)
          RUN.invokeExact(
              desc.address(),
              ordinal,
              address(operands.parent()),
              address(operands.offsets()),
              address(operands.prefix()),
              address(operands.out()),
              address(operands.indptr()),
              address(operands.status()),
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
