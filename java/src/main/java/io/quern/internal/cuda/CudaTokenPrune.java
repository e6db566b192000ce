package io.quern.internal.cuda;

import static io.quern.internal.cuda.Operand.address;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import io.quern.Device;
import io.quern.bindings.quern.QuernAbi;
import io.quern.bindings.quern.quern_token_prune_desc;
import io.quern.internal.device.QueueStream;
import io.quern.internal.kernel.TokenPruneKernel;
import io.quern.op.TokenPrune;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;

/** {@code quern_token_prune}. */
final class CudaTokenPrune implements TokenPruneKernel {
  private static final MethodHandle RUN =
      Downcalls.withLongs(
          QuernAbi.quern_token_prune$address(), QuernAbi.quern_token_prune$descriptor());

  private final PrimaryContext context;
  private final TokenPrune.Spec spec;

  /** Bytes of workspace for each batch row. */
  private final long rowBytes;

  private CudaTokenPrune(PrimaryContext context, TokenPrune.Spec spec) {
    this.context = context;
    this.spec = spec;
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment desc = quern_token_prune_desc.allocate(arena);
      MemorySegment bytes = arena.allocate(JAVA_LONG);
      describe(desc, 1, spec.tokens());
      context.call(
          "quern_token_prune_prepare",
          () -> QuernAbi.quern_token_prune_prepare(desc, context.ordinal()));
      context.call(
          "quern_token_prune_workspace", () -> QuernAbi.quern_token_prune_workspace(desc, bytes));
      rowBytes = bytes.get(JAVA_LONG, 0);
    }
  }

  static TokenPruneKernel prepare(Device device, TokenPrune.Spec spec) {
    return new CudaTokenPrune(((RuntimeDevice) device).context(), spec);
  }

  @Override
  public long workspaceBytes(long batch) {
    return Math.multiplyExact(batch, rowBytes);
  }

  private void describe(MemorySegment desc, long batch, long stride) {
    quern_token_prune_desc.size(desc, (int) quern_token_prune_desc.sizeof());
    quern_token_prune_desc.class_token(desc, spec.classToken() ? 1 : 0);
    quern_token_prune_desc.batch(desc, batch);
    quern_token_prune_desc.heads(desc, spec.heads());
    quern_token_prune_desc.tokens(desc, spec.tokens());
    quern_token_prune_desc.keep(desc, spec.keep());
    quern_token_prune_desc.attention_stride(desc, stride);
  }

  @Override
  public void run(QueueStream stream, TokenPrune.Operands operands) {
    RuntimeStream queue = (RuntimeStream) stream;
    MemorySegment desc = queue.descriptor();
    describe(desc, operands.order().shape().dim(0), Operand.stride(operands.attention()));
    queue.launched(call(desc, queue, operands), "quern_token_prune");
  }

  private int call(MemorySegment desc, RuntimeStream queue, TokenPrune.Operands operands) {
    try {
      return (int)
          RUN.invokeExact(
              desc.address(),
              context.ordinal(),
              address(operands.attention()),
              address(operands.order()),
              address(operands.slot()),
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
