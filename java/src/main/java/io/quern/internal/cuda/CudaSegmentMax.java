package io.quern.internal.cuda;

import static io.quern.internal.cuda.Operand.address;

import io.quern.Buffer;
import io.quern.Device;
import io.quern.bindings.quern.QuernAbi;
import io.quern.bindings.quern.quern_segment_max_desc;
import io.quern.internal.device.QueueStream;
import io.quern.internal.kernel.Operator;
import io.quern.internal.kernel.SegmentMaxKernel;
import io.quern.op.SegmentMax;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;

/** {@code quern_segment_max}. */
final class CudaSegmentMax implements SegmentMaxKernel {
  private static final MethodHandle RUN =
      Downcalls.withLongs(
          QuernAbi.quern_segment_max$address(), QuernAbi.quern_segment_max$descriptor());

  private final int ordinal;
  private final SegmentMax.Spec spec;

  private CudaSegmentMax(int ordinal, SegmentMax.Spec spec) {
    this.ordinal = ordinal;
    this.spec = spec;
  }

  static SegmentMaxKernel prepare(Device device, SegmentMax.Spec spec) {
    PrimaryContext context = ((RuntimeDevice) device).context();
    CudaSegmentMax kernel = new CudaSegmentMax(context.ordinal(), spec);
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment desc = quern_segment_max_desc.allocate(arena);
      kernel.describe(desc);
      quern_segment_max_desc.x_stride(desc, spec.dim());
      quern_segment_max_desc.out_stride(desc, spec.dim());
      context.call(
          "quern_segment_max_prepare",
          () -> QuernAbi.quern_segment_max_prepare(desc, context.ordinal()));
    }
    return kernel;
  }

  /** What does not change from call to call. */
  @SuppressWarnings("EnumOrdinal") // the numbers of the C ABI
  private void describe(MemorySegment desc) {
    quern_segment_max_desc.size(desc, (int) quern_segment_max_desc.sizeof());
    quern_segment_max_desc.dtype(desc, spec.x().ordinal());
    quern_segment_max_desc.id_dtype(desc, spec.ids().ordinal());
    quern_segment_max_desc.reserved(desc, 0);
    quern_segment_max_desc.dim(desc, spec.dim());
  }

  @Override
  public long workspaceBytes(long segments) {
    return segments * spec.dim() * Integer.BYTES;
  }

  @Override
  public void run(QueueStream stream, Buffer x, Buffer ids, Buffer out, Buffer workspace) {
    RuntimeStream queue = (RuntimeStream) stream;
    MemorySegment desc = queue.descriptor();
    describe(desc);
    quern_segment_max_desc.count(desc, x.shape().dim(0));
    quern_segment_max_desc.segments(desc, out.shape().dim(0));
    quern_segment_max_desc.x_stride(desc, Operand.stride(x));
    quern_segment_max_desc.out_stride(desc, Operand.stride(out));
    quern_segment_max_desc.launch(desc, queue.nextLaunch(Operator.SEGMENT_MAX));
    queue.launched(call(desc, queue, x, ids, out, workspace), "quern_segment_max");
  }

  private int call(
      MemorySegment desc, RuntimeStream queue, Buffer x, Buffer ids, Buffer out, Buffer workspace) {
    try {
      return (int)
          RUN.invokeExact(
              desc.address(),
              ordinal,
              address(x),
              address(ids),
              address(out),
              queue.errorRecord(),
              address(workspace),
              workspace.shape().dim(0),
              queue.handle());
    } catch (RuntimeException | Error e) {
      throw e;
    } catch (Throwable e) {
      throw new AssertionError("a downcall throws nothing", e);
    }
  }
}
