package io.quern.internal.scalar;

import io.quern.DType;
import io.quern.internal.cpu.HostStream;
import io.quern.internal.cpu.RejectionTask;
import io.quern.internal.cpu.RejectionWalk;
import io.quern.internal.device.QueueStream;
import io.quern.internal.kernel.RejectionVerifyKernel;
import io.quern.op.RejectionVerify;
import java.lang.foreign.MemorySegment;
import java.util.Arrays;

/** Rejection of drafts, what concerns whole rows element by element. */
final class ScalarRejectionVerify implements RejectionVerifyKernel {
  private final RejectionVerify.Spec spec;

  ScalarRejectionVerify(RejectionVerify.Spec spec) {
    this.spec = spec;
  }

  @Override
  public void run(QueueStream stream, RejectionVerify.Operands operands) {
    HostStream host = (HostStream) stream;
    RejectionTask task = host.task(RejectionTask.class, workers -> new RejectionTask());
    task.verify(host.kept(Walk[].class, Walk::ofEach), spec, operands);
    host.run(
        task, operands.outputs().status().shape().size(), 2 * spec.vocab() * (long) Float.BYTES);
  }

  private static final class Walk extends RejectionWalk {
    private final RowReduction reduction = new RowReduction();
    private final ArrayRow row = new ArrayRow();
    private final CappedRow cappedRow = new CappedRow();
    private final RowReduction.Stored stored = new RowReduction.Stored();

    private static Walk[] ofEach(int workers) {
      Walk[] walks = new Walk[workers];
      Arrays.setAll(walks, i -> new Walk());
      return walks;
    }

    @Override
    protected void probabilities(DType dtype, MemorySegment row, long offset, float[] into, int n) {
      for (int i = 0; i < n; i++) {
        float x = Element.load(dtype, row, offset + (long) i * dtype.byteSize());
        into[i] = x > 0 ? x : 0;
      }
    }

    @Override
    protected void weights(
        DType dtype,
        MemorySegment row,
        long offset,
        float max,
        float inverse,
        float[] into,
        int n) {
      for (int i = 0; i < n; i++) {
        float x = Element.load(dtype, row, offset + (long) i * dtype.byteSize());
        float exponent = (x - max) * inverse;
        into[i] = x == max ? 1 : Float.isNaN(exponent) ? 0 : CanonicalMath.exp(exponent);
      }
    }

    @Override
    protected void divide(float[] x, int n, float divisor) {
      for (int i = 0; i < n; i++) {
        x[i] /= divisor;
      }
    }

    @Override
    protected int argmax(DType dtype, MemorySegment row, long offset, int n) {
      return (int) RowReduction.argmax(stored.of(dtype, row, offset), n);
    }

    @Override
    protected float sum(float[] x, int n) {
      row.values = x;
      return reduction.sum(row, n);
    }

    @Override
    protected float capped(float[] p, float[] q, int n, float inverse) {
      cappedRow.p = p;
      cappedRow.q = q;
      cappedRow.inverse = inverse;
      return reduction.sum(cappedRow, n);
    }

    @Override
    protected void residual(float[] p, float[] q, float a, float c, int at, float[] into, int n) {
      for (int i = 0; i < n; i++) {
        float r = a * p[at + i];
        if (c != 0) {
          r = Math.fma(-c, q[at + i], r);
        }
        into[i] = r > 0 ? r : 0;
      }
    }

    @Override
    protected float sumOfPiece(float[] x, int n) {
      return sum(x, n);
    }
  }

  private static final class ArrayRow implements RowReduction.Row {
    private float[] values;

    @Override
    public float at(long i) {
      return values[(int) i];
    }
  }

  /** {@code min(q, p · inverse)}. */
  private static final class CappedRow implements RowReduction.Row {
    private float[] p;
    private float[] q;
    private float inverse;

    @Override
    public float at(long i) {
      float cap = p[(int) i] * inverse;
      return q[(int) i] < cap ? q[(int) i] : cap;
    }
  }
}
