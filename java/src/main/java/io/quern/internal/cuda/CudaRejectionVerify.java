package io.quern.internal.cuda;

import static io.quern.internal.cuda.Operand.address;

import io.quern.Device;
import io.quern.bindings.quern.QuernAbi;
import io.quern.bindings.quern.quern_rejection_verify_desc;
import io.quern.internal.device.QueueStream;
import io.quern.internal.kernel.RejectionVerifyKernel;
import io.quern.op.RejectionVerify;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;

/** {@code quern_rejection_verify}. */
final class CudaRejectionVerify implements RejectionVerifyKernel {
  private static final MethodHandle RUN =
      Downcalls.withLongs(
          QuernAbi.quern_rejection_verify$address(), QuernAbi.quern_rejection_verify$descriptor());

  private final int ordinal;
  private final RejectionVerify.Spec spec;

  private CudaRejectionVerify(int ordinal, RejectionVerify.Spec spec) {
    this.ordinal = ordinal;
    this.spec = spec;
  }

  static RejectionVerifyKernel prepare(Device device, RejectionVerify.Spec spec) {
    PrimaryContext context = ((RuntimeDevice) device).context();
    CudaRejectionVerify kernel = new CudaRejectionVerify(context.ordinal(), spec);
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment desc = quern_rejection_verify_desc.allocate(arena);
      kernel.describe(desc);
      quern_rejection_verify_desc.target_stride(desc, spec.vocab());
      quern_rejection_verify_desc.draft_stride(desc, spec.vocab());
      quern_rejection_verify_desc.accepted_stride(desc, spec.width());
      if (spec.relaxation() != null) {
        quern_rejection_verify_desc.nearest_stride(desc, spec.relaxation().neighbours());
        quern_rejection_verify_desc.nearest_columns(desc, spec.relaxation().neighbours());
      }
      context.call(
          "quern_rejection_verify_prepare",
          () -> QuernAbi.quern_rejection_verify_prepare(desc, context.ordinal()));
    }
    return kernel;
  }

  /** What does not change from call to call. */
  @SuppressWarnings("EnumOrdinal") // the numbers of the C ABI
  private void describe(MemorySegment desc) {
    quern_rejection_verify_desc.size(desc, (int) quern_rejection_verify_desc.sizeof());
    quern_rejection_verify_desc.rule(desc, spec.rule().ordinal());
    quern_rejection_verify_desc.coins(desc, spec.coins().ordinal());
    boolean draft = spec.draft() != null;
    quern_rejection_verify_desc.has_draft(desc, draft ? 1 : 0);
    quern_rejection_verify_desc.target_form(desc, spec.target().ordinal());
    quern_rejection_verify_desc.target_dtype(desc, spec.targetDtype().ordinal());
    quern_rejection_verify_desc.draft_form(desc, draft ? spec.draft().ordinal() : 0);
    quern_rejection_verify_desc.draft_dtype(desc, draft ? spec.draftDtype().ordinal() : 0);
    RejectionVerify.Relaxation relaxation = spec.relaxation();
    boolean relaxed = relaxation != null;
    quern_rejection_verify_desc.nearest_dtype(desc, relaxed ? relaxation.nearest().ordinal() : 0);
    quern_rejection_verify_desc.neighbours(desc, relaxed ? relaxation.neighbours() : 0);
    quern_rejection_verify_desc.delta(desc, relaxed ? relaxation.delta() : 0);
    quern_rejection_verify_desc.reserved(desc, 0);
    quern_rejection_verify_desc.vocab(desc, spec.vocab());
    quern_rejection_verify_desc.width(desc, spec.width());
  }

  @Override
  public void run(QueueStream stream, RejectionVerify.Operands operands) {
    RuntimeStream queue = (RuntimeStream) stream;
    RejectionVerify.Outputs outputs = operands.outputs();
    MemorySegment desc = queue.descriptor();
    describe(desc);
    quern_rejection_verify_desc.requests(desc, outputs.status().shape().size());
    quern_rejection_verify_desc.nodes(desc, operands.tokens().shape().size());
    quern_rejection_verify_desc.target_stride(desc, Operand.stride(operands.target()));
    if (operands.draft() != null) {
      quern_rejection_verify_desc.draft_stride(desc, Operand.stride(operands.draft()));
    }
    if (operands.nearest() != null) {
      quern_rejection_verify_desc.nearest_stride(desc, Operand.stride(operands.nearest()));
      quern_rejection_verify_desc.nearest_columns(desc, operands.nearest().shape().last());
    }
    quern_rejection_verify_desc.accepted_stride(desc, Operand.stride(outputs.accepted()));
    if (outputs.distribution() != null) {
      quern_rejection_verify_desc.distribution_stride(desc, Operand.stride(outputs.distribution()));
    }
    queue.launched(call(desc, queue, operands, outputs), "quern_rejection_verify");
  }

  private int call(
      MemorySegment desc,
      RuntimeStream queue,
      RejectionVerify.Operands operands,
      RejectionVerify.Outputs outputs) {
    try {
      return (int)
          RUN.invokeExact(
              desc.address(),
              ordinal,
              address(operands.offsets()),
              address(operands.tokens()),
              address(operands.firstChild()),
              address(operands.nextSibling()),
              address(operands.target()),
              address(operands.draft()),
              address(operands.temperatures()),
              address(operands.uniforms()),
              address(operands.finalUniforms()),
              address(operands.nearest()),
              address(outputs.accepted()),
              address(outputs.counts()),
              address(outputs.next()),
              address(outputs.status()),
              address(outputs.distribution()),
              address(outputs.rho()),
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
