package io.quern.internal.cuda;

import static io.quern.internal.cuda.Operand.address;

import io.quern.Buffer;
import io.quern.Device;
import io.quern.bindings.quern.QuernAbi;
import io.quern.bindings.quern.quern_merge_step_desc;
import io.quern.internal.device.QueueStream;
import io.quern.internal.kernel.MergeStepKernel;
import io.quern.internal.kernel.SeparateMergeStep;
import io.quern.op.MergeStep;
import io.quern.op.TokenMatch;
import io.quern.op.TokenMerge;
import io.quern.op.TokenPrune;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;

/** {@code quern_merge_step}. */
final class CudaMergeStep implements MergeStepKernel {
  private static final MethodHandle RUN =
      Downcalls.withLongs(
          QuernAbi.quern_merge_step$address(), QuernAbi.quern_merge_step$descriptor());

  private final int ordinal;
  private final MergeStep.Spec spec;

  /** Of the attention that orders the tokens; 0 without. */
  private final long heads;

  private CudaMergeStep(int ordinal, MergeStep.Spec spec, long heads) {
    this.ordinal = ordinal;
    this.spec = spec;
    this.heads = heads;
  }

  /** One launch where a block has room for a batch row's tokens. */
  static MergeStepKernel prepare(Device device, TokenPrune.Spec prune, MergeStep.Spec spec) {
    TokenMatch.Spec match = spec.match();
    if (match.tokens() > QuernAbi.QUERN_MERGE_STEP_TOKENS()) {
      return new SeparateMergeStep(device, prune, spec);
    }
    PrimaryContext context = ((RuntimeDevice) device).context();
    CudaMergeStep kernel =
        new CudaMergeStep(context.ordinal(), spec, prune == null ? 0 : prune.heads());
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment desc = quern_merge_step_desc.allocate(arena);
      CudaTokenMatch.describe(quern_merge_step_desc.match(desc), match, 0, match.dim());
      long dim = spec.merge().dim();
      CudaTokenMerge.describe(quern_merge_step_desc.merge(desc), spec.merge(), 0, dim, dim);
      kernel.describe(desc, match.tokens());
      context.call(
          "quern_merge_step_prepare",
          () -> QuernAbi.quern_merge_step_prepare(desc, context.ordinal()));
    }
    return kernel;
  }

  private void describe(MemorySegment desc, long attentionStride) {
    quern_merge_step_desc.size(desc, (int) quern_merge_step_desc.sizeof());
    quern_merge_step_desc.heads(desc, heads);
    quern_merge_step_desc.attention_stride(desc, attentionStride);
  }

  @Override
  public boolean isOneLaunch() {
    return true;
  }

  @Override
  public long workspaceBytes(long batch) {
    return 0;
  }

  @Override
  public void run(QueueStream stream, TokenPrune.Operands prune, MergeStep.Operands operands) {
    RuntimeStream queue = (RuntimeStream) stream;
    TokenMatch.Operands match = operands.match();
    TokenMerge.Operands merge = operands.merge();
    Buffer attention = prune == null ? null : prune.attention();
    long batch = match.slot().shape().dim(0);
    MemorySegment desc = queue.descriptor();
    CudaTokenMatch.describe(
        quern_merge_step_desc.match(desc), spec.match(), batch, Operand.stride(match.metric()));
    CudaTokenMerge.describe(
        quern_merge_step_desc.merge(desc),
        spec.merge(),
        batch,
        Operand.stride(merge.x()),
        Operand.stride(merge.out()));
    describe(desc, Operand.strideOrZero(attention));
    queue.launched(call(desc, queue, attention, match, merge), "quern_merge_step");
  }

  private int call(
      MemorySegment desc,
      RuntimeStream queue,
      Buffer attention,
      TokenMatch.Operands match,
      TokenMerge.Operands merge) {
    try {
      return (int)
          RUN.invokeExact(
              desc.address(),
              ordinal,
              address(match.metric()),
              address(attention),
              address(match.order()),
              address(match.limits()),
              address(merge.x()),
              address(merge.size()),
              address(merge.scale()),
              address(match.slot()),
              address(match.similarity()),
              address(match.count()),
              address(merge.out()),
              address(merge.sizeOut()),
              queue.handle());
    } catch (RuntimeException | Error e) {
      throw e;
    } catch (Throwable e) {
      throw new AssertionError("a downcall throws nothing", e);
    }
  }
}
