package io.quern.internal.simd;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;

import io.quern.internal.cpu.HostStream;
import io.quern.internal.cpu.PruneTask;
import io.quern.internal.device.QueueStream;
import io.quern.internal.kernel.TokenPruneKernel;
import io.quern.op.TokenPrune;
import java.lang.foreign.MemorySegment;
import java.nio.ByteOrder;
import java.util.Arrays;
import jdk.incubator.vector.FloatVector;

/** Means over heads, a head at a time over all tokens. */
final class SimdTokenPrune implements TokenPruneKernel {
  private final TokenPrune.Spec spec;

  SimdTokenPrune(TokenPrune.Spec spec) {
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
      Arrays.fill(importance, 0, tokens, 0);
      for (int chunk = 0; chunk < heads; chunk += CHUNK) {
        Arrays.fill(partial, 0, tokens, 0);
        for (int h = chunk; h < Math.min(heads, chunk + CHUNK); h++) {
          addHead(attention, (batch * heads + h) * stride, partial, tokens);
        }
        TileReduce.add(importance, partial, tokens);
      }
      TileReduce.divide(importance, heads, tokens);
    }

    private static void addHead(MemorySegment attention, long row, float[] sum, int tokens) {
      int n = 0;
      for (; n <= tokens - Species.LANES; n += Species.LANES) {
        FloatVector.fromArray(Species.FLOAT, sum, n)
            .add(
                FloatVector.fromMemorySegment(
                    Species.FLOAT,
                    attention,
                    row + (long) n * Float.BYTES,
                    ByteOrder.nativeOrder()))
            .intoArray(sum, n);
      }
      for (; n < tokens; n++) {
        sum[n] += attention.get(JAVA_FLOAT, row + (long) n * Float.BYTES);
      }
    }
  }
}
