package io.quern.internal.scalar;

import io.quern.Buffer;
import io.quern.DType;
import io.quern.internal.cpu.GatherTask;
import io.quern.internal.cpu.HostStream;
import io.quern.internal.device.QueueStream;
import io.quern.internal.kernel.EmbeddingGatherKernel;
import io.quern.internal.kernel.Operator;
import io.quern.op.EmbeddingGather;

/** {@code out[i, :] = table[ids[i], :]}, element by element. */
final class ScalarEmbeddingGather implements EmbeddingGatherKernel {
  private final Operator operator;
  private final EmbeddingGather.Spec spec;

  ScalarEmbeddingGather(Operator operator, EmbeddingGather.Spec spec) {
    this.operator = operator;
    this.spec = spec;
  }

  @Override
  public void run(
      QueueStream stream,
      Buffer[] tables,
      int tableCount,
      Buffer ids,
      Buffer tableIds,
      Buffer out) {
    HostStream host = (HostStream) stream;
    Task task = host.task(Task.class, workers -> new Task());
    task.gather(operator, tables, tableCount, ids, tableIds, out, spec.policy());
    task.from = spec.table();
    task.to = spec.out();
    host.run(task, ids.shape().size(), spec.dim() * Float.BYTES);
  }

  private static final class Task extends GatherTask {
    private DType from;
    private DType to;

    @Override
    protected void run(int worker, long first, long end) {
      for (long i = first; i < end; i++) {
        long id = id(i);
        long table = tableOf(i, id);
        long row = table < 0 ? table : row(table, i, id);
        if (row >= 0) {
          Rows.copy(from, table(table), row, to, out, i * outStride, dim);
        } else if (row != SKIPPED) {
          Rows.zero(to, out, i * outStride, dim);
        }
      }
    }
  }
}
