package io.quern.internal.scalar;

import io.quern.DType;
import io.quern.internal.cpu.HostStream;
import io.quern.internal.cpu.MergeTask;
import io.quern.internal.device.QueueStream;
import io.quern.internal.kernel.TokenMergeKernel;
import io.quern.op.Combine;
import io.quern.op.TokenMerge;

/**
 * {@code out[m, :] = combine(x[n, :] with slot[n] = m)}, element by element, in canonical order
 * (rule 5).
 */
final class ScalarTokenMerge implements TokenMergeKernel {
  private final TokenMerge.Spec spec;

  ScalarTokenMerge(TokenMerge.Spec spec) {
    this.spec = spec;
  }

  @Override
  public void run(QueueStream stream, TokenMerge.Operands operands) {
    HostStream host = (HostStream) stream;
    Task task = host.task(Task.class, workers -> new Task());
    task.take(spec, operands, host.kept(MergeTask.Lists[].class, MergeTask.Lists::ofEach));
    task.dtype = spec.dtype();
    task.dim = spec.dim();
    task.combine = spec.combine();
    long batch = operands.slot().shape().dim(0);
    host.run(task, batch * spec.merged(), spec.dim() * spec.dtype().byteSize());
  }

  private static final class Task extends MergeTask {
    private DType dtype;
    private long dim;
    private Combine combine;

    @Override
    protected void combine(
        int worker, int[] list, int start, int count, long first, float total, long target) {
      if (count == 0) {
        Rows.zero(dtype, out, target, dim);
        return;
      }
      if (count == 1) {
        Rows.copy(dtype, x, (first + list[start]) * stride, dtype, out, target, dim);
        return;
      }
      for (long d = 0; d < dim; d++) {
        float value =
            combine == Combine.MAX
                ? maximum(list, start, count, first, d)
                : sum(list, start, count, first, d);
        if (combine == Combine.MEAN) {
          value /= count;
        } else if (combine == Combine.WEIGHTED_MEAN) {
          value /= total;
        }
        Element.store(dtype, out, target + d * dtype.byteSize(), value);
      }
    }

    private float sum(int[] list, int start, int count, long first, long d) {
      float sum = 0;
      for (int chunk = 0; chunk < count; chunk += CHUNK) {
        float partial = 0;
        for (int i = chunk; i < Math.min(count, chunk + CHUNK); i++) {
          long token = first + list[start + i];
          float value = value(token, d);
          partial =
              combine == Combine.WEIGHTED_MEAN
                  ? Math.fma(size(token), value, partial)
                  : partial + value;
        }
        sum += partial;
      }
      return sum;
    }

    /** NaN if any value is; a zero of either sign becomes +0. */
    private float maximum(int[] list, int start, int count, long first, long d) {
      float best = Float.NEGATIVE_INFINITY;
      for (int i = 0; i < count; i++) {
        best = Math.max(best, value(first + list[start + i], d));
      }
      return best + 0.0f;
    }

    private float value(long token, long d) {
      return Element.load(dtype, x, token * stride + d * dtype.byteSize());
    }
  }
}
