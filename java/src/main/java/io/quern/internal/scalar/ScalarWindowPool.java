package io.quern.internal.scalar;

import io.quern.Buffer;
import io.quern.internal.cpu.HostStream;
import io.quern.internal.cpu.WindowTask;
import io.quern.internal.device.QueueStream;
import io.quern.internal.kernel.WindowPoolKernel;
import io.quern.op.WindowPool;
import java.lang.foreign.MemorySegment;

/** The maximum or mean of each window's rows, element by element, in canonical order (rule 5). */
final class ScalarWindowPool implements WindowPoolKernel {
  /** Consecutive rows of a window that are added in order before chunks are. */
  private static final long CHUNK = 64;

  private final WindowPool.Spec spec;

  ScalarWindowPool(WindowPool.Spec spec) {
    this.spec = spec;
  }

  @Override
  public void run(QueueStream stream, Buffer x, long length, Buffer out) {
    HostStream host = (HostStream) stream;
    Task task = host.task(Task.class, workers -> new Task());
    task.pool(spec, x, length, out);
    host.run(task, out.shape().rows(), spec.window() * spec.dim() * spec.x().byteSize());
  }

  private static final class Task extends WindowTask {
    @Override
    protected void pool(int worker, long begin, long end, MemorySegment out, long target) {
      for (long d = 0; d < spec.dim(); d++) {
        float value =
            spec.mode() == WindowPool.Mode.MAX
                ? max(begin, end, d)
                : sum(begin, end, d) / (end - begin);
        Element.store(spec.out(), out, target + d * spec.out().byteSize(), value);
      }
    }

    private float max(long begin, long end, long d) {
      float best = Float.NEGATIVE_INFINITY;
      for (long row = begin; row < end; row++) {
        best = Math.max(best, value(row, d));
      }
      return best + 0.0f;
    }

    private float sum(long begin, long end, long d) {
      float total = 0;
      for (long chunk = begin; chunk < end; chunk += CHUNK) {
        float partial = 0;
        for (long row = chunk; row < Math.min(end, chunk + CHUNK); row++) {
          partial += value(row, d);
        }
        total += partial;
      }
      return total;
    }

    private float value(long row, long d) {
      return Element.load(spec.x(), x, row * stride + d * spec.x().byteSize());
    }
  }
}
