package io.quern.internal.simd;

import io.quern.Buffer;
import io.quern.internal.cpu.CompactionTask;
import io.quern.internal.cpu.HostStream;
import io.quern.internal.cpu.NativeRows;
import io.quern.internal.device.QueueStream;
import io.quern.internal.kernel.KvCompactionKernel;
import io.quern.op.KvCompaction;
import java.lang.foreign.MemorySegment;
import java.nio.ByteOrder;
import jdk.incubator.vector.IntVector;

/** Rows of accepted nodes down to the committed ones, row by row. */
final class SimdKvCompaction implements KvCompactionKernel {
  /** Up to here a loop of vectors is faster than a call, and more rows are in flight. */
  private static final long MOST_BYTES = 2048;

  private static final ByteOrder ORDER = ByteOrder.nativeOrder();
  private static final long VECTOR_BYTES = Species.INT.vectorByteSize();

  private final KvCompaction.Spec spec;

  SimdKvCompaction(KvCompaction.Spec spec) {
    this.spec = spec;
  }

  @Override
  public void run(
      QueueStream stream, KvCompaction.Operands operands, Buffer[] caches, int cacheCount) {
    HostStream host = (HostStream) stream;
    host.task(Task.class, Task::new).compact(host, spec, operands, caches, cacheCount);
  }

  private static final class Task extends CompactionTask {
    Task(int workers) {
      super(workers);
    }

    @Override
    protected void move(MemorySegment cache, long base, long[] moves, int count) {
      if (rowBytes > MOST_BYTES) {
        for (int k = 0; k < count; k++) {
          NativeRows.copy(cache, base + moves[2 * k], cache, base + moves[2 * k + 1], rowBytes);
        }
      } else {
        moveShort(cache, base, moves, count, rowBytes);
      }
    }

    private static void moveShort(
        MemorySegment memory, long base, long[] moves, int count, long rowBytes) {
      MemorySegment cache = NativeRows.known(memory);
      long whole = rowBytes / VECTOR_BYTES * VECTOR_BYTES;
      for (int k = 0; k < count; k++) {
        long from = base + moves[2 * k];
        long to = base + moves[2 * k + 1];
        for (long i = 0; i < whole; i += VECTOR_BYTES) {
          IntVector.fromMemorySegment(Species.INT, cache, from + i, ORDER)
              .intoMemorySegment(cache, to + i, ORDER);
        }
        if (whole < rowBytes) {
          MemorySegment.copy(cache, from + whole, cache, to + whole, rowBytes - whole);
        }
      }
    }
  }
}
