package io.quern.internal.simd;

import io.quern.DType;
import io.quern.internal.cpu.HostStream;
import io.quern.internal.cpu.RejectionTask;
import io.quern.internal.cpu.RejectionWalk;
import io.quern.internal.device.QueueStream;
import io.quern.internal.kernel.RejectionVerifyKernel;
import io.quern.op.RejectionVerify;
import java.lang.foreign.MemorySegment;
import java.util.Arrays;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorOperators;

/** Rejection of drafts, what concerns whole rows in vectors, a piece at a time. */
final class SimdRejectionVerify implements RejectionVerifyKernel {
  private static final int LANES = Species.LANES;

  private final RejectionVerify.Spec spec;

  SimdRejectionVerify(RejectionVerify.Spec spec) {
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

    private static Walk[] ofEach(int workers) {
      Walk[] walks = new Walk[workers];
      Arrays.setAll(walks, i -> new Walk());
      return walks;
    }

    @Override
    protected void probabilities(DType dtype, MemorySegment row, long offset, float[] into, int n) {
      for (int at = 0; at < n; at += PIECE) {
        int count = Math.min(PIECE, n - at);
        reduction.load(dtype, row, offset + (long) at * dtype.byteSize(), count);
        positive(reduction.piece(), into, at, count);
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
      for (int at = 0; at < n; at += PIECE) {
        int count = Math.min(PIECE, n - at);
        reduction.load(dtype, row, offset + (long) at * dtype.byteSize(), count);
        VectorMath.weights(reduction.piece(), max, inverse, into, at, count);
      }
    }

    @Override
    protected void divide(float[] x, int n, float divisor) {
      int i = 0;
      for (; i <= n - LANES; i += LANES) {
        FloatVector.fromArray(Species.FLOAT, x, i).div(divisor).intoArray(x, i);
      }
      for (; i < n; i++) {
        x[i] /= divisor;
      }
    }

    /** Piece by piece the maximum, and where it is higher than before, its first place. */
    @Override
    protected int argmax(DType dtype, MemorySegment row, long offset, int n) {
      int best = 0;
      float max = Float.NaN;
      for (int at = 0; at < n; at += PIECE) {
        int count = Math.min(PIECE, n - at);
        reduction.load(dtype, row, offset + (long) at * dtype.byteSize(), count);
        float[] piece = reduction.piece();
        float top = RowReduction.max(piece, 0, count);
        if (Float.isNaN(top)) {
          top = numberMax(piece, count);
        }
        if (top > max || (Float.isNaN(max) && !Float.isNaN(top))) {
          max = top;
          int i = 0;
          while (piece[i] != top) {
            i++;
          }
          best = at + i;
        }
      }
      return best;
    }

    @Override
    protected float sum(float[] x, int n) {
      return reduction.sum(x, 0, n);
    }

    @Override
    protected float capped(float[] p, float[] q, int n, float inverse) {
      float total = 0;
      float[] piece = reduction.piece();
      for (int at = 0; at < n; at += PIECE) {
        int count = Math.min(PIECE, n - at);
        cap(p, q, inverse, at, piece, count);
        total += reduction.sum(piece, 0, count);
      }
      return total;
    }

    @Override
    protected void residual(float[] p, float[] q, float a, float c, int at, float[] into, int n) {
      if (c != 0) {
        difference(p, q, a, c, at, into, n);
      } else {
        scale(p, a, at, into, n);
      }
    }

    @Override
    protected float sumOfPiece(float[] x, int n) {
      return reduction.sum(x, 0, n);
    }
  }

  private static void positive(float[] x, float[] into, int at, int n) {
    int i = 0;
    for (; i <= n - LANES; i += LANES) {
      FloatVector v = FloatVector.fromArray(Species.FLOAT, x, i);
      FloatVector.zero(Species.FLOAT)
          .blend(v, v.compare(VectorOperators.GT, 0f))
          .intoArray(into, at + i);
    }
    for (; i < n; i++) {
      into[at + i] = x[i] > 0 ? x[i] : 0;
    }
  }

  /** The greatest number, NaN if there is none. */
  private static float numberMax(float[] x, int n) {
    float max = Float.NaN;
    for (int i = 0; i < n; i++) {
      if (x[i] > max || (Float.isNaN(max) && !Float.isNaN(x[i]))) {
        max = x[i];
      }
    }
    return max;
  }

  private static void cap(float[] p, float[] q, float inverse, int at, float[] into, int n) {
    int i = 0;
    for (; i <= n - LANES; i += LANES) {
      FloatVector most = FloatVector.fromArray(Species.FLOAT, p, at + i).mul(inverse);
      FloatVector v = FloatVector.fromArray(Species.FLOAT, q, at + i);
      most.blend(v, v.compare(VectorOperators.LT, most)).intoArray(into, i);
    }
    for (; i < n; i++) {
      float most = p[at + i] * inverse;
      into[i] = q[at + i] < most ? q[at + i] : most;
    }
  }

  private static void difference(
      float[] p, float[] q, float a, float c, int at, float[] into, int n) {
    int i = 0;
    for (; i <= n - LANES; i += LANES) {
      FloatVector r =
          FloatVector.fromArray(Species.FLOAT, q, at + i)
              .fma(
                  FloatVector.broadcast(Species.FLOAT, -c),
                  FloatVector.fromArray(Species.FLOAT, p, at + i).mul(a));
      FloatVector.zero(Species.FLOAT)
          .blend(r, r.compare(VectorOperators.GT, 0f))
          .intoArray(into, i);
    }
    for (; i < n; i++) {
      float r = Math.fma(-c, q[at + i], a * p[at + i]);
      into[i] = r > 0 ? r : 0;
    }
  }

  private static void scale(float[] p, float a, int at, float[] into, int n) {
    int i = 0;
    for (; i <= n - LANES; i += LANES) {
      FloatVector r = FloatVector.fromArray(Species.FLOAT, p, at + i).mul(a);
      FloatVector.zero(Species.FLOAT)
          .blend(r, r.compare(VectorOperators.GT, 0f))
          .intoArray(into, i);
    }
    for (; i < n; i++) {
      float r = a * p[at + i];
      into[i] = r > 0 ? r : 0;
    }
  }
}
