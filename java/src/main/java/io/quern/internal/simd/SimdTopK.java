package io.quern.internal.simd;

import io.quern.Buffer;
import io.quern.internal.cpu.HostStream;
import io.quern.internal.cpu.RankTask;
import io.quern.internal.device.QueueStream;
import io.quern.internal.kernel.TopKKernel;
import io.quern.op.TopK;

/** {@code indices[r, :]} = the first k columns of {@code x[r, :]}, piece by piece of the row. */
final class SimdTopK implements TopKKernel {
  private final TopK.Spec spec;

  SimdTopK(TopK.Spec spec) {
    this.spec = spec;
  }

  @Override
  public void run(QueueStream stream, Buffer x, Buffer values, Buffer indices) {
    HostStream host = (HostStream) stream;
    Task task = host.task(Task.class, workers -> new Task());
    task.reductions = host.kept(RowReduction[].class, RowReduction::ofEach);
    task.ranks = host.kept(RowRank[].class, RowRank::ofEach);
    task.topK(spec, x, values, indices);
    host.run(task, x.shape().dim(0), spec.dim() * spec.x().byteSize());
  }

  private static final class Task extends RankTask {
    private RowReduction[] reductions;
    private RowRank[] ranks;

    @Override
    protected void run(int worker, long from, long to) {
      RowReduction reduction = reductions[worker];
      RowRank rank = ranks[worker];
      for (long row = from; row < to; row++) {
        rank.begin(k, dim);
        for (int start = 0; start < dim; start += RowReduction.PIECE) {
          int n = Math.min(RowReduction.PIECE, dim - start);
          reduction.load(type, x(), rowOffset(row) + (long) start * type.byteSize(), n);
          rank.offer(reduction.piece(), 0, n, start);
        }
        rank.end();
        for (int i = 0; i < k; i++) {
          emit(row, i, rank.index(i));
        }
      }
    }
  }
}
