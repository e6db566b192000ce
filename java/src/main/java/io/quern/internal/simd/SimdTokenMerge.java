package io.quern.internal.simd;

import io.quern.DType;
import io.quern.internal.cpu.HostStream;
import io.quern.internal.cpu.MergeTask;
import io.quern.internal.cpu.NativeRows;
import io.quern.internal.device.QueueStream;
import io.quern.internal.kernel.TokenMergeKernel;
import io.quern.op.Combine;
import io.quern.op.TokenMerge;
import java.util.Arrays;

/**
 * {@code out[m, :] = combine(x[n, :] with slot[n] = m)}: one pass over memory, which reads each
 * token and writes each row once. Most rows are copies; of the others, sums of F32 come straight
 * from memory.
 */
final class SimdTokenMerge implements TokenMergeKernel {
  private final TokenMerge.Spec spec;

  SimdTokenMerge(TokenMerge.Spec spec) {
    this.spec = spec;
  }

  @Override
  public void run(QueueStream stream, TokenMerge.Operands operands) {
    HostStream host = (HostStream) stream;
    Task task = host.task(Task.class, workers -> new Task());
    task.scratches = host.kept(Scratch[].class, Scratch::ofEach);
    task.take(spec, operands, host.kept(MergeTask.Lists[].class, MergeTask.Lists::ofEach));
    task.dtype = spec.dtype();
    task.dim = (int) spec.dim();
    task.combine = spec.combine();
    long batch = operands.slot().shape().dim(0);
    host.run(task, batch * spec.merged(), spec.dim() * spec.dtype().byteSize());
  }

  /** What one worker computes in: a piece of at most {@link Tile#CAPACITY} columns at a time. */
  private static final class Scratch {
    private final Tile tile = new Tile();
    private final long[] rows = new long[MergeTask.CHUNK];
    private final float[] weights = new float[MergeTask.CHUNK];
    private final float[] chunk = new float[Tile.CAPACITY];
    private final float[] total = new float[Tile.CAPACITY];

    private static Scratch[] ofEach(int workers) {
      Scratch[] scratches = new Scratch[workers];
      Arrays.setAll(scratches, i -> new Scratch());
      return scratches;
    }
  }

  private static final class Task extends MergeTask {
    private Scratch[] scratches;
    private DType dtype;
    private int dim;
    private Combine combine;

    @Override
    protected void combine(
        int worker, int[] list, int start, int count, long first, float total, long target) {
      if (count == 0) {
        Tile.storeZeros(out, target, (long) dim * dtype.byteSize());
        return;
      }
      if (dim == 0) {
        return; // rows without elements have no place in memory
      }
      if (count == 1) {
        long source = (first + list[start]) * stride;
        NativeRows.copy(x, source, out, target, (long) dim * dtype.byteSize());
        return;
      }
      Scratch scratch = scratches[worker];
      for (int from = 0; from < dim; from += Tile.CAPACITY) {
        int columns = Math.min(Tile.CAPACITY, dim - from);
        boolean first64 = true;
        for (int chunk = 0; chunk < count; chunk += CHUNK) {
          int n = Math.min(CHUNK, count - chunk);
          for (int i = 0; i < n; i++) {
            long token = first + list[start + chunk + i];
            scratch.rows[i] = token * stride + (long) from * dtype.byteSize();
            scratch.weights[i] = combine == Combine.WEIGHTED_MEAN ? size(token) : 1;
          }
          if (combine == Combine.MAX) {
            maximum(scratch, n, columns, first64);
          } else {
            sum(scratch, n, columns, first64);
          }
          first64 = false;
        }
        if (combine == Combine.MAX) {
          TileReduce.add(scratch.total, 0, columns); // a zero becomes +0
        } else if (combine != Combine.SUM) {
          TileReduce.divide(scratch.total, combine == Combine.MEAN ? count : total, columns);
        }
        scratch.tile.round(dtype, scratch.total, columns);
        scratch.tile.store(
            dtype, scratch.total, 0, out, target + (long) from * dtype.byteSize(), columns);
      }
    }

    private void sum(Scratch scratch, int n, int columns, boolean first) {
      float[] sum = scratch.chunk;
      if (dtype == DType.F32) {
        RowSum.of(x, scratch.rows, scratch.weights, n, sum, columns);
      } else {
        Arrays.fill(sum, 0, columns, 0);
        for (int i = 0; i < n; i++) {
          scratch.tile.load(dtype, x, scratch.rows[i], 0, columns);
          scratch.tile.addTo(sum, dtype, 1, scratch.weights, i, columns);
        }
      }
      if (first) {
        // From +0 as well: a sum of −0 becomes +0.
        Arrays.fill(scratch.total, 0, columns, 0);
      }
      TileReduce.add(scratch.total, sum, columns);
    }

    private void maximum(Scratch scratch, int n, int columns, boolean first) {
      if (first) {
        Arrays.fill(scratch.total, 0, columns, Float.NEGATIVE_INFINITY);
      }
      for (int i = 0; i < n; i++) {
        scratch.tile.load(dtype, x, scratch.rows[i], 0, columns);
        scratch.tile.widen(dtype, columns);
        TileReduce.max(scratch.tile.floats, 1, scratch.total, columns);
      }
    }
  }
}
