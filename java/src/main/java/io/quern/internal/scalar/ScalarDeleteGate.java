package io.quern.internal.scalar;

import io.quern.DType;
import io.quern.internal.cpu.GateTask;
import io.quern.internal.cpu.HostStream;
import io.quern.internal.device.QueueStream;
import io.quern.internal.kernel.DeleteGateKernel;
import io.quern.op.DeleteGate;
import java.util.Arrays;

/** Products and squared norms, element by element. */
final class ScalarDeleteGate implements DeleteGateKernel {
  private final DeleteGate.Spec spec;

  ScalarDeleteGate(DeleteGate.Spec spec) {
    this.spec = spec;
  }

  @Override
  public void run(QueueStream stream, DeleteGate.Operands operands) {
    HostStream host = (HostStream) stream;
    Task task = host.task(Task.class, Task::new);
    task.take(spec, operands);
    host.run(task, operands.key().shape().size(), spec.dim() * spec.dtype().byteSize());
  }

  private static final class Task extends GateTask {
    private final Scratch[] scratches;

    Task(int workers) {
      scratches = new Scratch[workers];
      Arrays.setAll(scratches, i -> new Scratch());
    }

    @Override
    protected float product(int worker, long token) {
      Scratch scratch = scratches[worker];
      return scratch.reduction.dot(
          scratch.token.of(spec.dtype(), x, token),
          scratch.weights.of(DType.F32, weight, 0),
          spec.dim());
    }

    @Override
    protected float squaredNorm(int worker, long token) {
      Scratch scratch = scratches[worker];
      return scratch.reduction.squaredNorm(scratch.token.of(spec.dtype(), x, token), spec.dim());
    }
  }

  private static final class Scratch {
    private final RowReduction reduction = new RowReduction();
    private final RowReduction.Stored token = new RowReduction.Stored();
    private final RowReduction.Stored weights = new RowReduction.Stored();
  }
}
