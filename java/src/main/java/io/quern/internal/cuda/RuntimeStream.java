package io.quern.internal.cuda;

import static io.quern.bindings.cudart.CudaRuntime.cudaErrorStreamCaptureImplicit;
import static io.quern.bindings.cudart.CudaRuntime.cudaGraphDestroy;
import static io.quern.bindings.cudart.CudaRuntime.cudaGraphInstantiate;
import static io.quern.bindings.cudart.CudaRuntime.cudaGraphLaunch;
import static io.quern.bindings.cudart.CudaRuntime.cudaMemcpy2DAsync;
import static io.quern.bindings.cudart.CudaRuntime.cudaMemcpyAsync;
import static io.quern.bindings.cudart.CudaRuntime.cudaMemcpyDefault;
import static io.quern.bindings.cudart.CudaRuntime.cudaStreamBeginCapture;
import static io.quern.bindings.cudart.CudaRuntime.cudaStreamCaptureModeRelaxed;
import static io.quern.bindings.cudart.CudaRuntime.cudaStreamCaptureStatusNone;
import static io.quern.bindings.cudart.CudaRuntime.cudaStreamCreateWithFlags;
import static io.quern.bindings.cudart.CudaRuntime.cudaStreamDestroy;
import static io.quern.bindings.cudart.CudaRuntime.cudaStreamEndCapture;
import static io.quern.bindings.cudart.CudaRuntime.cudaStreamIsCapturing;
import static io.quern.bindings.cudart.CudaRuntime.cudaStreamNonBlocking;
import static io.quern.bindings.cudart.CudaRuntime.cudaStreamSynchronize;
import static io.quern.bindings.cudart.CudaRuntime.cudaSuccess;

import io.quern.CudaException;
import io.quern.Event;
import io.quern.Graph;
import io.quern.InvalidDataException;
import io.quern.InvalidDataException.Kind;
import io.quern.bindings.quern.QuernAbi;
import io.quern.bindings.quern.quern_error_record;
import io.quern.internal.device.Checked;
import io.quern.internal.device.QueueStream;
import io.quern.internal.device.Resource;
import io.quern.internal.device.TypedMemory;
import io.quern.internal.kernel.Operator;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/**
 * A CUDA stream with its own page of page-locked memory: first the error record, which kernels
 * write, then room for the descriptor of a call, which the library has read when the call returns.
 */
public final class RuntimeStream extends QueueStream {
  private static final Logger LOG = System.getLogger("io.quern");

  /** A page, the least that can be locked. */
  private static final int PAGE_BYTES = 4096;

  /** What a copy from or to a heap segment moves at a time. */
  private static final int STAGING_BYTES = 1 << 20;

  /** cudaDevAttrMaxPitch of every GPU: wider rows are copied one by one. */
  private static final long MOST_PITCH_BYTES = Integer.MAX_VALUE;

  /** Of the number of a launch. */
  private static final int OPERATOR_BITS = 8;

  private static final int OPERATOR_MASK = (1 << OPERATOR_BITS) - 1;

  private final RuntimeDevice device;
  private final PrimaryContext context;
  private final MemorySegment handle;
  private final boolean wrapped;
  private final MemorySegment page;
  private final MemorySegment record;
  private final MemorySegment descriptor;

  /** Page-locked, made by the first copy that needs it. */
  private MemorySegment staging;

  private long launches;

  /** Held while the stream is waited for by others, or changes in a way that they must not meet. */
  private final Object lock = new Object();

  private boolean recording;
  private boolean released;

  private RuntimeStream(RuntimeDevice device, MemorySegment handle, boolean wrapped) {
    super(
        device, device.resources(), "stream 0x%x of %s".formatted(handle.address(), device.name()));
    this.device = device;
    this.context = device.context();
    this.handle = handle;
    this.wrapped = wrapped;
    this.page = context.allocatePinned(PAGE_BYTES).reinterpret(PAGE_BYTES);
    this.record = page.asSlice(0, quern_error_record.sizeof());
    this.descriptor = page.asSlice(quern_error_record.sizeof());
    record.fill((byte) 0);
  }

