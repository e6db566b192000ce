package io.quern.internal.device;

import io.quern.Buffer;
import io.quern.Device;
import io.quern.Graph;
import io.quern.Stream;
import io.quern.internal.cpu.HostStream;
import io.quern.internal.cuda.RuntimeStream;
import io.quern.op.KvCompaction;
import java.lang.foreign.MemorySegment;
import java.util.Collections;
import java.util.IdentityHashMap;
import java.util.Objects;
import java.util.Set;
import java.util.concurrent.atomic.AtomicReference;

/**
 * A stream as operators see it. A call on it is {@link #begin()}, {@link #hold} for every operand,
 * the work, {@link #end()}; nothing of that allocates.
 */
public abstract sealed class QueueStream extends Resource implements Stream
    permits HostStream, RuntimeStream {
  /** The most operands of one call: the caches of a compaction and the rest. */
  private static final int MOST_OPERANDS = KvCompaction.MAX_CACHES + 16;

  private final Device device;
  private final Resource[] held = new Resource[MOST_OPERANDS];
  private final Buffer[] tables = new Buffer[KvCompaction.MAX_CACHES];
  private int holding;
  private Set<Resource> captured;
  private Thread capturer;
  private final AtomicReference<Thread> user = new AtomicReference<>();

  protected QueueStream(Device device, Resources owner, String what) {
    super(owner, what, 0);
    this.device = device;
  }

  /** The stream's other face. */
  public static QueueStream of(Stream stream, String call) {
    if (stream
        == null) { // not requireNonNull, whose supplier of a message would be an object per call
      throw new NullPointerException(call + ": stream is null");
    }
    return (QueueStream) stream;
  }

  /** The same, checked to be of the device that a plan was made for. */
  public static QueueStream of(Stream stream, Device device, String call) {
    QueueStream queue = of(stream, call);
    if (queue.device != device) {
      throw new IllegalArgumentException(
          "%s: stream belongs to %s, expected one of %s"
              .formatted(call, queue.device.name(), device.name()));
    }
    return queue;
  }

  @Override
  public final Device device() {
    return device;
  }

  /** Starts a call. */
  public final void begin() {
    enter();
    if (Checked.ENABLED) {
      Thread thread = Thread.currentThread();
      Thread other = captured != null && capturer != thread ? capturer : user.get();
      if (other != null || !user.compareAndSet(null, thread)) {
        exit();
        throw new IllegalStateException(
            "%s is used by %s and %s at the same time".formatted(this, other, thread));
      }
    }
  }

  /**
   * Room for the tables or caches of a call, so that a list which changes meanwhile is read once;
   * cleared by {@link #end()}.
   */
  public final Buffer[] tables() {
    return tables;
  }

  /**
   * Keeps an operand's memory from being released until the call, or the graph being captured, is
   * over.
   */
  public final void hold(TypedMemory operand) {
    Resource memory = operand.memory();
    memory.enter();
    held[holding++] = memory;
    if (captured != null) {
      captured.add(memory);
    }
  }

  /** The same for an operand that may be absent. */
  public final void hold(Buffer operand) {
    if (operand != null) {
      hold(TypedMemory.of(operand));
    }
  }

  /** Ends a call, whether it succeeded or not. */
  public final void end() {
    while (holding > 0) {
      held[--holding].exit();
      held[holding] = null;
    }
    for (int i = 0; i < tables.length && tables[i] != null; i++) {
      tables[i] = null;
    }
    if (Checked.ENABLED) {
      user.set(null);
    }
    exit();
  }

  /** Whether work is being recorded instead of run. */
  public final boolean isCapturing() {
    return captured != null;
  }

  /**
   * @throws IllegalStateException while capturing
   */
  public final void requireNotCapturing(String call) {
    if (captured != null) {
      throw new IllegalStateException(call + " cannot be captured into a graph");
    }
  }

  @Override
  public final Graph capture(Runnable work) {
    Objects.requireNonNull(work, "work");
    requireOpen();
    if (captured != null) {
      throw new IllegalStateException(this + " is capturing already");
    }
    beginCapture();
    capturer = Thread.currentThread();
    captured = Collections.newSetFromMap(new IdentityHashMap<>());
    Set<Resource> memories = captured;
    try {
      work.run();
    } catch (Throwable failure) {
      captured = null;
      abandonCapture(failure);
      throw failure;
    }
    captured = null;
    return endCapture(memories.toArray(Resource[]::new));
  }

  /** Starts recording. */
  protected abstract void beginCapture();

  /** Makes a graph of what was recorded, which uses these memories. */
  protected abstract Graph endCapture(Resource[] memories);

  /** Drops what was recorded; trouble with that is added to {@code failure} as suppressed. */
  protected abstract void abandonCapture(Throwable failure);

  /** Copies dense host memory into {@code target}; the source may be reused on return. */
  protected abstract void copyIn(MemorySegment source, TypedMemory target);

  /** Waits, copies into dense host memory, then reports bad data. */
  protected abstract void copyOut(TypedMemory source, MemorySegment target);

  /** Copies between memories of one dtype and shape, in stream order. */
  protected abstract void copy(TypedMemory source, TypedMemory target);
}
