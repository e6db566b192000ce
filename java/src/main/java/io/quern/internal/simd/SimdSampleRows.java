package io.quern.internal.simd;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;

import io.quern.internal.cpu.HostStream;
import io.quern.internal.cpu.Philox;
import io.quern.internal.cpu.RankTask;
import io.quern.internal.device.QueueStream;
import io.quern.internal.kernel.SampleRowsKernel;
import io.quern.internal.scalar.CanonicalMath;
import io.quern.op.SampleRows;
import java.lang.foreign.MemorySegment;
import java.util.Arrays;
import jdk.incubator.vector.FloatVector;

/** The first k columns by {@code fma(x, scale, −log(−log u))}, piece by piece of the row. */
final class SimdSampleRows implements SampleRowsKernel {
  private static final int LANES = Species.LANES;

  private final SampleRows.Spec spec;

  SimdSampleRows(SampleRows.Spec spec) {
    this.spec = spec;
  }

  @Override
  public void run(QueueStream stream, SampleRows.Operands operands) {
    HostStream host = (HostStream) stream;
    Task task = host.task(Task.class, Task::new);
    task.reductions = host.kept(RowReduction[].class, RowReduction::ofEach);
    task.ranks = host.kept(RowRank[].class, RowRank::ofEach);
    task.sample(spec, operands);
    host.run(task, operands.x().shape().dim(0), spec.dim() * spec.x().byteSize());
  }

  private static final class Task extends RankTask {
    private final float[][] uniforms;
    private RowReduction[] reductions;
    private RowRank[] ranks;

    Task(int workers) {
      uniforms = new float[workers][];
      Arrays.setAll(uniforms, i -> new float[RowReduction.PIECE]);
    }

    @Override
    protected void run(int worker, long from, long to) {
      RowReduction reduction = reductions[worker];
      RowRank rank = ranks[worker];
      float[] u = uniforms[worker];
      for (long row = from; row < to; row++) {
        rank.begin(k, dim);
        for (int start = 0; start < dim; start += RowReduction.PIECE) {
          int n = Math.min(RowReduction.PIECE, dim - start);
          reduction.load(type, x(), rowOffset(row) + (long) start * type.byteSize(), n);
          if (uniforms() != null) {
            long offset = uniformsOffset(row) + (long) start * Float.BYTES;
            MemorySegment.copy(uniforms(), JAVA_FLOAT, offset, u, 0, n);
          } else {
            Philox.fill(seed(row), position(row), purpose, start, u, n);
          }
          RowReduction.log(u, 0, n);
          addNoise(reduction.piece(), u, n, scale);
          rank.offer(reduction.piece(), 0, n, start);
        }
        rank.end();
        for (int i = 0; i < k; i++) {
          int index = rank.index(i);
          emit(row, i, index);
          if (wantsScores()) {
            float noise = -CanonicalMath.log(-CanonicalMath.log(uniform(row, index)));
            emitScore(row, i, Math.fma(x(row, index), scale, noise));
          }
        }
      }
    }

    /** {@code x = fma(x, scale, −log(−logU))}. */
    private static void addNoise(float[] x, float[] logU, int n, float scale) {
      int i = 0;
      for (; i <= n - LANES; i += LANES) {
        FloatVector noise = VectorMath.log(FloatVector.fromArray(Species.FLOAT, logU, i).neg());
        FloatVector.fromArray(Species.FLOAT, x, i)
            .fma(FloatVector.broadcast(Species.FLOAT, scale), noise.neg())
            .intoArray(x, i);
      }
      for (; i < n; i++) {
        x[i] = Math.fma(x[i], scale, -CanonicalMath.log(-logU[i]));
      }
    }
  }
}
