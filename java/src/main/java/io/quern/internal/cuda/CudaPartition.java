package io.quern.internal.cuda;

import static io.quern.internal.cuda.Operand.address;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import io.quern.Device;
import io.quern.bindings.quern.QuernAbi;
import io.quern.bindings.quern.quern_partition_desc;
import io.quern.internal.device.QueueStream;
import io.quern.internal.kernel.Operator;
import io.quern.internal.kernel.PartitionKernel;
import io.quern.op.Partition;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;

/** {@code quern_partition}. */
final class CudaPartition implements PartitionKernel {
  private static final MethodHandle RUN =
      Downcalls.withLongs(
          QuernAbi.quern_partition$address(), QuernAbi.quern_partition$descriptor());

  private final int ordinal;
  private final Partition.Spec spec;

  /** Bytes of workspace for each batch row. */
  private final long rowBytes;

  private CudaPartition(PrimaryContext context, Partition.Spec spec) {
    this.ordinal = context.ordinal();
    this.spec = spec;
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment desc = quern_partition_desc.allocate(arena);
      MemorySegment bytes = arena.allocate(JAVA_LONG);
      describe(desc, 1, 0);
      context.call(
          "quern_partition_prepare", () -> QuernAbi.quern_partition_prepare(desc, ordinal));
      context.call(
          "quern_partition_workspace", () -> QuernAbi.quern_partition_workspace(desc, bytes));
      rowBytes = bytes.get(JAVA_LONG, 0);
    }
  }

  static PartitionKernel prepare(Device device, Partition.Spec spec) {
    return new CudaPartition(((RuntimeDevice) device).context(), spec);
  }

  @Override
  public long workspaceBytes(long batch) {
    return Math.multiplyExact(batch, rowBytes);
  }

  @SuppressWarnings("EnumOrdinal") // the numbers of the C ABI
  private void describe(MemorySegment desc, long batch, long launch) {
    quern_partition_desc.size(desc, (int) quern_partition_desc.sizeof());
    quern_partition_desc.policy(desc, spec.policy().ordinal());
    quern_partition_desc.batch(desc, batch);
    quern_partition_desc.count(desc, spec.count());
    quern_partition_desc.keys(desc, spec.keys());
    quern_partition_desc.launch(desc, launch);
  }

  @Override
  public void run(QueueStream stream, Partition.Operands operands) {
    RuntimeStream queue = (RuntimeStream) stream;
    MemorySegment desc = queue.descriptor();
    describe(desc, operands.key().shape().dim(0), queue.nextLaunch(Operator.PARTITION));
    queue.launched(call(desc, queue, operands), "quern_partition");
  }

  private int call(MemorySegment desc, RuntimeStream queue, Partition.Operands operands) {
    try {
      return (int)
          RUN.invokeExact(
              desc.address(),
              ordinal,
              address(operands.key()),
              address(operands.perm()),
              address(operands.offsets()),
              address(operands.inverse()),
              queue.errorRecord(),
              address(operands.workspace()),
              operands.workspace() == null ? 0L : operands.workspace().shape().size(),
              queue.handle());
    } catch (RuntimeException | Error e) {
      throw e;
    } catch (Throwable e) {
      throw new AssertionError("a downcall throws nothing", e);
    }
  }
}
