package io.quern.internal.cuda;

import static io.quern.internal.cuda.Operand.address;

import io.quern.Device;
import io.quern.bindings.quern.QuernAbi;
import io.quern.bindings.quern.quern_tree_from_mask_desc;
import io.quern.internal.device.QueueStream;
import io.quern.internal.kernel.TreeFromMaskKernel;
import io.quern.op.TreeFromMask;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;

/** {@code quern_tree_from_mask}. */
final class CudaTreeFromMask implements TreeFromMaskKernel {
  private static final MethodHandle RUN =
      Downcalls.withLongs(
          QuernAbi.quern_tree_from_mask$address(), QuernAbi.quern_tree_from_mask$descriptor());
  private static final long OUT = quern_tree_from_mask_desc.out$offset();

  private final int ordinal;
  private final TreeFromMask.Spec spec;

  private CudaTreeFromMask(int ordinal, TreeFromMask.Spec spec) {
    this.ordinal = ordinal;
    this.spec = spec;
  }

  static TreeFromMaskKernel prepare(Device device, TreeFromMask.Spec spec) {
    PrimaryContext context = ((RuntimeDevice) device).context();
    CudaTreeFromMask kernel = new CudaTreeFromMask(context.ordinal(), spec);
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment desc = quern_tree_from_mask_desc.allocate(arena);
      kernel.describe(desc);
      context.call(
          "quern_tree_from_mask_prepare",
          () -> QuernAbi.quern_tree_from_mask_prepare(desc, context.ordinal()));
    }
    return kernel;
  }

  /** What does not change from call to call. */
  @SuppressWarnings("EnumOrdinal") // the numbers of the C ABI
  private void describe(MemorySegment desc) {
    quern_tree_from_mask_desc.size(desc, (int) quern_tree_from_mask_desc.sizeof());
    quern_tree_from_mask_desc.prefix_dtype(desc, spec.outputs().prefix().ordinal());
    quern_tree_from_mask_desc.tree_nodes(desc, spec.nodes());
    TreeOutputsOperand.describe(desc, OUT, spec.outputs());
  }

  @Override
  public void run(QueueStream stream, TreeFromMask.Operands operands) {
    RuntimeStream queue = (RuntimeStream) stream;
    MemorySegment desc = queue.descriptor();
    describe(desc);
    quern_tree_from_mask_desc.requests(desc, operands.mask().shape().dim(0));
    TreeOutputsOperand.set(desc, OUT, operands.out());
    queue.launched(call(desc, queue, operands), "quern_tree_from_mask");
  }

  private int call(MemorySegment desc, RuntimeStream queue, TreeFromMask.Operands operands) {
    try {
      return (int)
          RUN.invokeExact(
              desc.address(),
              ordinal,
              address(operands.mask()),
              address(operands.prefix()),
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
