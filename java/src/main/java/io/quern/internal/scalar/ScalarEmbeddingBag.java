package io.quern.internal.scalar;

import io.quern.DType;
import io.quern.internal.cpu.BagTask;
import io.quern.internal.cpu.HostStream;
import io.quern.internal.device.QueueStream;
import io.quern.internal.kernel.EmbeddingBagKernel;
import io.quern.internal.kernel.Operator;
import io.quern.op.Combine;
import io.quern.op.EmbeddingBag;
import java.lang.foreign.MemorySegment;

/**
 * {@code out[s, :] = combine(table[ids[j], :])}, element by element, in canonical order (rule 5).
 */
final class ScalarEmbeddingBag implements EmbeddingBagKernel {
  /** Consecutive positions of a bag whose rows are added in order before chunks are. */
  private static final long CHUNK = 64;

  private final Operator operator;
  private final EmbeddingBag.Spec spec;

  ScalarEmbeddingBag(Operator operator, EmbeddingBag.Spec spec) {
    this.operator = operator;
    this.spec = spec;
  }

  @Override
  public void run(QueueStream stream, EmbeddingBag.Operands operands) {
    HostStream host = (HostStream) stream;
    Task task = host.task(Task.class, workers -> new Task());
    task.bag(operator, spec, operands);
    task.from = spec.table();
    task.to = spec.out();
    long bags = operands.out().shape().dim(0);
    long idsPerBag = task.positions() / Math.max(1, bags);
    host.run(task, bags, (idsPerBag + 1) * spec.dim() * spec.table().byteSize());
  }

  private static final class Task extends BagTask {
    private DType from;
    private DType to;

    @Override
    protected int combine(
        int worker, long table, long start, long end, MemorySegment out, long target) {
      long counted = 0;
      long first = -1;
      long last = -1;
      boolean failed = table == FAILED;
      for (long j = start; j < end; j++) {
        long row = rowAt(table, j);
        failed |= row == FAILED;
        if (row >= 0 || row == ZERO_ROW) {
          counted++;
          first = first < 0 ? j : first;
          last = j;
        }
      }
      if (failed) {
        return FAILED_BAG;
      }
      if (counted == 0) {
        return EMPTY_BAG;
      }
      if (combine == Combine.FIRST || combine == Combine.LAST) {
        long row = rowAt(table, combine == Combine.FIRST ? first : last);
        if (row >= 0) {
          copy(worker, table(table), row, out, target);
        } else {
          zero(out, target);
        }
        return WRITTEN;
      }
      for (long d = 0; d < dim; d++) {
        float value =
            combine == Combine.MAX || combine == Combine.MIN
                ? extremum(table, start, end, d)
                : sum(table, start, end, d);
        if (combine == Combine.MEAN) {
          value /= counted;
        } else if (combine == Combine.WEIGHTED_MEAN) {
          value /= sumOfWeights(table, start, end);
        }
        Element.store(to, out, target + d * to.byteSize(), value);
      }
      return WRITTEN;
    }

    private float sum(long table, long start, long end, long d) {
      float total = 0;
      for (long chunk = start; chunk < end; chunk += CHUNK) {
        float partial = 0;
        for (long j = chunk; j < Math.min(end, chunk + CHUNK); j++) {
          long row = rowAt(table, j);
          if (row >= 0 || row == ZERO_ROW) {
            float value = value(table, row, d);
            partial = isWeighted() ? Math.fma(weight(j), value, partial) : partial + value;
          }
        }
        total += partial;
      }
      return total;
    }

    private float sumOfWeights(long table, long start, long end) {
      float total = 0;
      for (long chunk = start; chunk < end; chunk += CHUNK) {
        float partial = 0;
        for (long j = chunk; j < Math.min(end, chunk + CHUNK); j++) {
          long row = rowAt(table, j);
          if (row >= 0 || row == ZERO_ROW) {
            partial += weight(j);
          }
        }
        total += partial;
      }
      return total;
    }

    /** NaN if any value is; a zero of either sign becomes +0. */
    private float extremum(long table, long start, long end, long d) {
      boolean max = combine == Combine.MAX;
      float best = max ? Float.NEGATIVE_INFINITY : Float.POSITIVE_INFINITY;
      for (long j = start; j < end; j++) {
        long row = rowAt(table, j);
        if (row >= 0 || row == ZERO_ROW) {
          float value = value(table, row, d);
          best = max ? Math.max(best, value) : Math.min(best, value);
        }
      }
      return best + 0.0f;
    }

    private float value(long table, long row, long d) {
      return row == ZERO_ROW ? 0 : Element.load(from, table(table), row + d * from.byteSize());
    }

    @Override
    protected void copy(
        int worker, MemorySegment source, long offset, MemorySegment out, long target) {
      Rows.copy(from, source, offset, to, out, target, dim);
    }

    @Override
    protected void zero(MemorySegment out, long target) {
      Rows.zero(to, out, target, dim);
    }
  }
}
