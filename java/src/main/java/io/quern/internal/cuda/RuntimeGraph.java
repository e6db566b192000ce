package io.quern.internal.cuda;

import static io.quern.bindings.cudart.CudaRuntime.cudaGraphExecDestroy;

import io.quern.Graph;
import io.quern.Stream;
import io.quern.internal.device.QueueStream;
import io.quern.internal.device.Resource;
import java.lang.foreign.MemorySegment;

/** An executable CUDA graph. */
public final class RuntimeGraph extends Resource implements Graph {
  private final RuntimeDevice device;
  private final RuntimeStream origin;
  private final MemorySegment executable;
  private final Resource[] memories;

  /**
   * @param origin the stream it was captured on, whose error record its kernels write
   * @param memories what its nodes read and write
   */
  RuntimeGraph(
      RuntimeDevice device, RuntimeStream origin, MemorySegment executable, Resource[] memories) {
    super(device.resources(), "graph of " + device.name(), 0);
    this.device = device;
    this.origin = origin;
    this.executable = executable;
    this.memories = memories;
  }

  @Override
  public void launch(Stream stream) {
    if (QueueStream.of(stream, device, "launch") != origin) {
      // Its kernels write the error record of the origin, which reads it once its own work is done.
      throw new IllegalArgumentException(
          "launch: stream is %s, expected %s, which the graph was captured on"
              .formatted(stream, origin));
    }
    enter();
    int entered = 0;
    try {
      // Once launched, closing a memory waits for the stream.
      for (Resource memory : memories) {
        memory.enter();
        entered++;
      }
      origin.launch(executable);
    } finally {
      while (entered > 0) {
        memories[--entered].exit();
      }
      exit();
    }
  }

  @Override
  protected void free() {
    device.drain(); // it may still run
    device.context().release("cudaGraphExecDestroy", () -> cudaGraphExecDestroy(executable));
  }
}
