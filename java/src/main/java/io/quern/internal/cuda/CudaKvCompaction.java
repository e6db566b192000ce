package io.quern.internal.cuda;

import static io.quern.internal.cuda.Operand.address;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import io.quern.Buffer;
import io.quern.Device;
import io.quern.Shape;
import io.quern.bindings.quern.QuernAbi;
import io.quern.bindings.quern.quern_kv_compaction_desc;
import io.quern.internal.device.QueueStream;
import io.quern.internal.kernel.KvCompactionKernel;
import io.quern.op.CacheAddressing;
import io.quern.op.KvCompaction;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;

/** {@code quern_kv_compaction}. */
final class CudaKvCompaction implements KvCompactionKernel {
  private static final MethodHandle RUN =
      Downcalls.withLongs(
          QuernAbi.quern_kv_compaction$address(), QuernAbi.quern_kv_compaction$descriptor());
  private static final long CACHES = quern_kv_compaction_desc.caches$offset();

  private final int ordinal;
  private final KvCompaction.Spec spec;

  private CudaKvCompaction(int ordinal, KvCompaction.Spec spec) {
    this.ordinal = ordinal;
    this.spec = spec;
  }

  static KvCompactionKernel prepare(Device device, KvCompaction.Spec spec) {
    PrimaryContext context = ((RuntimeDevice) device).context();
    CudaKvCompaction kernel = new CudaKvCompaction(context.ordinal(), spec);
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment desc = quern_kv_compaction_desc.allocate(arena);
      kernel.describe(desc);
      quern_kv_compaction_desc.row_stride(desc, spec.dim() * spec.dtype().byteSize());
      context.call(
          "quern_kv_compaction_prepare",
          () -> QuernAbi.quern_kv_compaction_prepare(desc, context.ordinal()));
    }
    return kernel;
  }

  /** What does not change from call to call. */
  @SuppressWarnings("EnumOrdinal") // the numbers of the C ABI
  private void describe(MemorySegment desc) {
    quern_kv_compaction_desc.size(desc, (int) quern_kv_compaction_desc.sizeof());
    quern_kv_compaction_desc.addressing(desc, spec.addressing().ordinal());
    quern_kv_compaction_desc.slot_dtype(desc, spec.slots().ordinal());
    quern_kv_compaction_desc.heads(desc, spec.heads());
    quern_kv_compaction_desc.row_bytes(desc, spec.dim() * spec.dtype().byteSize());
    quern_kv_compaction_desc.page(desc, spec.page());
  }

  @Override
  public void run(
      QueueStream stream, KvCompaction.Operands operands, Buffer[] caches, int cacheCount) {
    RuntimeStream queue = (RuntimeStream) stream;
    MemorySegment desc = queue.descriptor();
    describe(desc);
    quern_kv_compaction_desc.requests(desc, operands.path().shape().dim(0));
    quern_kv_compaction_desc.width(desc, operands.path().shape().dim(1));
    describeCaches(desc, caches, cacheCount);
    describeSlots(desc, operands);
    queue.launched(call(desc, queue, operands), "quern_kv_compaction");
  }

  private void describeCaches(MemorySegment desc, Buffer[] caches, int cacheCount) {
    quern_kv_compaction_desc.cache_count(desc, cacheCount);
    long outer = 0;
    long rows = Long.MAX_VALUE; // of no cache
    long stride = spec.dim();
    if (cacheCount > 0) {
      Shape shape = caches[0].shape();
      rows = shape.dim(shape.rank() - 2);
      stride = Operand.stride(caches[0]);
      outer = 1;
      int inner = spec.addressing() == CacheAddressing.CONTIGUOUS ? 4 : 2;
      for (int i = 0; i < shape.rank() - inner; i++) {
        outer *= shape.dim(i);
      }
    }
    quern_kv_compaction_desc.outer(desc, outer);
    quern_kv_compaction_desc.rows(desc, rows);
    quern_kv_compaction_desc.row_stride(desc, stride * spec.dtype().byteSize());
    for (int i = 0; i < cacheCount; i++) {
      desc.set(JAVA_LONG, CACHES + (long) i * Long.BYTES, address(caches[i]));
    }
  }

  private void describeSlots(MemorySegment desc, KvCompaction.Operands operands) {
    long nodes = 0;
    long rows = 0;
    long columns = 0;
    long stride = 0;
    if (spec.addressing() == CacheAddressing.SLOTS) {
      nodes = operands.slots().shape().dim(0);
    } else if (spec.addressing() == CacheAddressing.TABLE) {
      rows = operands.slots().shape().dim(0);
      columns = operands.slots().shape().dim(1);
      stride = Operand.stride(operands.slots());
      nodes =
          operands.freed() != null
              ? operands.freed().shape().dim(0)
              : operands.evicted() != null ? operands.evicted().shape().dim(0) : Integer.MAX_VALUE;
    }
    quern_kv_compaction_desc.nodes(desc, nodes);
    quern_kv_compaction_desc.slot_rows(desc, rows);
    quern_kv_compaction_desc.slot_columns(desc, columns);
    quern_kv_compaction_desc.slot_stride(desc, stride);
  }

  private int call(MemorySegment desc, RuntimeStream queue, KvCompaction.Operands operands) {
    try {
      return (int)
          RUN.invokeExact(
              desc.address(),
              ordinal,
              address(operands.path()),
              address(operands.counts()),
              address(operands.lengths()),
              address(operands.slots()),
              address(operands.offsets()),
              address(operands.tableRows()),
              address(operands.newLengths()),
              address(operands.status()),
              address(operands.freed()),
              address(operands.freedCounts()),
              address(operands.evicted()),
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
