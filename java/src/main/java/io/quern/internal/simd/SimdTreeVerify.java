package io.quern.internal.simd;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static java.lang.foreign.ValueLayout.JAVA_SHORT;

import io.quern.internal.cpu.HostStream;
import io.quern.internal.cpu.TargetRow;
import io.quern.internal.cpu.TreeVerifyTask;
import io.quern.internal.device.QueueStream;
import io.quern.internal.kernel.TreeVerifyKernel;
import io.quern.op.TreeVerify;
import java.util.Arrays;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorOperators;

/** Walks whose rows are read piece by piece, on vectors. */
final class SimdTreeVerify implements TreeVerifyKernel {
  private final TreeVerify.Spec spec;

  SimdTreeVerify(TreeVerify.Spec spec) {
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
    private final float[] logarithms = new float[PIECE];

    private static Row[] ofEach(int workers) {
      Row[] rows = new Row[workers];
      Arrays.setAll(rows, i -> new Row());
      return rows;
    }

    @Override
    protected int argmax() {
      return (int) reduction.argmax(dtype, target, offset, vocab);
    }

    @Override
    protected float value(int index) {
      long at = offset + (long) index * dtype.byteSize();
      return switch (dtype) {
        case F32 -> target.get(JAVA_FLOAT, at);
        case F16 -> Float.float16ToFloat(target.get(JAVA_SHORT, at));
        case BF16 -> Float.intBitsToFloat(target.get(JAVA_SHORT, at) << 16);
        default -> throw new AssertionError(dtype);
      };
    }

    @Override
    protected void weigh(int start, int count) {
      reduction.load(dtype, target, offset + (long) start * dtype.byteSize(), count);
      if (isLogits) {
        VectorMath.weights(reduction.piece(), max, scale, weights, 0, count);
      } else {
        positives(reduction.piece(), weights, count);
      }
    }

    @Override
    protected float sumOfWeights(int count) {
      return reduction.sum(weights, 0, count);
    }

    @Override
    protected float negativeEntropy(int count) {
      shiftedProbabilities(weights, logarithms, count, sum);
      RowReduction.log(logarithms, 0, count);
      return reduction.dot(weights, 0, logarithms, 0, count);
    }
  }

  /** What is positive, else 0. */
  private static void positives(float[] x, float[] out, int n) {
    int i = 0;
    for (; i <= n - Species.LANES; i += Species.LANES) {
      FloatVector value = FloatVector.fromArray(Species.FLOAT, x, i);
      FloatVector.zero(Species.FLOAT)
          .blend(value, value.compare(VectorOperators.GT, 0))
          .intoArray(out, i);
    }
    for (; i < n; i++) {
      out[i] = x[i] > 0 ? x[i] : 0;
    }
  }

  /** Divides weights by their sum, in place, and puts what the entropy takes the log of in out. */
  private static void shiftedProbabilities(float[] weights, float[] out, int n, float sum) {
    int i = 0;
    for (; i <= n - Species.LANES; i += Species.LANES) {
      FloatVector p = FloatVector.fromArray(Species.FLOAT, weights, i).div(sum);
      p.intoArray(weights, i);
      p.add(TargetRow.ENTROPY_SHIFT).intoArray(out, i);
    }
    for (; i < n; i++) {
      weights[i] /= sum;
      out[i] = weights[i] + TargetRow.ENTROPY_SHIFT;
    }
  }
}
