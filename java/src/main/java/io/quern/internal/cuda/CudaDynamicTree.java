package io.quern.internal.cuda;

import static io.quern.internal.cuda.Operand.address;

import io.quern.Device;
import io.quern.bindings.quern.QuernAbi;
import io.quern.bindings.quern.quern_dynamic_tree_desc;
import io.quern.internal.device.QueueStream;
import io.quern.internal.kernel.DynamicTreeKernel;
import io.quern.op.DynamicTree;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;

/** {@code quern_dynamic_tree}. */
final class CudaDynamicTree implements DynamicTreeKernel {
  private static final MethodHandle RUN =
      Downcalls.withLongs(
          QuernAbi.quern_dynamic_tree$address(), QuernAbi.quern_dynamic_tree$descriptor());
  private static final long OUT = quern_dynamic_tree_desc.out$offset();

  private final int ordinal;
  private final DynamicTree.Spec spec;

  private CudaDynamicTree(int ordinal, DynamicTree.Spec spec) {
    this.ordinal = ordinal;
    this.spec = spec;
  }

  static DynamicTreeKernel prepare(Device device, DynamicTree.Spec spec) {
    PrimaryContext context = ((RuntimeDevice) device).context();
    CudaDynamicTree kernel = new CudaDynamicTree(context.ordinal(), spec);
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment desc = quern_dynamic_tree_desc.allocate(arena);
      kernel.describe(desc);
      context.call(
          "quern_dynamic_tree_prepare",
          () -> QuernAbi.quern_dynamic_tree_prepare(desc, context.ordinal()));
    }
    return kernel;
  }

  /** What does not change from call to call. */
  @SuppressWarnings("EnumOrdinal") // the numbers of the C ABI
  private void describe(MemorySegment desc) {
    quern_dynamic_tree_desc.size(desc, (int) quern_dynamic_tree_desc.sizeof());
    quern_dynamic_tree_desc.prefix_dtype(desc, spec.outputs().prefix().ordinal());
    quern_dynamic_tree_desc.index_dtype(desc, spec.indices().ordinal());
    quern_dynamic_tree_desc.numbering(desc, spec.numbering().ordinal());
    quern_dynamic_tree_desc.tree_nodes(desc, spec.nodes());
    quern_dynamic_tree_desc.pool(desc, spec.pool());
    quern_dynamic_tree_desc.groups(desc, spec.groups());
    quern_dynamic_tree_desc.top_k(desc, spec.topK());
    TreeOutputsOperand.describe(desc, OUT, spec.outputs());
  }

  @Override
  public void run(QueueStream stream, DynamicTree.Operands operands) {
    RuntimeStream queue = (RuntimeStream) stream;
    MemorySegment desc = queue.descriptor();
    describe(desc);
    quern_dynamic_tree_desc.requests(desc, operands.parentList().shape().dim(0));
    quern_dynamic_tree_desc.score_stride(
        desc, operands.scores() == null ? 0 : Operand.stride(operands.scores()));
    TreeOutputsOperand.set(desc, OUT, operands.out());
    queue.launched(call(desc, queue, operands), "quern_dynamic_tree");
  }

  private int call(MemorySegment desc, RuntimeStream queue, DynamicTree.Operands operands) {
    try {
      return (int)
          RUN.invokeExact(
              desc.address(),
              ordinal,
              address(operands.scores()),
              address(operands.selection()),
              address(operands.parentList()),
              address(operands.prefix()),
              address(operands.selected()),
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
