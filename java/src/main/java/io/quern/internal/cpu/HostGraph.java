package io.quern.internal.cpu;

import io.quern.Graph;
import io.quern.Stream;
import io.quern.internal.device.QueueStream;
import io.quern.internal.device.Resource;
import java.util.List;

/** Recorded calls, replayed in order. */
public final class HostGraph extends Resource implements Graph {
  private final HostDevice device;
  private final List<Runnable> calls;
  private final Resource[] memories;

  HostGraph(HostDevice device, List<Runnable> calls, Resource[] memories) {
    super(device.resources(), "graph of " + device.name(), 0);
    this.device = device;
    this.calls = List.copyOf(calls);
    this.memories = memories;
  }

  @Override
  public synchronized void launch(Stream stream) {
    HostStream queue = (HostStream) QueueStream.of(stream, device, "launch");
    enter();
    int entered = 0;
    try {
      queue.begin();
      try {
        queue.requireNotCapturing("a graph");
        for (Resource memory : memories) {
          memory.enter();
          entered++;
        }
        calls.forEach(Runnable::run);
      } finally {
        queue.end();
      }
    } finally {
      while (entered > 0) {
        memories[--entered].exit();
      }
      exit();
    }
  }

  @Override
  protected void free() {}
}
