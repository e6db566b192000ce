package io.quern.internal.cuda;

import static io.quern.internal.cuda.Operand.address;

import io.quern.Buffer;
import io.quern.Device;
import io.quern.bindings.quern.QuernAbi;
import io.quern.bindings.quern.quern_ponet_segments_desc;
import io.quern.internal.device.QueueStream;
import io.quern.internal.kernel.Operator;
import io.quern.internal.kernel.PonetSegmentsKernel;
import io.quern.op.PonetSegments;
import io.quern.op.PonetSegments.Rule;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;

/** {@code quern_ponet_segments}. */
final class CudaPonetSegments implements PonetSegmentsKernel {
  private static final MethodHandle RUN =
      Downcalls.withLongs(
          QuernAbi.quern_ponet_segments$address(), QuernAbi.quern_ponet_segments$descriptor());

  private final int ordinal;
  private final PonetSegments.Spec spec;

  private CudaPonetSegments(int ordinal, PonetSegments.Spec spec) {
    this.ordinal = ordinal;
    this.spec = spec;
  }

  static PonetSegmentsKernel prepare(Device device, PonetSegments.Spec spec) {
    PrimaryContext context = ((RuntimeDevice) device).context();
    CudaPonetSegments kernel = new CudaPonetSegments(context.ordinal(), spec);
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment desc = quern_ponet_segments_desc.allocate(arena);
      kernel.describe(desc);
      context.call(
          "quern_ponet_segments_prepare",
          () -> QuernAbi.quern_ponet_segments_prepare(desc, context.ordinal()));
    }
    return kernel;
  }

  /** What does not change from call to call. */
  @SuppressWarnings("EnumOrdinal") // the numbers of the C ABI
  private void describe(MemorySegment desc) {
    quern_ponet_segments_desc.size(desc, (int) quern_ponet_segments_desc.sizeof());
    quern_ponet_segments_desc.offset_dtype(desc, spec.offsets().ordinal());
    quern_ponet_segments_desc.reserved(desc, 0);
    switch (spec.rule()) {
      case Rule.Tokens by -> {
        quern_ponet_segments_desc.fixed(desc, 0);
        quern_ponet_segments_desc.cls(desc, by.cls());
        quern_ponet_segments_desc.sep(desc, by.sep());
      }
      case Rule.Fixed by -> quern_ponet_segments_desc.fixed(desc, by.segments());
    }
  }

  @Override
  public void run(
      QueueStream stream, Buffer tokens, Buffer offsets, Buffer segmentIds, Buffer special) {
    RuntimeStream queue = (RuntimeStream) stream;
    MemorySegment desc = queue.descriptor();
    describe(desc);
    quern_ponet_segments_desc.count(desc, segmentIds.shape().dim(0));
    quern_ponet_segments_desc.sequences(desc, offsets.shape().dim(0) - 1);
    quern_ponet_segments_desc.launch(desc, queue.nextLaunch(Operator.PONET_SEGMENTS));
    queue.launched(call(desc, queue, tokens, offsets, segmentIds, special), "quern_ponet_segments");
  }

  private int call(
      MemorySegment desc,
      RuntimeStream queue,
      Buffer tokens,
      Buffer offsets,
      Buffer segmentIds,
      Buffer special) {
    try {
      return (int)
          RUN.invokeExact(
              desc.address(),
              ordinal,
              address(tokens),
              address(offsets),
              address(segmentIds),
              address(special),
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
