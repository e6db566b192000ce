package io.quern.internal.scalar;

import io.quern.internal.cpu.HostStream;
import io.quern.internal.cpu.PonetTask;
import io.quern.internal.device.QueueStream;
import io.quern.internal.kernel.PonetPoolingKernel;
import io.quern.op.PonetPooling;

/** {@code out_t = (v + s_t) ∘ o_t + l_t}, head by head, in canonical order (rules 4, 5, 6, 8). */
final class ScalarPonetPooling implements PonetPoolingKernel {
  private final PonetPooling.Spec spec;

  ScalarPonetPooling(PonetPooling.Spec spec) {
    this.spec = spec;
  }

  @Override
  public long workspaceBytes(long sequences, long tokens) {
    return PonetTask.chainBytes(tokens);
  }

  @Override
  public void run(QueueStream stream, PonetPooling.Operands operands) {
    HostStream host = (HostStream) stream;
    long sequences = operands.offsets().shape().dim(0) - 1;
    long tokens = operands.out().shape().dim(0);
    long length = tokens / Math.max(1, sequences);
    Chains chains = host.task(Chains.class, workers -> new Chains());
    chains.pool(spec, operands);
    host.run(chains, sequences, length * Integer.BYTES);
    PonetHeads heads = host.task(PonetHeads.class, PonetHeads::new);
    heads.pool(spec, operands);
    host.run(heads, sequences * spec.heads(), 6 * length * spec.headDim() * spec.x().byteSize());
  }

  /** Works on sequences. */
  static final class Chains extends PonetTask {
    @Override
    protected void run(int worker, long from, long to) {
      if (!refuses()) {
        for (long s = from; s < to; s++) {
          chain(offset(s), offset(s + 1) - offset(s));
        }
      }
    }
  }
}
