package io.quern.internal.cuda;

import static io.quern.internal.cuda.Operand.address;

import io.quern.Device;
import io.quern.bindings.quern.QuernAbi;
import io.quern.bindings.quern.quern_pack_bits_desc;
import io.quern.internal.device.QueueStream;
import io.quern.internal.kernel.PackBitsKernel;
import io.quern.op.PackBits;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;

/** {@code quern_pack_bits}. */
final class CudaPackBits implements PackBitsKernel {
  private static final MethodHandle RUN =
      Downcalls.withLongs(
          QuernAbi.quern_pack_bits$address(), QuernAbi.quern_pack_bits$descriptor());

  private final int ordinal;
  private final PackBits.Spec spec;

  private CudaPackBits(int ordinal, PackBits.Spec spec) {
    this.ordinal = ordinal;
    this.spec = spec;
  }

  static PackBitsKernel prepare(Device device, PackBits.Spec spec) {
    PrimaryContext context = ((RuntimeDevice) device).context();
    CudaPackBits kernel = new CudaPackBits(context.ordinal(), spec);
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment desc = quern_pack_bits_desc.allocate(arena);
      kernel.describe(desc);
      context.call(
          "quern_pack_bits_prepare",
          () -> QuernAbi.quern_pack_bits_prepare(desc, context.ordinal()));
    }
    return kernel;
  }

  /** What does not change from call to call. */
  @SuppressWarnings("EnumOrdinal") // the numbers of the C ABI
  private void describe(MemorySegment desc) {
    quern_pack_bits_desc.size(desc, (int) quern_pack_bits_desc.sizeof());
    quern_pack_bits_desc.offset_dtype(desc, spec.offsets().ordinal());
    quern_pack_bits_desc.order(desc, spec.order().ordinal());
    quern_pack_bits_desc.reserved(desc, 0);
  }

  @Override
  public void run(QueueStream stream, PackBits.Operands operands) {
    RuntimeStream queue = (RuntimeStream) stream;
    MemorySegment desc = queue.descriptor();
    describe(desc);
    quern_pack_bits_desc.count(desc, operands.x().shape().size());
    quern_pack_bits_desc.segments(desc, operands.offsets().shape().size() - 1);
    quern_pack_bits_desc.bytes(desc, operands.out().shape().size());
    queue.launched(call(desc, queue, operands), "quern_pack_bits");
  }

  private int call(MemorySegment desc, RuntimeStream queue, PackBits.Operands operands) {
    try {
      return (int)
          RUN.invokeExact(
              desc.address(),
              ordinal,
              address(operands.x()),
              address(operands.offsets()),
              address(operands.out()),
              address(operands.outOffsets()),
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
