package io.quern.internal.cuda;

import static io.quern.internal.cuda.Operand.address;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import io.quern.Device;
import io.quern.bindings.quern.QuernAbi;
import io.quern.bindings.quern.quern_token_match_desc;
import io.quern.internal.device.QueueStream;
import io.quern.internal.kernel.TokenMatchKernel;
import io.quern.op.MergeScheme;
import io.quern.op.TokenMatch;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;

/** {@code quern_token_match}. */
final class CudaTokenMatch implements TokenMatchKernel {
  private static final MethodHandle RUN =
      Downcalls.withLongs(
          QuernAbi.quern_token_match$address(), QuernAbi.quern_token_match$descriptor());

  private final PrimaryContext context;
  private final TokenMatch.Spec spec;

  /** Bytes of workspace for each batch row. */
  private final long rowBytes;

  private CudaTokenMatch(PrimaryContext context, TokenMatch.Spec spec) {
    this.context = context;
    this.spec = spec;
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment desc = quern_token_match_desc.allocate(arena);
      MemorySegment bytes = arena.allocate(JAVA_LONG);
      describe(desc, spec, 1, spec.dim());
      context.call(
          "quern_token_match_prepare",
          () -> QuernAbi.quern_token_match_prepare(desc, context.ordinal()));
      context.call(
          "quern_token_match_workspace", () -> QuernAbi.quern_token_match_workspace(desc, bytes));
      rowBytes = bytes.get(JAVA_LONG, 0);
    }
  }

  static TokenMatchKernel prepare(Device device, TokenMatch.Spec spec) {
    return new CudaTokenMatch(((RuntimeDevice) device).context(), spec);
  }

  @Override
  public long workspaceBytes(long batch) {
    return Math.multiplyExact(batch, rowBytes);
  }

  @SuppressWarnings("EnumOrdinal") // the numbers of the C ABI
  static void describe(MemorySegment desc, TokenMatch.Spec spec, long batch, long stride) {
    desc.asSlice(0, quern_token_match_desc.sizeof()).fill((byte) 0);
    quern_token_match_desc.size(desc, (int) quern_token_match_desc.sizeof());
    quern_token_match_desc.metric_dtype(desc, spec.metric().ordinal());
    quern_token_match_desc.order(desc, spec.order().ordinal());
    quern_token_match_desc.threshold(desc, spec.threshold());
    quern_token_match_desc.batch(desc, batch);
    quern_token_match_desc.tokens(desc, spec.tokens());
    quern_token_match_desc.dim(desc, spec.dim());
    quern_token_match_desc.metric_stride(desc, stride);
    quern_token_match_desc.r(desc, spec.r());
    switch (spec.scheme()) {
      case MergeScheme.Bipartite bipartite -> {
        quern_token_match_desc.scheme(desc, QuernAbi.QUERN_MERGE_BIPARTITE());
        quern_token_match_desc.class_token(desc, bipartite.classToken() ? 1 : 0);
        quern_token_match_desc.distill_token(desc, bipartite.distillToken() ? 1 : 0);
      }
      case MergeScheme.EveryKth every -> {
        quern_token_match_desc.scheme(desc, QuernAbi.QUERN_MERGE_EVERY_KTH());
        quern_token_match_desc.k(desc, every.k());
      }
      case MergeScheme.Permuted permuted -> {
        quern_token_match_desc.scheme(desc, QuernAbi.QUERN_MERGE_PERMUTED());
        quern_token_match_desc.r(desc, permuted.merged());
      }
      case MergeScheme.Grid grid -> {
        quern_token_match_desc.scheme(desc, QuernAbi.QUERN_MERGE_GRID());
        quern_token_match_desc.width(desc, grid.width());
        quern_token_match_desc.height(desc, grid.height());
        quern_token_match_desc.stride_x(desc, grid.strideX());
        quern_token_match_desc.stride_y(desc, grid.strideY());
      }
      case MergeScheme.HeadTail tail -> {
        quern_token_match_desc.scheme(desc, QuernAbi.QUERN_MERGE_HEAD_TAIL());
        quern_token_match_desc.prune(desc, tail.prune());
        quern_token_match_desc.keep(desc, tail.keep());
        quern_token_match_desc.class_token(desc, tail.classToken() ? 1 : 0);
      }
    }
  }

  @Override
  public void run(QueueStream stream, TokenMatch.Operands operands) {
    RuntimeStream queue = (RuntimeStream) stream;
    MemorySegment desc = queue.descriptor();
    describe(desc, spec, operands.slot().shape().dim(0), Operand.stride(operands.metric()));
    queue.launched(call(desc, queue, operands), "quern_token_match");
  }

  private int call(MemorySegment desc, RuntimeStream queue, TokenMatch.Operands operands) {
    try {
      return (int)
          RUN.invokeExact(
              desc.address(),
              context.ordinal(),
              address(operands.metric()),
              address(operands.order()),
              address(operands.limits()),
              address(operands.slot()),
              address(operands.similarity()),
              address(operands.count()),
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