  static RuntimeStream open(RuntimeDevice device) {
    PrimaryContext context = device.context();
    MemorySegment handle =
        context.create(
            "cudaStreamCreateWithFlags",
            out -> cudaStreamCreateWithFlags(out, cudaStreamNonBlocking()));
    try {
      return new RuntimeStream(device, handle, false);
    } catch (CudaException e) {
      context.release("cudaStreamDestroy", () -> cudaStreamDestroy(handle));
      throw e;
    }
  }

  static RuntimeStream wrap(RuntimeDevice device, long cudaStream) {
    return new RuntimeStream(device, MemorySegment.ofAddress(cudaStream), true);
  }

  /** The {@code cudaStream_t}. */
  public long handle() {
    return handle.address();
  }

  /** Where kernels write about bad data. */
  long errorRecord() {
    return record.address();
  }

  /** Room for the descriptor of a call; its contents are those of an earlier call. */
  MemorySegment descriptor() {
    return descriptor;
  }

  /**
   * The number of the launch to come, which tells its entries in the error record from those of
   * others, and in the lowest bits which operator made them.
   */
  @SuppressWarnings("EnumOrdinal")
  long nextLaunch(Operator operator) {
    return ++launches << OPERATOR_BITS | operator.ordinal();
  }

  /**
   * Judges what a launch returned. In checked mode waits for the work and throws what it met.
   *
   * @param status a {@code cudaError_t} or {@code quern_status}
   */
  void launched(int status, String call) {
    if (status != QuernAbi.QUERN_OK()) {
      throw context.failure(status, call, "");
    }
    if (Checked.ENABLED && !isRecorded()) {
      awaitWork(call);
      report();
    }
  }

  /** Launches a graph that was captured on this stream. */
  void launch(MemorySegment executable) {
    begin();
    try {
      requireNotCapturing("a graph");
      launched(context.status(() -> cudaGraphLaunch(executable, handle)), "cudaGraphLaunch");
    } finally {
      end();
    }
  }

  @Override
  public void synchronize() {
    begin();
    try {
      requireNotCapturing("synchronize");
      awaitWork("cudaStreamSynchronize");
      report();
    } finally {
      end();
    }
  }

  private void awaitWork(String call) {
    context.call(call, () -> cudaStreamSynchronize(handle));
  }

  /** Throws what kernels that have ended met, and clears the record for the next. */
  private void report() {
    InvalidDataException found = takeRecord();
    if (found != null) {
      throw found;
    }
  }

  @SuppressWarnings("EnumOrdinal") // the numbers of the C ABI
  private InvalidDataException takeRecord() {
    int kind = quern_error_record.kind(record);
    if (kind == QuernAbi.QUERN_DATA_OK()) {
      return null;
    }
    InvalidDataException found =
        new InvalidDataException(
            Operator.values()[(int) quern_error_record.launch(record) & OPERATOR_MASK].className(),
            Kind.values()[kind - 1],
            quern_error_record.position(record),
            quern_error_record.value(record),
            quern_error_record.limit(record));
    record.fill((byte) 0);
    return found;
  }

  @Override
  public void record(Event event) {
    RuntimeEvent mark = own(event);
    begin();
    try {
      requireNotCapturing("record"); // it would join other streams to the capture
      mark.record(handle);
    } finally {
      end();
    }
  }

  @Override
  public void await(Event event) {
    RuntimeEvent mark = own(event);
    begin();
    try {
      requireNotCapturing("await");
      mark.await(handle);
    } finally {
      end();
    }
  }

  private RuntimeEvent own(Event event) {
    if (!(event instanceof RuntimeEvent mark) || mark.device() != device) {
      throw new IllegalArgumentException("the event belongs to another device than " + this);
    }
    return mark;
  }

