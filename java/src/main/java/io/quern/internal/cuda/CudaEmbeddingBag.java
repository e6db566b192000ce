package io.quern.internal.cuda;

import static io.quern.internal.cuda.Operand.address;

import io.quern.Buffer;
import io.quern.Device;
import io.quern.bindings.quern.QuernAbi;
import io.quern.bindings.quern.quern_embedding_bag_desc;
import io.quern.internal.device.QueueStream;
import io.quern.internal.kernel.EmbeddingBagKernel;
import io.quern.internal.kernel.Operator;
import io.quern.op.EmbeddingBag;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;

/** {@code quern_embedding_bag}. */
final class CudaEmbeddingBag implements EmbeddingBagKernel {
  private static final MethodHandle RUN =
      Downcalls.withLongs(
          QuernAbi.quern_embedding_bag$address(), QuernAbi.quern_embedding_bag$descriptor());
  private static final long TABLES = quern_embedding_bag_desc.tables$offset();

  private final Operator operator;
  private final int ordinal;
  private final EmbeddingBag.Spec spec;

  private CudaEmbeddingBag(Operator operator, int ordinal, EmbeddingBag.Spec spec) {
    this.operator = operator;
    this.ordinal = ordinal;
    this.spec = spec;
  }

  static EmbeddingBagKernel prepare(Operator operator, Device device, EmbeddingBag.Spec spec) {
    PrimaryContext context = ((RuntimeDevice) device).context();
    CudaEmbeddingBag kernel = new CudaEmbeddingBag(operator, context.ordinal(), spec);
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment desc = quern_embedding_bag_desc.allocate(arena);
      kernel.describe(desc);
      quern_embedding_bag_desc.out_stride(desc, spec.dim());
      quern_embedding_bag_desc.fallback_stride(desc, spec.dim());
      context.call(
          "quern_embedding_bag_prepare",
          () -> QuernAbi.quern_embedding_bag_prepare(desc, context.ordinal()));
    }
    return kernel;
  }

  /** What does not change from call to call. */
  @SuppressWarnings("EnumOrdinal") // the numbers of the C ABI
  private void describe(MemorySegment desc) {
    quern_embedding_bag_desc.size(desc, (int) quern_embedding_bag_desc.sizeof());
    quern_embedding_bag_desc.table_dtype(desc, spec.table().ordinal());
    quern_embedding_bag_desc.out_dtype(desc, spec.out().ordinal());
    quern_embedding_bag_desc.id_dtype(desc, spec.ids().ordinal());
    quern_embedding_bag_desc.offset_dtype(desc, spec.offsets().ordinal());
    quern_embedding_bag_desc.policy(desc, spec.policy().ordinal());
    quern_embedding_bag_desc.combine(desc, spec.combine().ordinal());
    quern_embedding_bag_desc.empty(desc, spec.empty().ordinal());
    quern_embedding_bag_desc.table_count(desc, spec.vocabSizes().size());
    quern_embedding_bag_desc.reserved(desc, 0);
    quern_embedding_bag_desc.dim(desc, spec.dim());
  }

  @Override
  public void run(QueueStream stream, EmbeddingBag.Operands operands) {
    RuntimeStream queue = (RuntimeStream) stream;
    MemorySegment desc = queue.descriptor();
    describe(desc);
    quern_embedding_bag_desc.count(
        desc,
        operands.ids() == null
            ? operands.tables().getFirst().shape().dim(0)
            : operands.ids().shape().size());
    quern_embedding_bag_desc.bags(desc, operands.out().shape().dim(0));
    quern_embedding_bag_desc.out_stride(desc, Operand.stride(operands.out()));
    quern_embedding_bag_desc.fallback_stride(desc, fallbackStride(operands.fallback()));
    quern_embedding_bag_desc.launch(desc, queue.nextLaunch(operator));
    for (int i = 0; i < operands.tables().size(); i++) {
      Operand.setTable(desc, TABLES, i, operands.tables().get(i));
    }
    queue.launched(call(desc, queue, operands), "quern_embedding_bag");
  }

  /** A single row serves all bags. */
  private static long fallbackStride(Buffer fallback) {
    return fallback == null || fallback.shape().dim(0) == 1 ? 0 : Operand.stride(fallback);
  }

  private int call(MemorySegment desc, RuntimeStream queue, EmbeddingBag.Operands operands) {
    try {
      return (int)
          RUN.invokeExact(
              desc.address(),
              ordinal,
              address(operands.ids()),
              address(operands.tableIds()),
              address(operands.offsets()),
              address(operands.weights()),
              address(operands.fallback()),
              address(operands.out()),
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
