package io.quern.internal.simd;

import io.quern.Buffer;
import io.quern.internal.cpu.CompactionTask;
import io.quern.internal.cpu.HostStream;
import io.quern.internal.device.QueueStream;
import io.quern.internal.kernel.KvCompactionKernel;
import io.quern.op.KvCompaction;
import java.lang.foreign.MemorySegment;

/** Rows of accepted nodes down to the committed ones, row by row. */
final class SimdKvCompaction implements KvCompactionKernel {
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
      for (int k = 0; k < count; k++) {
        MemorySegment.copy(cache, base + moves[2 * k], cache, base + moves[2 * k + 1], rowBytes);
      }
    }
  }
}
