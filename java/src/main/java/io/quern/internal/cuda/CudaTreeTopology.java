package io.quern.internal.cuda;

import static io.quern.internal.cuda.Operand.address;

import io.quern.Device;
import io.quern.bindings.quern.QuernAbi;
import io.quern.bindings.quern.quern_tree_topology_desc;
import io.quern.internal.device.QueueStream;
import io.quern.internal.kernel.TreeTopologyKernel;
import io.quern.op.TreeTopology;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;

/** {@code quern_tree_topology}. */
final class CudaTreeTopology implements TreeTopologyKernel {
  private static final MethodHandle RUN =
      Downcalls.withLongs(
          QuernAbi.quern_tree_topology$address(), QuernAbi.quern_tree_topology$descriptor());
  private static final long OUT = quern_tree_topology_desc.out$offset();

  private final int ordinal;
  private final TreeTopology.Spec spec;

  private CudaTreeTopology(int ordinal, TreeTopology.Spec spec) {
    this.ordinal = ordinal;
    this.spec = spec;
  }

  static TreeTopologyKernel prepare(Device device, TreeTopology.Spec spec) {
    PrimaryContext context = ((RuntimeDevice) device).context();
    CudaTreeTopology kernel = new CudaTreeTopology(context.ordinal(), spec);
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment desc = quern_tree_topology_desc.allocate(arena);
      kernel.describe(desc);
      context.call(
          "quern_tree_topology_prepare",
          () -> QuernAbi.quern_tree_topology_prepare(desc, context.ordinal()));
    }
    return kernel;
  }

  /** What does not change from call to call. */
  @SuppressWarnings("EnumOrdinal") // the numbers of the C ABI
  private void describe(MemorySegment desc) {
    quern_tree_topology_desc.size(desc, (int) quern_tree_topology_desc.sizeof());
    quern_tree_topology_desc.prefix_dtype(desc, spec.prefix().ordinal());
    TreeOutputsOperand.describe(desc, OUT, spec);
  }

  @Override
  public void run(QueueStream stream, TreeTopology.Operands operands) {
    RuntimeStream queue = (RuntimeStream) stream;
    MemorySegment desc = queue.descriptor();
    describe(desc);
    quern_tree_topology_desc.requests(desc, operands.offsets().shape().size() - 1);
    quern_tree_topology_desc.nodes(desc, operands.parent().shape().size());
    TreeOutputsOperand.set(desc, OUT, operands.out());
    queue.launched(call(desc, queue, operands), "quern_tree_topology");
  }

  private int call(MemorySegment desc, RuntimeStream queue, TreeTopology.Operands operands) {
    try {
      return (int)
          RUN.invokeExact(
              desc.address(),
              ordinal,
              address(operands.parent()),
              address(operands.offsets()),
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
