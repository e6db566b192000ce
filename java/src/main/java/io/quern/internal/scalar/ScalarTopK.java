package io.quern.internal.scalar;

import io.quern.Buffer;
import io.quern.internal.cpu.HostStream;
import io.quern.internal.device.QueueStream;
import io.quern.internal.kernel.TopKKernel;
import io.quern.op.TopK;

/** {@code indices[r, :]} = the first k columns of {@code x[r, :]}, element by element. */
final class ScalarTopK implements TopKKernel {
  private final TopK.Spec spec;

  ScalarTopK(TopK.Spec spec) {
    this.spec = spec;
  }

  @Override
  public void run(QueueStream stream, Buffer x, Buffer values, Buffer indices) {
    HostStream host = (HostStream) stream;
    Task task = host.task(Task.class, workers -> new Task());
    task.topK(spec, x, values, indices);
    host.run(task, x.shape().dim(0), spec.dim() * spec.x().byteSize());
  }

  private static final class Task extends ScalarRank {
    @Override
    float score(long row, long i) {
      return x(row, i);
    }
  }
}
