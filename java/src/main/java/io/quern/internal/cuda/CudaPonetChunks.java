package io.quern.internal.cuda;

import static io.quern.internal.cuda.Operand.address;

import io.quern.Buffer;
import io.quern.Device;
import io.quern.bindings.quern.QuernAbi;
import io.quern.bindings.quern.quern_ponet_chunks_desc;
import io.quern.internal.device.QueueStream;
import io.quern.internal.kernel.Operator;
import io.quern.internal.kernel.PonetChunksKernel;
import io.quern.op.PonetChunks;
import io.quern.op.PonetPooling;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;

/** {@code quern_ponet_chunks_start} and the three passes. */
final class CudaPonetChunks implements PonetChunksKernel {
  private static final MethodHandle START =
      Downcalls.withLongs(
          QuernAbi.quern_ponet_chunks_start$address(),
          QuernAbi.quern_ponet_chunks_start$descriptor());
  private static final MethodHandle QUERIES =
      Downcalls.withLongs(
          QuernAbi.quern_ponet_chunks_queries$address(),
          QuernAbi.quern_ponet_chunks_queries$descriptor());
  private static final MethodHandle KEYS =
      Downcalls.withLongs(
          QuernAbi.quern_ponet_chunks_keys$address(),
          QuernAbi.quern_ponet_chunks_keys$descriptor());
  private static final MethodHandle FUSE =
      Downcalls.withLongs(
          QuernAbi.quern_ponet_chunks_fuse$address(),
          QuernAbi.quern_ponet_chunks_fuse$descriptor());

  private final int ordinal;
  private final PonetPooling.Spec spec;

  private CudaPonetChunks(int ordinal, PonetPooling.Spec spec) {
    this.ordinal = ordinal;
    this.spec = spec;
  }

