package io.quern.internal.cpu;

import io.quern.Event;
import io.quern.Graph;
import io.quern.internal.device.QueueStream;
import io.quern.internal.device.Resource;
import io.quern.internal.device.TypedMemory;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.function.IntFunction;

/** A CPU stream: a call has finished when it returns. */
public final class HostStream extends QueueStream {
  /** Output bytes worth waking a thread for: about four microseconds of copying. */
  private static final long GRAIN_BYTES = 32 << 10;

  private final HostDevice device;
  private final Map<Class<?>, Object> kept = new HashMap<>();
  private List<Runnable> recording;

  HostStream(HostDevice device) {
    super(device, device.resources(), "stream of " + device.name());
    this.device = device;
  }

  /**
   * The stream's own task of a class, to be filled with the operands of a call and run by {@link
   * #run}. While capturing it is a new one, since the graph keeps it.
   *
   * @param create makes one for that many threads
   */
  public <T extends RowTask> T task(Class<T> type, IntFunction<T> create) {
    return recording != null ? create.apply(device.parallelism()) : kept(type, create);
  }

  /**
   * The stream's own object of a class, such as scratch for every thread. Graphs share it, since
   * they run on this stream only.
   *
   * @param create makes one for that many threads
   */
  public <T> T kept(Class<T> type, IntFunction<T> create) {
    Object object = kept.get(type);
    if (object == null) {
      object = create.apply(device.parallelism());
      kept.put(type, object);
    }
    return type.cast(object);
  }

  /**
   * Runs a task over its rows, or records it.
   *
   * @param bytesPerRow about how many bytes a row reads or writes, whichever is more
   */
  public void run(RowTask task, long rows, long bytesPerRow) {
    long grain = Math.max(1, GRAIN_BYTES / Math.max(1, bytesPerRow));
    if (recording != null) {
      recording.add(() -> run(task, rows, grain, false));
    } else {
      run(task, rows, grain, true);
    }
  }

  private void run(RowTask task, long rows, long grain, boolean last) {
    task.forgetReported(); // a call that failed otherwise may have left one
    try {
      task.begin();
      device.team().run(task, rows, grain);
      task.throwReported();
    } finally {
      if (last) {
        task.clear();
      }
    }
  }

  @Override
  public void synchronize() {
    begin();
    try {
      requireNotCapturing("synchronize");
    } finally {
      end();
    }
  }

  @Override
  public void record(Event event) {
    HostEvent mark = own(event);
    begin();
    try {
      requireNotCapturing("record");
      mark.record();
    } finally {
      end();
    }
  }

  @Override
  public void await(Event event) {
    HostEvent mark = own(event);
    begin();
    try {
      requireNotCapturing("await");
      mark.requireOpen();
    } finally {
      end();
    }
  }

  private HostEvent own(Event event) {
    if (!(event instanceof HostEvent host) || host.device() != device) {
      throw new IllegalArgumentException("the event belongs to another device than " + this);
    }
    return host;
  }

  @Override
  protected void beginCapture() {
    recording = new ArrayList<>();
  }

  @Override
  protected Graph endCapture(Resource[] memories) {
    List<Runnable> calls = recording;
    recording = null;
    requireOpen(); // it may have been closed while it recorded
    return device.resources().add(new HostGraph(this, calls, memories));
  }

  @Override
  protected void abandonCapture(Throwable failure) {
    recording = null;
  }

  @Override
  protected void copyIn(MemorySegment source, TypedMemory target) {
    requireNotCapturing("copyFrom");
    MemorySegment to = HostDevice.segment(target);
    long row = target.shape().last() * target.dtype().byteSize();
    long stride = target.rowStride() * target.dtype().byteSize();
    if (target.isDense()) {
      MemorySegment.copy(source, 0, to, 0, source.byteSize());
    } else {
      for (long i = 0, rows = rowsToCopy(target); i < rows; i++) {
        MemorySegment.copy(source, i * row, to, i * stride, row);
      }
    }
  }

  @Override
  protected void copyOut(TypedMemory source, MemorySegment target) {
    requireNotCapturing("copyTo");
    MemorySegment from = HostDevice.segment(source);
    long row = source.shape().last() * source.dtype().byteSize();
    long stride = source.rowStride() * source.dtype().byteSize();
    if (source.isDense()) {
      MemorySegment.copy(from, 0, target, 0, target.byteSize());
    } else {
      for (long i = 0, rows = rowsToCopy(source); i < rows; i++) {
        MemorySegment.copy(from, i * stride, target, i * row, row);
      }
    }
  }

  @Override
  protected void copy(TypedMemory source, TypedMemory target) {
    MemorySegment from = HostDevice.segment(source);
    MemorySegment to = HostDevice.segment(target);
    long row = source.shape().last() * source.dtype().byteSize();
    long fromStride = source.rowStride() * source.dtype().byteSize();
    long toStride = target.rowStride() * target.dtype().byteSize();
    long rows = rowsToCopy(source);
    Runnable work =
        () -> {
          for (long i = 0; i < rows; i++) {
            MemorySegment.copy(from, i * fromStride, to, i * toStride, row);
          }
        };
    if (recording != null) {
      recording.add(work);
    } else {
      work.run();
    }
  }

  /** Rows without elements have no place in memory, so there is none to copy. */
  private static long rowsToCopy(TypedMemory memory) {
    return memory.shape().size() == 0 ? 0 : memory.shape().rows();
  }

  @Override
  protected void free() {}
}
