package io.quern.internal.simd;

import io.quern.DType;
import io.quern.internal.cpu.HostStream;
import io.quern.internal.cpu.NativeRows;
import io.quern.internal.cpu.UnmergeTask;
import io.quern.internal.device.QueueStream;
import io.quern.internal.kernel.TokenUnmergeKernel;
import io.quern.op.TokenUnmerge;
import java.lang.foreign.MemorySegment;

/** {@code out[n, :] = y[slot[n], :]}. */
final class SimdTokenUnmerge implements TokenUnmergeKernel {
  private final TokenUnmerge.Spec spec;

  SimdTokenUnmerge(TokenUnmerge.Spec spec) {
    this.spec = spec;
  }

  @Override
  public void run(QueueStream stream, TokenUnmerge.Operands operands) {
    HostStream host = (HostStream) stream;
    Task task = host.task(Task.class, workers -> new Task());
    task.take(spec, operands);
    task.dtype = spec.dtype();
    task.dim = (int) spec.dim();
    long tokens = operands.slot().shape().size();
    host.run(task, tokens, spec.dim() * spec.dtype().byteSize());
  }

  private static final class Task extends UnmergeTask {
    private DType dtype;
    private int dim;

    @Override
    protected void copy(MemorySegment y, long source, MemorySegment out, long target) {
      NativeRows.copy(y, source, out, target, (long) dim * dtype.byteSize());
    }

    @Override
    protected void zero(MemorySegment out, long target) {
      Tile.storeZeros(out, target, (long) dim * dtype.byteSize());
    }
  }
}
