package io.quern.internal.simd;

import io.quern.DType;
import io.quern.internal.cpu.GateTask;
import io.quern.internal.cpu.HostStream;
import io.quern.internal.device.QueueStream;
import io.quern.internal.kernel.DeleteGateKernel;
import io.quern.op.DeleteGate;

/** Products and squared norms by vectors. */
final class SimdDeleteGate implements DeleteGateKernel {
  private final DeleteGate.Spec spec;

  SimdDeleteGate(DeleteGate.Spec spec) {
    this.spec = spec;
  }

  @Override
  public void run(QueueStream stream, DeleteGate.Operands operands) {
    HostStream host = (HostStream) stream;
    Task task = host.task(Task.class, workers -> new Task());
    task.take(spec, operands);
    task.reductions = host.kept(RowReduction[].class, RowReduction::ofEach);
    host.run(task, operands.key().shape().size(), spec.dim() * spec.dtype().byteSize());
  }

  private static final class Task extends GateTask {
    private RowReduction[] reductions;

    @Override
    protected float product(int worker, long token) {
      return reductions[worker].dot(spec.dtype(), x, token, DType.F32, weight, 0, spec.dim());
    }

    @Override
    protected float squaredNorm(int worker, long token) {
      RowReduction reduction = reductions[worker];
      // A token of one piece is still where the product has loaded it.
      return spec.dim() <= RowReduction.PIECE
          ? reduction.squaredNorm(reduction.piece(), 0, (int) spec.dim())
          : reduction.squaredNorm(spec.dtype(), x, token, spec.dim());
    }
  }
}
