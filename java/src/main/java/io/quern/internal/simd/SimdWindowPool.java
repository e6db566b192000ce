package io.quern.internal.simd;

import io.quern.Buffer;
import io.quern.internal.cpu.HostStream;
import io.quern.internal.cpu.WindowTask;
import io.quern.internal.device.QueueStream;
import io.quern.internal.kernel.WindowPoolKernel;
import io.quern.op.WindowPool;
import java.lang.foreign.MemorySegment;
import java.util.Arrays;

/** The maximum or mean of each window's rows, which pass through a {@link Tile}. */
final class SimdWindowPool implements WindowPoolKernel {
  /** Consecutive rows of a window that are added in order before chunks are (rule 5). */
  private static final long CHUNK = 64;

  private final WindowPool.Spec spec;

  SimdWindowPool(WindowPool.Spec spec) {
    this.spec = spec;
  }

  @Override
  public void run(QueueStream stream, Buffer x, long length, Buffer out) {
    HostStream host = (HostStream) stream;
    Task task = host.task(Task.class, workers -> new Task());
    task.scratches = host.kept(Scratch[].class, Scratch::ofEach);
    task.pool(spec, x, length, out);
    host.run(task, out.shape().rows(), spec.window() * spec.dim() * spec.x().byteSize());
  }

  /** What one worker computes in: a piece of at most {@link Tile#CAPACITY} columns at a time. */
  private static final class Scratch {
    private final Tile tile = new Tile();
    private final float[] ones = new float[(int) CHUNK];
    private final float[] chunk = new float[Tile.CAPACITY];
    private final float[] result = new float[Tile.CAPACITY];

    Scratch() {
      Arrays.fill(ones, 1);
    }

    private static Scratch[] ofEach(int workers) {
      Scratch[] scratches = new Scratch[workers];
      Arrays.setAll(scratches, i -> new Scratch());
      return scratches;
    }
  }

  private static final class Task extends WindowTask {
    private Scratch[] scratches;

    @Override
    protected void pool(int worker, long begin, long end, MemorySegment out, long target) {
      Scratch scratch = scratches[worker];
      for (long column = 0; column < spec.dim(); column += Tile.CAPACITY) {
        int width = (int) Math.min(Tile.CAPACITY, spec.dim() - column);
        float[] result = scratch.result;
        if (spec.mode() == WindowPool.Mode.MAX) {
          Arrays.fill(result, 0, width, Float.NEGATIVE_INFINITY);
          combine(scratch, begin, end, column, result, width);
          TileReduce.add(result, 0f, width); // -0 becomes +0
        } else {
          Arrays.fill(result, 0, width, 0);
          for (long chunk = begin; chunk < end; chunk += CHUNK) {
            Arrays.fill(scratch.chunk, 0, width, 0);
            combine(scratch, chunk, Math.min(end, chunk + CHUNK), column, scratch.chunk, width);
            TileReduce.add(result, scratch.chunk, width);
          }
          TileReduce.divide(result, (float) (end - begin), width);
        }
        scratch.tile.round(spec.out(), result, width);
        scratch.tile.store(
            spec.out(), result, 0, out, target + column * spec.out().byteSize(), width);
      }
    }

    /** Combines rows {@code begin} to {@code end} into {@code result} by way of the tile. */
    private void combine(
        Scratch scratch, long begin, long end, long column, float[] result, int width) {
      Tile tile = scratch.tile;
      int capacity = (int) Math.min(CHUNK, Tile.CAPACITY / width);
      for (long first = begin; first < end; first += capacity) {
        int n = (int) Math.min(capacity, end - first);
        for (int k = 0; k < n; k++) {
          long row = (first + k) * stride + column * spec.x().byteSize();
          tile.load(spec.x(), x, row, k * width, width);
        }
        if (spec.mode() == WindowPool.Mode.MAX) {
          tile.widen(spec.x(), n * width);
          TileReduce.max(tile.floats, n, result, width);
        } else {
          tile.addTo(result, spec.x(), n, scratch.ones, 0, width);
        }
      }
    }
  }
}
