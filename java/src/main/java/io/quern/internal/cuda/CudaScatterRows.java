package io.quern.internal.cuda;

import static io.quern.internal.cuda.Operand.address;

import io.quern.Buffer;
import io.quern.Device;
import io.quern.bindings.quern.QuernAbi;
import io.quern.bindings.quern.quern_scatter_rows_desc;
import io.quern.internal.device.QueueStream;
import io.quern.internal.kernel.Operator;
import io.quern.internal.kernel.ScatterRowsKernel;
import io.quern.op.ScatterRows;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;

/** {@code quern_scatter_rows}. */
final class CudaScatterRows implements ScatterRowsKernel {
  private static final MethodHandle RUN =
      Downcalls.withLongs(
          QuernAbi.quern_scatter_rows$address(), QuernAbi.quern_scatter_rows$descriptor());

  /** Of the table of destinations, as the header says. */
  private static final long LEAST_CAPACITY = 64;

  private static final int ENTRY_BYTES = 3 * Integer.BYTES;

  private final int ordinal;
  private final ScatterRows.Spec spec;

  private CudaScatterRows(int ordinal, ScatterRows.Spec spec) {
    this.ordinal = ordinal;
    this.spec = spec;
  }

  static ScatterRowsKernel prepare(Device device, ScatterRows.Spec spec) {
    PrimaryContext context = ((RuntimeDevice) device).context();
    CudaScatterRows kernel = new CudaScatterRows(context.ordinal(), spec);
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment desc = quern_scatter_rows_desc.allocate(arena);
      kernel.describe(desc);
      quern_scatter_rows_desc.x_stride(desc, spec.dim());
      quern_scatter_rows_desc.out_stride(desc, spec.dim());
      context.call(
          "quern_scatter_rows_prepare",
          () -> QuernAbi.quern_scatter_rows_prepare(desc, context.ordinal()));
    }
    return kernel;
  }

  /** What does not change from call to call. */
  @SuppressWarnings("EnumOrdinal") // the numbers of the C ABI
  private void describe(MemorySegment desc) {
    quern_scatter_rows_desc.size(desc, (int) quern_scatter_rows_desc.sizeof());
    quern_scatter_rows_desc.x_dtype(desc, spec.x().ordinal());
    quern_scatter_rows_desc.out_dtype(desc, spec.out().ordinal());
    quern_scatter_rows_desc.id_dtype(desc, spec.ids().ordinal());
    quern_scatter_rows_desc.mode(desc, spec.mode().ordinal());
    quern_scatter_rows_desc.policy(desc, spec.policy().ordinal());
    quern_scatter_rows_desc.dim(desc, spec.dim());
  }

  @Override
  public long workspaceBytes(long count) {
    if (count == 0) {
      return 0;
    }
    long capacity = Math.max(LEAST_CAPACITY, Long.highestOneBit(2 * count - 1) << 1);
    return count * Integer.BYTES + capacity * ENTRY_BYTES;
  }

  @Override
  public void run(QueueStream stream, Buffer x, Buffer ids, Buffer out, Buffer workspace) {
    RuntimeStream queue = (RuntimeStream) stream;
    MemorySegment desc = queue.descriptor();
    describe(desc);
    quern_scatter_rows_desc.count(desc, x.shape().dim(0));
    quern_scatter_rows_desc.rows(desc, out.shape().dim(0));
    quern_scatter_rows_desc.x_stride(desc, Operand.stride(x));
    quern_scatter_rows_desc.out_stride(desc, Operand.stride(out));
    quern_scatter_rows_desc.launch(desc, queue.nextLaunch(Operator.SCATTER_ROWS));
    queue.launched(call(desc, queue, x, ids, out, workspace), "quern_scatter_rows");
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
              workspace.shape().size(),
              queue.handle());
    } catch (RuntimeException | Error e) {
      throw e;
    } catch (Throwable e) {
      throw new AssertionError("a downcall throws nothing", e);
    }
  }
}
