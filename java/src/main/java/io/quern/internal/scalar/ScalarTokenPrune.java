package io.quern.internal.scalar;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;

import io.quern.internal.cpu.HostStream;
import io.quern.internal.cpu.PruneTask;
import io.quern.internal.device.QueueStream;
import io.quern.internal.kernel.TokenPruneKernel;
import io.quern.op.TokenPrune;

/** Means over heads, token by token. */
final class ScalarTokenPrune implements TokenPruneKernel {
  private final TokenPrune.Spec spec;

  ScalarTokenPrune(TokenPrune.Spec spec) {
    this.spec = spec;
  }

  @Override
  public long workspaceBytes(long batch) {
    return 0;
  }

  @Override
  public void run(QueueStream stream, TokenPrune.Operands operands) {
    HostStream host = (HostStream) stream;
    Task task = host.task(Task.class, workers -> new Task());
    task.take(spec, operands, host.kept(PruneTask.Scratch[].class, PruneTask.Scratch::ofEach));
    host.run(task, operands.order().shape().dim(0), spec.heads() * spec.tokens() * Float.BYTES);
  }

  private static final class Task extends PruneTask {
    @Override
    protected void add(long batch, float[] importance, float[] partial) {
      for (int n = 0; n < tokens; n++) {
        float sum = 0;
        for (int chunk = 0; chunk < heads; chunk += CHUNK) {
          float part = 0;
          for (int h = chunk; h < Math.min(heads, chunk + CHUNK); h++) {
            part +=
                attention.get(JAVA_FLOAT, (batch * heads + h) * stride + (long) n * Float.BYTES);
          }
          sum += part;
        }
        importance[n] = sum / heads;
      }
    }
  }
}
