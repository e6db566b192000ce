package io.quern.internal.cuda;

import static io.quern.internal.cuda.Operand.address;

import io.quern.Device;
import io.quern.bindings.quern.QuernAbi;
import io.quern.bindings.quern.quern_source_map_desc;
import io.quern.internal.device.QueueStream;
import io.quern.internal.kernel.SourceMapKernel;
import io.quern.op.SourceMap;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;

/** {@code quern_source_map}. */
final class CudaSourceMap implements SourceMapKernel {
  private static final MethodHandle RUN =
      Downcalls.withLongs(
          QuernAbi.quern_source_map$address(), QuernAbi.quern_source_map$descriptor());

  private final int ordinal;
  private final SourceMap.Spec spec;

  private CudaSourceMap(int ordinal, SourceMap.Spec spec) {
    this.ordinal = ordinal;
    this.spec = spec;
  }

  static SourceMapKernel prepare(Device device, SourceMap.Spec spec) {
    PrimaryContext context = ((RuntimeDevice) device).context();
    CudaSourceMap kernel = new CudaSourceMap(context.ordinal(), spec);
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment desc = quern_source_map_desc.allocate(arena);
      kernel.describe(desc, 0);
      context.call(
          "quern_source_map_prepare",
          () -> QuernAbi.quern_source_map_prepare(desc, context.ordinal()));
    }
    return kernel;
  }

  @SuppressWarnings("EnumOrdinal") // the numbers of the C ABI
  private void describe(MemorySegment desc, long batch) {
    quern_source_map_desc.size(desc, (int) quern_source_map_desc.sizeof());
    quern_source_map_desc.matrix_dtype(desc, spec.matrix().ordinal());
    quern_source_map_desc.batch(desc, batch);
    quern_source_map_desc.sources(desc, spec.sources());
    quern_source_map_desc.tokens(desc, spec.tokens());
    quern_source_map_desc.merged(desc, spec.merged());
  }

  @Override
  public void run(QueueStream stream, SourceMap.Operands operands) {
    RuntimeStream queue = (RuntimeStream) stream;
    MemorySegment desc = queue.descriptor();
    describe(desc, operands.groups().shape().dim(0));
    queue.launched(call(desc, queue, operands), "quern_source_map");
  }

  private int call(MemorySegment desc, RuntimeStream queue, SourceMap.Operands operands) {
    try {
      return (int)
          RUN.invokeExact(
              desc.address(),
              ordinal,
              address(operands.slot()),
              address(operands.source()),
              address(operands.groups()),
              address(operands.matrix()),
              queue.handle());
    } catch (RuntimeException | Error e) {
      throw e;
    } catch (Throwable e) {
      throw new AssertionError("a downcall throws nothing", e);
    }
  }
}