  /**
   * Waits for work that others need done. A stream that records has none: see {@link
   * #beginCapture}.
   *
   * @throws IllegalStateException if the owner of a wrapped stream captures it, which keeps what
   *     was queued before from being waited for
   */
  void drain() {
    synchronized (lock) {
      if (released || recording) {
        return;
      }
      if (!isRecorded()) {
        context.release("cudaStreamSynchronize", () -> cudaStreamSynchronize(handle));
      } else if (wrapped) {
        throw new IllegalStateException(
            this + " is being captured by its owner: nothing can be released until that has ended");
      } // else ending our capture failed, and what it began with was waited for
    }
  }

  /** Whether calls on the CUDA stream go into a graph, of ours or of the stream's owner. */
  private boolean isRecorded() {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment capture = arena.allocate(ValueLayout.JAVA_INT);
      int status = context.status(() -> cudaStreamIsCapturing(handle, capture));
      return status == cudaErrorStreamCaptureImplicit()
          || (status == cudaSuccess()
              && capture.get(ValueLayout.JAVA_INT, 0) != cudaStreamCaptureStatusNone());
    }
  }

  /**
   * Waits for earlier work first, so that nobody has to wait for a stream that records, which CUDA
   * does not allow. The mode is relaxed: in the others a capture must end on the OS thread that
   * began it, which a virtual thread cannot promise, and allocating or closing a buffer in between
   * would break it.
   */
  @Override
  protected void beginCapture() {
    enter();
    try {
      synchronized (lock) {
        awaitWork("cudaStreamSynchronize");
        context.call(
            "cudaStreamBeginCapture",
            () -> cudaStreamBeginCapture(handle, cudaStreamCaptureModeRelaxed()));
        recording = true;
      }
    } finally {
      exit();
    }
  }

  @Override
  protected Graph endCapture(Resource[] memories) {
    enter(); // it may have been closed while it recorded
    try {
      MemorySegment graph;
      synchronized (lock) {
        graph = takeRecorded();
      }
      MemorySegment executable;
      try {
        executable =
            context.create("cudaGraphInstantiate", out -> cudaGraphInstantiate(out, graph, 0));
      } finally {
        context.release("cudaGraphDestroy", () -> cudaGraphDestroy(graph));
      }
      return device.resources().add(new RuntimeGraph(device, this, executable, memories));
    } finally {
      exit();
    }
  }

  @Override
  protected void abandonCapture(Throwable failure) {
    synchronized (lock) {
      if (recording) {
        try {
          MemorySegment graph = takeRecorded();
          context.release("cudaGraphDestroy", () -> cudaGraphDestroy(graph));
        } catch (CudaException e) {
          failure.addSuppressed(e);
        }
      }
    }
  }

  private MemorySegment takeRecorded() {
    recording = false;
    return context.create("cudaStreamEndCapture", out -> cudaStreamEndCapture(handle, out));
  }

  /**
   * The source may be pageable or page-locked: only a wait makes sure that it may be reused. Copies
   * that should not wait go from a pinned buffer.
   */
  @Override
  protected void copyIn(MemorySegment source, TypedMemory target) {
    requireNotCapturing("copyFrom");
    Rows rows = new Rows(target);
    if (source.isNative()) {
      copy(rows.at(0, 0), rows.stride, source, rows.bytes, rows.bytes, rows.count);
      awaitWork("cudaMemcpyAsync");
      return;
    }
    rows.forEachTile(
        (row, column, bytes, count) -> {
          MemorySegment.copy(source, row * rows.bytes + column, staging(), 0, count * bytes);
          copy(rows.at(row, column), rows.stride, staging(), bytes, bytes, count);
          awaitWork("cudaMemcpyAsync");
        });
  }

  @Override
  protected void copyOut(TypedMemory source, MemorySegment target) {
    requireNotCapturing("copyTo");
    Rows rows = new Rows(source);
    if (target.isNative()) {
      copy(target, rows.bytes, rows.at(0, 0), rows.stride, rows.bytes, rows.count);
      awaitWork("cudaMemcpyAsync");
    } else {
      awaitWork("cudaStreamSynchronize");
      rows.forEachTile(
          (row, column, bytes, count) -> {
            copy(staging(), bytes, rows.at(row, column), rows.stride, bytes, count);
            awaitWork("cudaMemcpyAsync");
            MemorySegment.copy(staging(), 0, target, row * rows.bytes + column, count * bytes);
          });
    }
    report();
  }

  @Override
  protected void copy(TypedMemory source, TypedMemory target) {
    boolean dense = source.isDense() && target.isDense();
    Rows from = new Rows(source, dense);
    Rows to = new Rows(target, dense);
    copy(to.at(0, 0), to.stride, from.at(0, 0), from.stride, to.bytes, to.count);
    launched(QuernAbi.QUERN_OK(), "cudaMemcpyAsync");
  }

  private MemorySegment staging() {
    if (staging == null) {
      staging = context.allocatePinned(STAGING_BYTES).reinterpret(STAGING_BYTES);
    }
    return staging;
  }

  /**
   * Queues a copy of {@code count} rows of {@code bytes} each, whose starts are {@code stride}
   * bytes apart.
   */
  private void copy(
      MemorySegment to,
      long toStride,
      MemorySegment from,
      long fromStride,
      long bytes,
      long count) {
    if (bytes == 0 || count == 0) {
      return;
    }
    int kind = cudaMemcpyDefault();
    if (count == 1 || (toStride == bytes && fromStride == bytes)) {
      context.call("cudaMemcpyAsync", () -> cudaMemcpyAsync(to, from, bytes * count, kind, handle));
    } else if (Math.max(toStride, fromStride) <= MOST_PITCH_BYTES) {
      context.call(
          "cudaMemcpy2DAsync",
          () -> cudaMemcpy2DAsync(to, toStride, from, fromStride, bytes, count, kind, handle));
    } else {
      for (long row = 0; row < count; row++) {
        long target = to.address() + row * toStride;
        long source = from.address() + row * fromStride;
        context.call(
            "cudaMemcpyAsync",
            () ->
                cudaMemcpyAsync(
                    MemorySegment.ofAddress(target),
                    MemorySegment.ofAddress(source),
                    bytes,
                    kind,
                    handle));
      }
    }
  }

  /** A buffer's memory as rows in bytes; a dense one is a single row. */
  private static final class Rows {
    private final long address;
    private final long bytes;
    private final long count;
    private final long stride;

    Rows(TypedMemory memory) {
      this(memory, memory.isDense());
    }

    Rows(TypedMemory memory, boolean asOne) {
      long size = memory.dtype().byteSize();
      address = Operand.address(memory);
      bytes = size * (asOne ? memory.shape().size() : memory.shape().last());
      count = asOne ? 1 : memory.shape().rows();
      stride = asOne ? bytes : memory.rowStride() * size;
    }

    MemorySegment at(long row, long column) {
      return MemorySegment.ofAddress(address + row * stride + column);
    }

    /** Visits parts that fit into the staging memory: several whole rows, or a part of one. */
    void forEachTile(Tile tile) {
      long width = Math.min(bytes, STAGING_BYTES);
      long height = width == 0 ? count : STAGING_BYTES / width;
      for (long row = 0; row < count; row += height) {
        for (long column = 0; column < bytes; column += width) {
          tile.visit(row, column, Math.min(width, bytes - column), Math.min(height, count - row));
        }
      }
    }
  }

  @FunctionalInterface
  private interface Tile {
    void visit(long row, long column, long bytes, long count);
  }

  @Override
  protected void free() {
    synchronized (lock) {
      if (recording) {
        abandonCapture(new IllegalStateException(this + " was closed while it recorded"));
      }
      drain();
      released = true;
    }
    device.forget(this);
    InvalidDataException unreported = takeRecord();
    if (unreported != null) {
      LOG.log(Level.WARNING, "bad data, found when the stream was closed", unreported);
    }
    if (!wrapped) {
      context.release("cudaStreamDestroy", () -> cudaStreamDestroy(handle));
    }
    if (staging != null) {
      context.freePinned(staging);
    }
    context.freePinned(page);
  }
}
