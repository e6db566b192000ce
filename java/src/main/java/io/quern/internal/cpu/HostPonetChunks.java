package io.quern.internal.cpu;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import io.quern.Buffer;
import io.quern.internal.device.QueueStream;
import io.quern.internal.device.TypedMemory;
import io.quern.internal.kernel.Operator;
import io.quern.internal.kernel.PonetChunksKernel;
import io.quern.op.PonetPooling;
import java.lang.foreign.MemorySegment;

/** What begins a document on every CPU device. */
public abstract class HostPonetChunks implements PonetChunksKernel {
  /** What is pooled. */
  protected final PonetPooling.Spec spec;

  protected HostPonetChunks(PonetPooling.Spec spec) {
    this.spec = spec;
  }

  @Override
  public final void start(QueueStream stream, Buffer state, Buffer segmentMax) {
    HostStream host = (HostStream) stream;
    Start task = host.task(Start.class, workers -> new Start());
    task.state = HostDevice.segment(TypedMemory.of(state));
    task.table = HostDevice.segment(TypedMemory.of(segmentMax));
    task.spec = spec;
    host.run(task, 1 + segmentMax.shape().dim(0), (long) spec.columns() * Float.BYTES);
  }

  /** Works on the state, and then on rows of the table. */
  private static final class Start extends RowTask {
    private MemorySegment state;
    private MemorySegment table;
    private PonetPooling.Spec spec;

    @Override
    protected Operator operator() {
      return Operator.PONET_CHUNKS;
    }

    @Override
    protected void run(int worker, long from, long to) {
      if (from == 0) {
        for (long at = 0; at < state.byteSize(); at += Long.BYTES) {
          state.set(JAVA_LONG, at, 0);
        }
        long maxima = (2 * Long.BYTES / Float.BYTES) + 2L * spec.columns();
        fill(state, maxima, maxima + spec.heads());
      }
      fill(table, Math.max(0, from - 1) * spec.columns(), (to - 1) * spec.columns());
    }

    private static void fill(MemorySegment floats, long from, long to) {
      for (long i = from; i < to; i++) {
        floats.setAtIndex(JAVA_FLOAT, i, Float.NEGATIVE_INFINITY);
      }
    }

    @Override
    protected void clear() {
      state = null;
      table = null;
    }
  }
}
