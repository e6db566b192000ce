package io.quern.internal.scalar;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;

import io.quern.Buffer;
import io.quern.internal.cpu.CompactionTask;
import io.quern.internal.cpu.HostStream;
import io.quern.internal.device.QueueStream;
import io.quern.internal.kernel.KvCompactionKernel;
import io.quern.op.KvCompaction;
import java.lang.foreign.MemorySegment;

/** Rows of accepted nodes down to the committed ones, byte by byte. */
final class ScalarKvCompaction implements KvCompactionKernel {
  private final KvCompaction.Spec spec;

  ScalarKvCompaction(KvCompaction.Spec spec) {
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
        for (long i = 0; i < rowBytes; i++) {
          cache.set(
              JAVA_BYTE,
              base + moves[2 * k + 1] + i,
              cache.get(JAVA_BYTE, base + moves[2 * k] + i));
        }
      }
    }
  }
}
