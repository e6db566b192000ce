package io.quern.internal.simd;

import io.quern.internal.cpu.HostStream;
import io.quern.internal.cpu.PonetTask;
import io.quern.internal.device.QueueStream;
import io.quern.internal.kernel.PonetPoolingKernel;
import io.quern.internal.simd.PonetPasses.Pass;
import io.quern.op.PonetPooling;

/** {@code out_t = (v + s_t) ∘ o_t + l_t} in three passes over memory. */
final class SimdPonetPooling implements PonetPoolingKernel {
  private final PonetPooling.Spec spec;

  SimdPonetPooling(PonetPooling.Spec spec) {
    this.spec = spec;
  }

  @Override
  public long workspaceBytes(long sequences, long tokens) {
    return PonetTask.chainBytes(tokens) + PonetSoftmax.shareBytes(spec, sequences, tokens);
  }

  @Override
  public void run(QueueStream stream, PonetPooling.Operands operands) {
    HostStream host = (HostStream) stream;
    long sequences = operands.offsets().shape().dim(0) - 1;
    long tokens = operands.out().shape().dim(0);
    long rowBytes = (long) spec.columns() * spec.x().byteSize();
    long places = PonetSoftmax.places(sequences, tokens);
    run(host, operands, Pass.QUERIES, places, PonetTask.CHUNK * rowBytes);
    run(host, operands, Pass.MEAN, sequences, places / Math.max(1, sequences) * rowBytes);
    run(host, operands, Pass.KEYS, places, PonetTask.CHUNK * rowBytes);
    run(host, operands, Pass.VALUE, sequences, places / Math.max(1, sequences) * rowBytes);
    run(host, operands, Pass.FUSION, tokens, 4 * rowBytes);
  }

  private void run(
      HostStream host, PonetPooling.Operands operands, Pass pass, long rows, long bytesPerRow) {
    PonetPasses task = host.task(PonetPasses.class, workers -> new PonetPasses());
    task.pool(spec, operands);
    task.lay(pass, host, PonetTask.chainBytes(operands.out().shape().dim(0)));
    host.run(task, rows, bytesPerRow);
  }
}
