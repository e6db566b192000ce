package io.quern.internal.cuda;

import static io.quern.internal.cuda.Operand.address;

import io.quern.Buffer;
import io.quern.Device;
import io.quern.bindings.quern.QuernAbi;
import io.quern.bindings.quern.quern_tree_verify_desc;
import io.quern.internal.device.QueueStream;
import io.quern.internal.kernel.TreeVerifyKernel;
import io.quern.op.TreeVerify;
import io.quern.op.VerifyTarget;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;

/** {@code quern_tree_verify}. */
final class CudaTreeVerify implements TreeVerifyKernel {
  private static final MethodHandle RUN =
      Downcalls.withLongs(
          QuernAbi.quern_tree_verify$address(), QuernAbi.quern_tree_verify$descriptor());

  private final int ordinal;
  private final TreeVerify.Spec spec;

  private CudaTreeVerify(int ordinal, TreeVerify.Spec spec) {
    this.ordinal = ordinal;
    this.spec = spec;
  }

  static TreeVerifyKernel prepare(Device device, TreeVerify.Spec spec) {
    PrimaryContext context = ((RuntimeDevice) device).context();
    CudaTreeVerify kernel = new CudaTreeVerify(context.ordinal(), spec);
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment desc = quern_tree_verify_desc.allocate(arena);
      kernel.describe(desc);
      quern_tree_verify_desc.target_stride(desc, spec.vocab());
      quern_tree_verify_desc.accepted_stride(desc, spec.width());
      context.call(
          "quern_tree_verify_prepare",
          () -> QuernAbi.quern_tree_verify_prepare(desc, context.ordinal()));
    }
    return kernel;
  }

  /** What does not change from call to call. */
  @SuppressWarnings("EnumOrdinal") // the numbers of the C ABI
  private void describe(MemorySegment desc) {
    quern_tree_verify_desc.size(desc, (int) quern_tree_verify_desc.sizeof());
    quern_tree_verify_desc.rule(desc, spec.rule().ordinal());
    quern_tree_verify_desc.target(desc, spec.target().ordinal());
    quern_tree_verify_desc.target_dtype(desc, spec.dtype().ordinal());
    quern_tree_verify_desc.vocab(desc, spec.vocab());
    quern_tree_verify_desc.width(desc, spec.width());
    TreeVerify.Typical typical = spec.typical();
    quern_tree_verify_desc.epsilon(desc, typical == null ? 0 : typical.epsilon());
    quern_tree_verify_desc.alpha(desc, typical == null ? 0 : typical.alpha());
    TreeVerify.Thresholds thresholds = spec.thresholds();
    quern_tree_verify_desc.threshold_single(desc, thresholds == null ? 0 : thresholds.single());
    quern_tree_verify_desc.threshold_acc(desc, thresholds == null ? 0 : thresholds.acc());
  }

  @Override
  public void run(QueueStream stream, TreeVerify.Operands operands) {
    RuntimeStream queue = (RuntimeStream) stream;
    MemorySegment desc = queue.descriptor();
    describe(desc);
    quern_tree_verify_desc.requests(desc, operands.status().shape().size());
    quern_tree_verify_desc.nodes(desc, operands.tokens().shape().size());
    quern_tree_verify_desc.target_stride(
        desc, spec.target() == VerifyTarget.IDS ? 1 : Operand.stride(operands.target()));
    quern_tree_verify_desc.accepted_stride(desc, Operand.stride(operands.accepted()));
    Buffer paths = operands.paths();
    quern_tree_verify_desc.path_count(desc, paths == null ? 0 : paths.shape().dim(1));
    quern_tree_verify_desc.path_width(desc, paths == null ? 0 : paths.shape().dim(2));
    queue.launched(call(desc, queue, operands), "quern_tree_verify");
  }

  private int call(MemorySegment desc, RuntimeStream queue, TreeVerify.Operands operands) {
    try {
      return (int)
          RUN.invokeExact(
              desc.address(),
              ordinal,
              address(operands.offsets()),
              address(operands.tokens()),
              address(operands.firstChild()),
              address(operands.nextSibling()),
              address(operands.paths()),
              address(operands.target()),
              address(operands.temperatures()),
              address(operands.uniforms()),
              address(operands.finalUniforms()),
              address(operands.accepted()),
              address(operands.counts()),
              address(operands.next()),
              address(operands.status()),
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
