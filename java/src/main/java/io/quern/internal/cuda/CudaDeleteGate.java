package io.quern.internal.cuda;

import static io.quern.internal.cuda.Operand.address;

import io.quern.Device;
import io.quern.bindings.quern.QuernAbi;
import io.quern.bindings.quern.quern_delete_gate_desc;
import io.quern.internal.device.QueueStream;
import io.quern.internal.kernel.DeleteGateKernel;
import io.quern.op.DeleteGate;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;

/** {@code quern_delete_gate}. */
final class CudaDeleteGate implements DeleteGateKernel {
  private static final MethodHandle RUN =
      Downcalls.withLongs(
          QuernAbi.quern_delete_gate$address(), QuernAbi.quern_delete_gate$descriptor());

  private final int ordinal;
  private final DeleteGate.Spec spec;

  private CudaDeleteGate(int ordinal, DeleteGate.Spec spec) {
    this.ordinal = ordinal;
    this.spec = spec;
  }

  static DeleteGateKernel prepare(Device device, DeleteGate.Spec spec) {
    PrimaryContext context = ((RuntimeDevice) device).context();
    CudaDeleteGate kernel = new CudaDeleteGate(context.ordinal(), spec);
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment desc = quern_delete_gate_desc.allocate(arena);
      kernel.describe(desc, 0, spec.dim());
      context.call(
          "quern_delete_gate_prepare",
          () -> QuernAbi.quern_delete_gate_prepare(desc, context.ordinal()));
    }
    return kernel;
  }

  @SuppressWarnings("EnumOrdinal") // the numbers of the C ABI
  private void describe(MemorySegment desc, long rows, long stride) {
    quern_delete_gate_desc.size(desc, (int) quern_delete_gate_desc.sizeof());
    quern_delete_gate_desc.dtype(desc, spec.dtype().ordinal());
    quern_delete_gate_desc.rows(desc, rows);
    quern_delete_gate_desc.dim(desc, spec.dim());
    quern_delete_gate_desc.x_stride(desc, stride);
    quern_delete_gate_desc.normalized(desc, spec.normalized() ? 1 : 0);
    quern_delete_gate_desc.epsilon(desc, spec.epsilon());
    quern_delete_gate_desc.bias(desc, spec.bias());
    quern_delete_gate_desc.scale(desc, spec.scale());
    quern_delete_gate_desc.threshold(desc, spec.threshold());
    quern_delete_gate_desc.reserved(desc, 0);
  }

  @Override
  public void run(QueueStream stream, DeleteGate.Operands operands) {
    RuntimeStream queue = (RuntimeStream) stream;
    MemorySegment desc = queue.descriptor();
    describe(desc, operands.key().shape().size(), Operand.stride(operands.x()));
    queue.launched(call(desc, queue, operands), "quern_delete_gate");
  }

  private int call(MemorySegment desc, RuntimeStream queue, DeleteGate.Operands operands) {
    try {
      return (int)
          RUN.invokeExact(
              desc.address(),
              ordinal,
              address(operands.x()),
              address(operands.weight()),
              address(operands.group()),
              address(operands.gate()),
              address(operands.key()),
              queue.handle());
    } catch (RuntimeException | Error e) {
      throw e;
    } catch (Throwable e) {
      throw new AssertionError("a downcall throws nothing", e);
    }
  }
}
