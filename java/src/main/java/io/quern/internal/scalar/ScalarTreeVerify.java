package io.quern.internal.scalar;

import io.quern.internal.cpu.HostStream;
import io.quern.internal.cpu.TargetRow;
import io.quern.internal.cpu.TreeVerifyTask;
import io.quern.internal.device.QueueStream;
import io.quern.internal.kernel.TreeVerifyKernel;
import io.quern.op.TreeVerify;
import java.util.Arrays;

/** Walks whose rows are read element by element. */
final class ScalarTreeVerify implements TreeVerifyKernel {
  private final TreeVerify.Spec spec;

  ScalarTreeVerify(TreeVerify.Spec spec) {
    this.spec = spec;
  }

  @Override
  public void run(QueueStream stream, TreeVerify.Operands operands) {
    HostStream host = (HostStream) stream;
    TreeVerifyTask task = host.task(TreeVerifyTask.class, workers -> new TreeVerifyTask());
    task.verify(spec, operands, host.kept(Row[].class, Row::ofEach));
    host.run(task, operands.status().shape().size(), spec.vocab() * spec.dtype().byteSize());
  }

  private static final class Row extends TargetRow {
    private final RowReduction reduction = new RowReduction();
    private final RowReduction.Row values = i -> value((int) i);
    private final RowReduction.Row piece = i -> weights[(int) i];
    private final RowReduction.Row probabilities = i -> weights[(int) i] / sum;
    private final RowReduction.Row logarithms =
        i -> CanonicalMath.log(weights[(int) i] / sum + ENTROPY_SHIFT);

    private static Row[] ofEach(int workers) {
      Row[] rows = new Row[workers];
      Arrays.setAll(rows, i -> new Row());
      return rows;
    }

    @Override
    protected int argmax() {
      return (int) RowReduction.argmax(values, vocab);
    }

    @Override
    protected float value(int index) {
      return Element.load(dtype, target, offset + (long) index * dtype.byteSize());
    }

    @Override
    protected void weigh(int start, int count) {
      for (int i = 0; i < count; i++) {
        weights[i] = weight(value(start + i));
      }
    }

    @Override
    protected float sumOfWeights(int count) {
      return reduction.sum(piece, count);
    }

    @Override
    protected float negativeEntropy(int count) {
      return reduction.dot(probabilities, logarithms, count);
    }
  }
}
