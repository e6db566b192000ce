package io.quern.internal.cuda;

import static io.quern.internal.cuda.Operand.address;

import io.quern.Device;
import io.quern.bindings.quern.QuernAbi;
import io.quern.bindings.quern.quern_beam_expand_desc;
import io.quern.internal.device.QueueStream;
import io.quern.internal.kernel.BeamExpandKernel;
import io.quern.op.BeamExpand;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;

/** {@code quern_beam_expand}. */
final class CudaBeamExpand implements BeamExpandKernel {
  private static final MethodHandle RUN =
      Downcalls.withLongs(
          QuernAbi.quern_beam_expand$address(), QuernAbi.quern_beam_expand$descriptor());

  private final int ordinal;
  private final BeamExpand.Spec spec;

  private CudaBeamExpand(int ordinal, BeamExpand.Spec spec) {
    this.ordinal = ordinal;
    this.spec = spec;
  }

  static BeamExpandKernel prepare(Device device, BeamExpand.Spec spec) {
    PrimaryContext context = ((RuntimeDevice) device).context();
    CudaBeamExpand kernel = new CudaBeamExpand(context.ordinal(), spec);
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment desc = quern_beam_expand_desc.allocate(arena);
      kernel.describe(desc);
      context.call(
          "quern_beam_expand_prepare",
          () -> QuernAbi.quern_beam_expand_prepare(desc, context.ordinal()));
    }
    return kernel;
  }

  /** What does not change from call to call. */
  @SuppressWarnings("EnumOrdinal") // the numbers of the C ABI
  private void describe(MemorySegment desc) {
    quern_beam_expand_desc.size(desc, (int) quern_beam_expand_desc.sizeof());
    quern_beam_expand_desc.mode(desc, spec.mode().ordinal());
    quern_beam_expand_desc.probabilities(desc, spec.probabilities() ? 1 : 0);
    quern_beam_expand_desc.shared(desc, spec.shared() ? 1 : 0);
    quern_beam_expand_desc.scale(desc, spec.scale());
    quern_beam_expand_desc.threshold(desc, spec.threshold());
    quern_beam_expand_desc.beams(desc, spec.beams());
    quern_beam_expand_desc.candidates(desc, spec.candidates());
    quern_beam_expand_desc.keep(desc, spec.keep());
  }

  @Override
  public void run(QueueStream stream, BeamExpand.Operands of) {
    RuntimeStream queue = (RuntimeStream) stream;
    MemorySegment desc = queue.descriptor();
    describe(desc);
    quern_beam_expand_desc.requests(desc, of.outParents().shape().dim(0));
    quern_beam_expand_desc.tokens_stride(desc, Operand.strideOrZero(of.tokens()));
    quern_beam_expand_desc.inputs_stride(desc, Operand.strideOrZero(of.inputs()));
    quern_beam_expand_desc.noisy_stride(desc, Operand.strideOrZero(of.noisy()));
    quern_beam_expand_desc.bias_stride(desc, Operand.strideOrZero(of.bias()));
    quern_beam_expand_desc.scores_stride(desc, Operand.strideOrZero(of.scores()));
    quern_beam_expand_desc.perturbed_stride(desc, Operand.strideOrZero(of.perturbed()));
    quern_beam_expand_desc.out_parents_stride(desc, Operand.strideOrZero(of.outParents()));
    quern_beam_expand_desc.out_tokens_stride(desc, Operand.strideOrZero(of.outTokens()));
    quern_beam_expand_desc.out_scores_stride(desc, Operand.strideOrZero(of.outScores()));
    quern_beam_expand_desc.out_perturbed_stride(desc, Operand.strideOrZero(of.outPerturbed()));
    quern_beam_expand_desc.out_weights_stride(desc, Operand.strideOrZero(of.outWeights()));
    queue.launched(call(desc, queue, of), "quern_beam_expand");
  }

  private int call(MemorySegment desc, RuntimeStream queue, BeamExpand.Operands of) {
    try {
      return (int)
          RUN.invokeExact(
              desc.address(),
              ordinal,
              address(of.tokens()),
              address(of.inputs()),
              address(of.noisy()),
              address(of.bias()),
              address(of.scores()),
              address(of.perturbed()),
              address(of.outParents()),
              address(of.outTokens()),
              address(of.outScores()),
              address(of.outPerturbed()),
              address(of.outWeights()),
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
