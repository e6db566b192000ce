package io.quern.internal.scalar;

import io.quern.Buffer;
import io.quern.DType;
import io.quern.internal.cpu.HostStream;
import io.quern.internal.cpu.ScatterTask;
import io.quern.internal.device.QueueStream;
import io.quern.internal.kernel.ScatterRowsKernel;
import io.quern.op.ScatterMode;
import io.quern.op.ScatterRows;

/** {@code out[ids[i], :] = x[i, :]}, or add, or max, element by element, in canonical order. */
final class ScalarScatterRows implements ScatterRowsKernel {
  /** Rows of a destination that are added in order before chunks are. */
  private static final int CHUNK = 64;

  private final ScatterRows.Spec spec;

  ScalarScatterRows(ScatterRows.Spec spec) {
    this.spec = spec;
  }

  @Override
  public void run(QueueStream stream, Buffer x, Buffer ids, Buffer out, Buffer workspace) {
    HostStream host = (HostStream) stream;
    Task task = host.task(Task.class, workers -> new Task());
    task.scatter(x, ids, out, spec);
    task.from = spec.x();
    task.to = spec.out();
    task.mode = spec.mode();
    host.run(task, x.shape().dim(0), spec.dim() * Float.BYTES);
  }

  private static final class Task extends ScatterTask {
    private DType from;
    private DType to;
    private ScatterMode mode;

    @Override
    protected ScatterMode mode() {
      return mode;
    }

    @Override
    protected void scatter(int worker, int first, long target) {
      if (mode == ScatterMode.SET) {
        Rows.copy(from, x, first * stride, to, out, target, dim);
        return;
      }
      for (long d = 0; d < dim; d++) {
        long at = target + d * to.byteSize();
        float old = Element.load(to, out, at);
        float value = mode == ScatterMode.ADD ? old + sum(first, d) : maximum(old, first, d);
        Element.store(to, out, at, value);
      }
    }

    private float sum(int first, long d) {
      float total = 0;
      for (int row = first; row >= 0; ) {
        float partial = 0;
        for (int k = 0; k < CHUNK && row >= 0; k++) {
          partial += value(row, d);
          row = next(row);
        }
        total += partial;
      }
      return total;
    }

    /** NaN if any value is; a zero of either sign becomes +0. */
    private float maximum(float old, int first, long d) {
      float best = old;
      for (int row = first; row >= 0; row = next(row)) {
        best = Math.max(best, value(row, d));
      }
      return best + 0.0f;
    }

    private float value(int row, long d) {
      return Element.load(from, x, row * stride + d * from.byteSize());
    }
  }
}
