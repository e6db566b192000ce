package io.quern.internal.cuda;

import static io.quern.internal.cuda.Operand.address;

import io.quern.Buffer;
import io.quern.Device;
import io.quern.bindings.quern.QuernAbi;
import io.quern.bindings.quern.quern_embedding_gather_desc;
import io.quern.internal.device.QueueStream;
import io.quern.internal.kernel.EmbeddingGatherKernel;
import io.quern.internal.kernel.Operator;
import io.quern.op.EmbeddingGather;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;

/** {@code quern_embedding_gather}. */
final class CudaEmbeddingGather implements EmbeddingGatherKernel {
  private static final MethodHandle RUN =
      Downcalls.withLongs(
          QuernAbi.quern_embedding_gather$address(), QuernAbi.quern_embedding_gather$descriptor());
  private static final long TABLES = quern_embedding_gather_desc.tables$offset();

  private final Operator operator;
  private final int ordinal;
  private final EmbeddingGather.Spec spec;

  private CudaEmbeddingGather(Operator operator, int ordinal, EmbeddingGather.Spec spec) {
    this.operator = operator;
    this.ordinal = ordinal;
    this.spec = spec;
  }

  static EmbeddingGatherKernel prepare(
      Operator operator, Device device, EmbeddingGather.Spec spec) {
    PrimaryContext context = ((RuntimeDevice) device).context();
    CudaEmbeddingGather kernel = new CudaEmbeddingGather(operator, context.ordinal(), spec);
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment desc = quern_embedding_gather_desc.allocate(arena);
      kernel.describe(desc);
      quern_embedding_gather_desc.out_stride(desc, spec.dim());
      context.call(
          "quern_embedding_gather_prepare",
          () -> QuernAbi.quern_embedding_gather_prepare(desc, context.ordinal()));
    }
    return kernel;
  }

  /** What does not change from call to call. */
  @SuppressWarnings("EnumOrdinal") // the numbers of the C ABI
  private void describe(MemorySegment desc) {
    quern_embedding_gather_desc.size(desc, (int) quern_embedding_gather_desc.sizeof());
    quern_embedding_gather_desc.table_dtype(desc, spec.table().ordinal());
    quern_embedding_gather_desc.out_dtype(desc, spec.out().ordinal());
    quern_embedding_gather_desc.id_dtype(desc, spec.ids().ordinal());
    quern_embedding_gather_desc.policy(desc, spec.policy().ordinal());
    quern_embedding_gather_desc.table_count(desc, spec.vocabSizes().size());
    quern_embedding_gather_desc.dim(desc, spec.dim());
  }

  @Override
  public void run(
      QueueStream stream,
      Buffer[] tables,
      int tableCount,
      Buffer ids,
      Buffer tableIds,
      Buffer out) {
    RuntimeStream queue = (RuntimeStream) stream;
    MemorySegment desc = queue.descriptor();
    describe(desc);
    quern_embedding_gather_desc.count(desc, ids.shape().size());
    quern_embedding_gather_desc.out_stride(desc, Operand.stride(out));
    quern_embedding_gather_desc.launch(desc, queue.nextLaunch(operator));
    for (int i = 0; i < tableCount; i++) {
      Operand.setTable(desc, TABLES, i, tables[i]);
    }
    queue.launched(call(desc, queue, ids, tableIds, out), "quern_embedding_gather");
  }

  private int call(
      MemorySegment desc, RuntimeStream queue, Buffer ids, Buffer tableIds, Buffer out) {
    try {
      return (int)
          RUN.invokeExact(
              desc.address(),
              ordinal,
              address(ids),
              address(tableIds),
              address(out),
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
