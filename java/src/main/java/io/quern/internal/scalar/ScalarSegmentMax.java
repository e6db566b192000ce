package io.quern.internal.scalar;

import io.quern.Buffer;
import io.quern.internal.cpu.HostStream;
import io.quern.internal.cpu.SegmentMaxTask;
import io.quern.internal.device.QueueStream;
import io.quern.internal.kernel.SegmentMaxKernel;
import io.quern.op.SegmentMax;
import java.lang.foreign.MemorySegment;

/** {@code out[s, :] = max(x[i, :])} over the rows with {@code ids[i] = s}, element by element. */
final class ScalarSegmentMax implements SegmentMaxKernel {
  private final SegmentMax.Spec spec;

  ScalarSegmentMax(SegmentMax.Spec spec) {
    this.spec = spec;
  }

  @Override
  public void run(QueueStream stream, Buffer x, Buffer ids, Buffer out, Buffer workspace) {
    HostStream host = (HostStream) stream;
    Task task = host.task(Task.class, workers -> new Task());
    task.pool(spec, x, ids, out);
    long segments = out.shape().dim(0);
    host.run(task, segments, (x.shape().dim(0) / segments + 1) * spec.dim() * spec.x().byteSize());
  }

  private static final class Task extends SegmentMaxTask {
    @Override
    protected void take(int worker, MemorySegment x, long source, MemorySegment out, long target) {
      boolean empty = isEmpty(out, target);
      for (long d = 0; d < dim; d++) {
        long at = d * dtype.byteSize();
        float value = Element.load(dtype, x, source + at);
        float best = empty ? Float.NEGATIVE_INFINITY : Element.load(dtype, out, target + at);
        // A zero of either sign becomes +0, a NaN the positive quiet one.
        float max = Math.max(best, value) + 0.0f;
        Element.store(dtype, out, target + at, Float.isNaN(max) ? Float.NaN : max);
      }
    }

    @Override
    protected void finish(int worker, MemorySegment out, long target) {
      if (isEmpty(out, target)) {
        Rows.zero(dtype, out, target, dim);
      }
    }
  }
}