  static PonetChunksKernel prepare(Device device, PonetPooling.Spec spec) {
    PrimaryContext context = ((RuntimeDevice) device).context();
    CudaPonetChunks kernel = new CudaPonetChunks(context.ordinal(), spec);
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment desc = quern_ponet_chunks_desc.allocate(arena);
      kernel.describe(desc);
      context.call(
          "quern_ponet_chunks_prepare",
          () -> QuernAbi.quern_ponet_chunks_prepare(desc, context.ordinal()));
    }
    return kernel;
  }

  /** What is the same in all passes; rows that a pass does not have are dense. */
  @SuppressWarnings("EnumOrdinal") // the numbers of the C ABI
  private void describe(MemorySegment desc) {
    quern_ponet_chunks_desc.size(desc, (int) quern_ponet_chunks_desc.sizeof());
    quern_ponet_chunks_desc.x_dtype(desc, spec.x().ordinal());
    quern_ponet_chunks_desc.out_dtype(desc, spec.out().ordinal());
    quern_ponet_chunks_desc.heads(desc, spec.heads());
    quern_ponet_chunks_desc.head_dim(desc, spec.headDim());
    quern_ponet_chunks_desc.window(desc, spec.window());
    quern_ponet_chunks_desc.flavour(desc, spec.flavour().ordinal());
    quern_ponet_chunks_desc.before(desc, 0);
    quern_ponet_chunks_desc.after(desc, 0);
    quern_ponet_chunks_desc.scale(desc, spec.scale());
    quern_ponet_chunks_desc.count(desc, 0);
    quern_ponet_chunks_desc.position(desc, 0);
    quern_ponet_chunks_desc.segments(desc, 0);
    quern_ponet_chunks_desc.q_stride(desc, spec.columns());
    quern_ponet_chunks_desc.k_stride(desc, spec.columns());
    quern_ponet_chunks_desc.o_stride(desc, spec.columns());
    quern_ponet_chunks_desc.local_stride(desc, spec.columns());
    quern_ponet_chunks_desc.segment_stride(desc, spec.columns());
    quern_ponet_chunks_desc.out_stride(desc, spec.columns());
    quern_ponet_chunks_desc.launch(desc, 0);
  }

  /** A pass over a chunk. */
  private MemorySegment describe(RuntimeStream queue, long position, Buffer rows) {
    MemorySegment desc = queue.descriptor();
    describe(desc);
    quern_ponet_chunks_desc.position(desc, position);
    quern_ponet_chunks_desc.count(desc, rows.shape().dim(0));
    return desc;
  }

  @Override
  public long workspaceBytes(long tokens) {
    return QuernAbi.quern_ponet_chunks_workspace(tokens, spec.heads(), spec.headDim());
  }

  private static long bytes(Buffer workspace) {
    return workspace == null ? 0L : workspace.shape().dim(0);
  }

  @Override
  public void start(QueueStream stream, Buffer state, Buffer segmentMax) {
    RuntimeStream queue = (RuntimeStream) stream;
    MemorySegment desc = queue.descriptor();
    describe(desc);
    quern_ponet_chunks_desc.segments(desc, segmentMax.shape().dim(0));
    try {
      int status =
          (int)
              START.invokeExact(
                  desc.address(), ordinal, address(state), address(segmentMax), queue.handle());
      queue.launched(status, "quern_ponet_chunks_start");
    } catch (RuntimeException | Error e) {
      throw e;
    } catch (Throwable e) {
      throw new AssertionError("a downcall throws nothing", e);
    }
  }

  @Override
  public void queries(QueueStream stream, PonetChunks.Queries operands) {
    RuntimeStream queue = (RuntimeStream) stream;
    MemorySegment desc = describe(queue, operands.position(), operands.q());
    quern_ponet_chunks_desc.q_stride(desc, Operand.stride(operands.q()));
    try {
      int status =
          (int)
              QUERIES.invokeExact(
                  desc.address(),
                  ordinal,
                  address(operands.q()),
                  address(operands.valid()),
                  address(operands.state()),
                  address(operands.workspace()),
                  bytes(operands.workspace()),
                  queue.handle());
      queue.launched(status, "quern_ponet_chunks_queries");
    } catch (RuntimeException | Error e) {
      throw e;
    } catch (Throwable e) {
      throw new AssertionError("a downcall throws nothing", e);
    }
  }

  @Override
  public void keys(QueueStream stream, PonetChunks.Keys operands) {
    RuntimeStream queue = (RuntimeStream) stream;
    MemorySegment desc = describe(queue, operands.position(), operands.k());
    quern_ponet_chunks_desc.k_stride(desc, Operand.stride(operands.k()));
    quern_ponet_chunks_desc.segment_stride(desc, Operand.stride(operands.segment()));
    quern_ponet_chunks_desc.segments(desc, operands.segmentMax().shape().dim(0));
    try {
      int status =
          (int)
              KEYS.invokeExact(
                  desc.address(),
                  ordinal,
                  address(operands.k()),
                  address(operands.segment()),
                  address(operands.segmentIds()),
                  address(operands.valid()),
                  address(operands.probabilities()),
                  address(operands.state()),
                  address(operands.segmentMax()),
                  address(operands.workspace()),
                  bytes(operands.workspace()),
                  queue.handle());
      queue.launched(status, "quern_ponet_chunks_keys");
    } catch (RuntimeException | Error e) {
      throw e;
    } catch (Throwable e) {
      throw new AssertionError("a downcall throws nothing", e);
    }
  }

  @Override
  public void fuse(QueueStream stream, PonetChunks.Fusion operands) {
    RuntimeStream queue = (RuntimeStream) stream;
    MemorySegment desc = describe(queue, operands.position(), operands.out());
    long context = operands.local().shape().dim(0);
    long tokens = operands.out().shape().dim(0);
    quern_ponet_chunks_desc.before(desc, operands.before());
    quern_ponet_chunks_desc.after(desc, (int) (context - operands.before() - tokens));
    quern_ponet_chunks_desc.o_stride(desc, Operand.stride(operands.o()));
    quern_ponet_chunks_desc.local_stride(desc, Operand.stride(operands.local()));
    quern_ponet_chunks_desc.out_stride(desc, Operand.stride(operands.out()));
    quern_ponet_chunks_desc.segments(desc, operands.segmentMax().shape().dim(0));
    quern_ponet_chunks_desc.launch(desc, queue.nextLaunch(Operator.PONET_CHUNKS));
    try {
      int status =
          (int)
              FUSE.invokeExact(
                  desc.address(),
                  ordinal,
                  address(operands.o()),
                  address(operands.local()),
                  address(operands.segmentIds()),
                  address(operands.valid()),
                  address(operands.special()),
                  address(operands.state()),
                  address(operands.segmentMax()),
                  address(operands.out()),
                  address(operands.probabilities()),
                  queue.errorRecord(),
                  queue.handle());
      queue.launched(status, "quern_ponet_chunks_fuse");
    } catch (RuntimeException | Error e) {
      throw e;
    } catch (Throwable e) {
      throw new AssertionError("a downcall throws nothing", e);
    }
  }
}
