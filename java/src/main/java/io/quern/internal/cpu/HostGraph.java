package io.quern.internal.cpu;

import io.quern.Graph;
import io.quern.InvalidDataException;
import io.quern.Stream;
import io.quern.internal.device.QueueStream;
import io.quern.internal.device.Resource;
import java.util.List;
import java.util.Objects;

/** Recorded calls, replayed in order. */
public final class HostGraph extends Resource implements Graph {
  private final HostStream origin;
  private final List<Runnable> calls;
  private final Resource[] memories;

  HostGraph(HostStream origin, List<Runnable> calls, Resource[] memories) {
    super(((HostDevice) origin.device()).resources(), "graph of " + origin.device().name(), 0);
    this.origin = origin;
    this.calls = List.copyOf(calls);
    this.memories = memories;
  }

  @Override
  public void launch(Stream stream) {
    QueueStream queue = QueueStream.of(stream, "launch");
    if (!Objects.equals(queue, origin)) {
      throw new IllegalArgumentException(
          "launch: a graph runs on the stream it was captured on, not on another " + queue);
    }
    enter();
    int entered = 0;
    try {
      origin.begin();
      try {
        origin.requireNotCapturing("a graph");
        for (Resource memory : memories) {
          memory.enter();
          entered++;
        }
        replay();
      } finally {
        origin.end();
      }
    } finally {
      while (entered > 0) {
        memories[--entered].exit();
      }
      exit();
    }
  }

  /** Bad data in one call does not keep the later ones from running, as on a GPU. */
  private void replay() {
    InvalidDataException first = null;
    for (Runnable call : calls) {
      try {
        call.run();
      } catch (InvalidDataException e) {
        first = first == null ? e : first;
      }
    }
    if (first != null) {
      throw first;
    }
  }

  @Override
  protected void free() {}
}
