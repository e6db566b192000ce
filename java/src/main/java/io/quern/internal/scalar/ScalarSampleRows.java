package io.quern.internal.scalar;

import io.quern.internal.cpu.HostStream;
import io.quern.internal.device.QueueStream;
import io.quern.internal.kernel.SampleRowsKernel;
import io.quern.op.SampleRows;

/** The first k columns by {@code fma(x, scale, −log(−log u))}, element by element. */
final class ScalarSampleRows implements SampleRowsKernel {
  private final SampleRows.Spec spec;

  ScalarSampleRows(SampleRows.Spec spec) {
    this.spec = spec;
  }

  @Override
  public void run(QueueStream stream, SampleRows.Operands operands) {
    HostStream host = (HostStream) stream;
    Task task = host.task(Task.class, workers -> new Task());
    task.sample(spec, operands);
    host.run(task, operands.x().shape().dim(0), spec.dim() * spec.x().byteSize());
  }

  private static final class Task extends ScalarRank {
    @Override
    float score(long row, long i) {
      float noise = -CanonicalMath.log(-CanonicalMath.log(uniform(row, i)));
      return Math.fma(x(row, i), scale, noise);
    }
  }
}
