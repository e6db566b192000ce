package io.quern.internal.cuda;

import static io.quern.bindings.cudart.CudaRuntime.cudaErrorNotReady;
import static io.quern.bindings.cudart.CudaRuntime.cudaEventDestroy;
import static io.quern.bindings.cudart.CudaRuntime.cudaEventElapsedTime;
import static io.quern.bindings.cudart.CudaRuntime.cudaEventQuery;
import static io.quern.bindings.cudart.CudaRuntime.cudaEventRecord;
import static io.quern.bindings.cudart.CudaRuntime.cudaEventSynchronize;
import static io.quern.bindings.cudart.CudaRuntime.cudaStreamWaitEvent;
import static io.quern.bindings.cudart.CudaRuntime.cudaSuccess;

import io.quern.Event;
import io.quern.internal.device.Resource;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/** A CUDA event with a time. */
public final class RuntimeEvent extends Resource implements Event {
  private final RuntimeDevice device;
  private final PrimaryContext context;
  private final MemorySegment handle;
  private volatile boolean recorded;

  RuntimeEvent(RuntimeDevice device, MemorySegment handle) {
    super(device.resources(), "event of " + device.name(), 0);
    this.device = device;
    this.context = device.context();
    this.handle = handle;
  }

  RuntimeDevice device() {
    return device;
  }

  void record(MemorySegment stream) {
    enter();
    try {
      context.call("cudaEventRecord", () -> cudaEventRecord(handle, stream));
      recorded = true;
    } finally {
      exit();
    }
  }

  void await(MemorySegment stream) {
    enter();
    try {
      context.call("cudaStreamWaitEvent", () -> cudaStreamWaitEvent(stream, handle, 0));
    } finally {
      exit();
    }
  }

  @Override
  public boolean isDone() {
    enter();
    try {
      int status = context.status(() -> cudaEventQuery(handle));
      if (status != cudaSuccess() && status != cudaErrorNotReady()) {
        throw context.failure(status, "cudaEventQuery", "");
      }
      return status == cudaSuccess();
    } finally {
      exit();
    }
  }

  @Override
  public void synchronize() {
    enter();
    try {
      context.call("cudaEventSynchronize", () -> cudaEventSynchronize(handle));
    } finally {
      exit();
    }
  }

  @Override
  public double millisSince(Event earlier) {
    if (!(earlier instanceof RuntimeEvent start) || start.device != device) {
      throw new IllegalArgumentException("the earlier event belongs to another device");
    }
    enter();
    try {
      start.enter();
      try {
        return elapsed(start);
      } finally {
        start.exit();
      }
    } finally {
      exit();
    }
  }

  private double elapsed(RuntimeEvent start) {
    if (!recorded || !start.recorded) {
      throw new IllegalStateException("an event that was not recorded has no time");
    }
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment millis = arena.allocate(ValueLayout.JAVA_FLOAT);
      int status = context.status(() -> cudaEventElapsedTime(millis, start.handle, handle));
      if (status == cudaErrorNotReady()) {
        throw new IllegalStateException("an event that is not done yet has no time");
      }
      if (status != cudaSuccess()) {
        throw context.failure(status, "cudaEventElapsedTime", "");
      }
      return millis.get(ValueLayout.JAVA_FLOAT, 0);
    }
  }

  @Override
  protected void free() {
    context.release("cudaEventDestroy", () -> cudaEventDestroy(handle));
  }
}
