package io.quern.internal.cuda;

import static io.quern.internal.cuda.Operand.address;

import io.quern.Device;
import io.quern.bindings.quern.QuernAbi;
import io.quern.bindings.quern.quern_ponet_mixer_desc;
import io.quern.internal.device.QueueStream;
import io.quern.internal.kernel.Operator;
import io.quern.internal.kernel.PonetMixerKernel;
import io.quern.op.PonetMixer;
import io.quern.op.PonetPooling;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;

/** {@code quern_ponet_mixer}. */
final class CudaPonetMixer implements PonetMixerKernel {
  private static final MethodHandle RUN =
      Downcalls.withLongs(
          QuernAbi.quern_ponet_mixer$address(), QuernAbi.quern_ponet_mixer$descriptor());

  private final int ordinal;
  private final PonetPooling.Spec spec;

  private CudaPonetMixer(int ordinal, PonetPooling.Spec spec) {
    this.ordinal = ordinal;
    this.spec = spec;
  }

  static PonetMixerKernel prepare(Device device, PonetPooling.Spec spec) {
    PrimaryContext context = ((RuntimeDevice) device).context();
    CudaPonetMixer kernel = new CudaPonetMixer(context.ordinal(), spec);
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment desc = quern_ponet_mixer_desc.allocate(arena);
      kernel.describe(desc);
      quern_ponet_mixer_desc.x_stride(desc, spec.columns());
      quern_ponet_mixer_desc.out_stride(desc, spec.columns());
      context.call(
          "quern_ponet_mixer_prepare",
          () -> QuernAbi.quern_ponet_mixer_prepare(desc, context.ordinal()));
    }
    return kernel;
  }

  /** What does not change from call to call. */
  @SuppressWarnings("EnumOrdinal") // the numbers of the C ABI
  private void describe(MemorySegment desc) {
    quern_ponet_mixer_desc.size(desc, (int) quern_ponet_mixer_desc.sizeof());
    quern_ponet_mixer_desc.x_dtype(desc, spec.x().ordinal());
    quern_ponet_mixer_desc.out_dtype(desc, spec.out().ordinal());
    quern_ponet_mixer_desc.offset_dtype(desc, spec.offsets().ordinal());
    quern_ponet_mixer_desc.heads(desc, spec.heads());
    quern_ponet_mixer_desc.head_dim(desc, spec.headDim());
    quern_ponet_mixer_desc.window(desc, spec.window());
    quern_ponet_mixer_desc.flavour(desc, spec.flavour().ordinal());
    quern_ponet_mixer_desc.scale(desc, spec.scale());
    quern_ponet_mixer_desc.reserved(desc, 0);
  }

  @Override
  public long workspaceBytes(long sequences, long tokens) {
    return QuernAbi.quern_ponet_mixer_workspace(sequences, tokens, spec.heads(), spec.headDim());
  }

  @Override
  public void run(QueueStream stream, PonetMixer.Operands operands) {
    RuntimeStream queue = (RuntimeStream) stream;
    MemorySegment desc = queue.descriptor();
    describe(desc);
    quern_ponet_mixer_desc.count(desc, operands.out().shape().dim(0));
    quern_ponet_mixer_desc.sequences(desc, operands.offsets().shape().dim(0) - 1);
    quern_ponet_mixer_desc.x_stride(desc, Operand.stride(operands.x()));
    quern_ponet_mixer_desc.out_stride(desc, Operand.stride(operands.out()));
    quern_ponet_mixer_desc.launch(desc, queue.nextLaunch(Operator.PONET_MIXER));
    queue.launched(call(desc, queue, operands), "quern_ponet_mixer");
  }

  private int call(MemorySegment desc, RuntimeStream queue, PonetMixer.Operands operands) {
    try {
      return (int)
          RUN.invokeExact(
              desc.address(),
              ordinal,
              address(operands.x()),
              address(operands.weight()),
              address(operands.bias()),
              address(operands.offsets()),
              address(operands.segmentIds()),
              address(operands.valid()),
              address(operands.special()),
              address(operands.out()),
              address(operands.probabilities()),
              queue.errorRecord(),
              address(operands.workspace()),
              operands.workspace() == null ? 0L : operands.workspace().shape().dim(0),
              queue.handle());
    } catch (RuntimeException | Error e) {
      throw e;
    } catch (Throwable e) {
      throw new AssertionError("a downcall throws nothing", e);
    }
  }
}
