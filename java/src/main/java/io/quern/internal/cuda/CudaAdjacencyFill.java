package io.quern.internal.cuda;

import static io.quern.internal.cuda.Operand.address;

import io.quern.Device;
import io.quern.bindings.quern.QuernAbi;
import io.quern.bindings.quern.quern_adjacency_fill_desc;
import io.quern.internal.device.QueueStream;
import io.quern.internal.kernel.AdjacencyFillKernel;
import io.quern.internal.kernel.Operator;
import io.quern.op.AdjacencyFill;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;

/** {@code quern_adjacency_fill}. */
final class CudaAdjacencyFill implements AdjacencyFillKernel {
  private static final MethodHandle RUN =
      Downcalls.withLongs(
          QuernAbi.quern_adjacency_fill$address(), QuernAbi.quern_adjacency_fill$descriptor());

  private final int ordinal;
  private final AdjacencyFill.Spec spec;

  private CudaAdjacencyFill(int ordinal, AdjacencyFill.Spec spec) {
    this.ordinal = ordinal;
    this.spec = spec;
  }

  static AdjacencyFillKernel prepare(Device device, AdjacencyFill.Spec spec) {
    PrimaryContext context = ((RuntimeDevice) device).context();
    CudaAdjacencyFill kernel = new CudaAdjacencyFill(context.ordinal(), spec);
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment desc = quern_adjacency_fill_desc.allocate(arena);
      kernel.describe(desc);
      quern_adjacency_fill_desc.stride(desc, spec.candidates());
      context.call(
          "quern_adjacency_fill_prepare",
          () -> QuernAbi.quern_adjacency_fill_prepare(desc, context.ordinal()));
    }
    return kernel;
  }

  /** What does not change from call to call. */
  @SuppressWarnings("EnumOrdinal") // the numbers of the C ABI
  private void describe(MemorySegment desc) {
    quern_adjacency_fill_desc.size(desc, (int) quern_adjacency_fill_desc.sizeof());
    quern_adjacency_fill_desc.policy(desc, spec.policy().ordinal());
    quern_adjacency_fill_desc.vocab(desc, spec.vocab());
    quern_adjacency_fill_desc.candidates(desc, spec.candidates());
  }

  @Override
  public void run(QueueStream stream, AdjacencyFill.Operands operands) {
    RuntimeStream queue = (RuntimeStream) stream;
    MemorySegment desc = queue.descriptor();
    describe(desc);
    quern_adjacency_fill_desc.requests(desc, operands.status().shape().size());
    quern_adjacency_fill_desc.nodes(desc, operands.tokens().shape().size());
    quern_adjacency_fill_desc.stride(desc, Operand.stride(operands.adjacency()));
    quern_adjacency_fill_desc.launch(desc, queue.nextLaunch(Operator.ADJACENCY_FILL));
    queue.launched(call(desc, queue, operands), "quern_adjacency_fill");
  }

  private int call(MemorySegment desc, RuntimeStream queue, AdjacencyFill.Operands operands) {
    try {
      return (int)
          RUN.invokeExact(
              desc.address(),
              ordinal,
              address(operands.adjacency()),
              address(operands.roots()),
              address(operands.parent()),
              address(operands.rank()),
              address(operands.offsets()),
              address(operands.tokens()),
              address(operands.status()),
              queue.errorRecord(),
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
