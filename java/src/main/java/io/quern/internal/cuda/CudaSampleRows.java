package io.quern.internal.cuda;

import static io.quern.internal.cuda.Operand.address;

import io.quern.Device;
import io.quern.bindings.quern.QuernAbi;
import io.quern.bindings.quern.quern_sample_rows_desc;
import io.quern.internal.device.QueueStream;
import io.quern.internal.kernel.SampleRowsKernel;
import io.quern.op.SampleRows;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;

/** {@code quern_sample_rows}. */
final class CudaSampleRows implements SampleRowsKernel {
  private static final MethodHandle RUN =
      Downcalls.withLongs(
          QuernAbi.quern_sample_rows$address(), QuernAbi.quern_sample_rows$descriptor());

  private final int ordinal;
  private final SampleRows.Spec spec;

  private CudaSampleRows(int ordinal, SampleRows.Spec spec) {
    this.ordinal = ordinal;
    this.spec = spec;
  }

  static SampleRowsKernel prepare(Device device, SampleRows.Spec spec) {
    PrimaryContext context = ((RuntimeDevice) device).context();
    CudaSampleRows kernel = new CudaSampleRows(context.ordinal(), spec);
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment desc = quern_sample_rows_desc.allocate(arena);
      kernel.describe(desc);
      quern_sample_rows_desc.x_stride(desc, spec.dim());
      quern_sample_rows_desc.indices_stride(desc, spec.k());
      context.call(
          "quern_sample_rows_prepare",
          () -> QuernAbi.quern_sample_rows_prepare(desc, context.ordinal()));
    }
    return kernel;
  }

  /** What does not change from call to call. */
  @SuppressWarnings("EnumOrdinal") // the numbers of the C ABI
  private void describe(MemorySegment desc) {
    quern_sample_rows_desc.size(desc, (int) quern_sample_rows_desc.sizeof());
    quern_sample_rows_desc.x_dtype(desc, spec.x().ordinal());
    quern_sample_rows_desc.scale(desc, spec.scale());
    quern_sample_rows_desc.purpose(desc, spec.purpose());
    quern_sample_rows_desc.dim(desc, spec.dim());
    quern_sample_rows_desc.k(desc, spec.k());
  }

  @Override
  public void run(QueueStream stream, SampleRows.Operands of) {
    RuntimeStream queue = (RuntimeStream) stream;
    MemorySegment desc = queue.descriptor();
    describe(desc);
    quern_sample_rows_desc.rows(desc, of.x().shape().dim(0));
    quern_sample_rows_desc.x_stride(desc, Operand.strideOrZero(of.x()));
    quern_sample_rows_desc.uniforms_stride(desc, Operand.strideOrZero(of.uniforms()));
    quern_sample_rows_desc.scores_stride(desc, Operand.strideOrZero(of.scores()));
    quern_sample_rows_desc.values_stride(desc, Operand.strideOrZero(of.values()));
    quern_sample_rows_desc.indices_stride(desc, Operand.strideOrZero(of.indices()));
    queue.launched(call(desc, queue, of), "quern_sample_rows");
  }

  private int call(MemorySegment desc, RuntimeStream queue, SampleRows.Operands of) {
    try {
      return (int)
          RUN.invokeExact(
              desc.address(),
              ordinal,
              address(of.x()),
              address(of.uniforms()),
              address(of.seeds()),
              address(of.positions()),
              address(of.scores()),
              address(of.values()),
              address(of.indices()),
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
