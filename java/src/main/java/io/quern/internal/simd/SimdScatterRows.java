package io.quern.internal.simd;

import io.quern.Buffer;
import io.quern.DType;
import io.quern.internal.cpu.HostStream;
import io.quern.internal.cpu.NativeRows;
import io.quern.internal.cpu.ScatterTask;
import io.quern.internal.device.QueueStream;
import io.quern.internal.kernel.ScatterRowsKernel;
import io.quern.op.ScatterMode;
import io.quern.op.ScatterRows;
import java.util.Arrays;

/**
 * {@code out[ids[i], :] = x[i, :]}, or add, or max: whole rows where bits are copied, else by way
 * of a {@link Tile}, destination by destination.
 */
final class SimdScatterRows implements ScatterRowsKernel {
  /** Rows of a destination that are added in order before chunks are. */
  private static final int CHUNK = 64;

  private final ScatterRows.Spec spec;

  SimdScatterRows(ScatterRows.Spec spec) {
    this.spec = spec;
  }

  @Override
  public void run(QueueStream stream, Buffer x, Buffer ids, Buffer out, Buffer workspace) {
    HostStream host = (HostStream) stream;
    Task task = host.task(Task.class, workers -> new Task());
    task.scratches = host.kept(Scratch[].class, Scratch::ofEach);
    task.scatter(x, ids, out, spec);
    task.from = spec.x();
    task.to = spec.out();
    task.mode = spec.mode();
    host.run(
        task, x.shape().dim(0), spec.dim() * Math.max(spec.x().byteSize(), spec.out().byteSize()));
  }

  /** What one worker computes in: a piece of at most {@link Tile#CAPACITY} columns at a time. */
  private static final class Scratch {
    private final Tile tile = new Tile();
    private final float[] chunk = new float[Tile.CAPACITY];
    private final float[] total = new float[Tile.CAPACITY];

    private static Scratch[] ofEach(int workers) {
      Scratch[] scratches = new Scratch[workers];
      Arrays.setAll(scratches, i -> new Scratch());
      return scratches;
    }
  }

  private static final class Task extends ScatterTask {
    private static final float[] ONES = new float[CHUNK];

    static {
      Arrays.fill(ONES, 1);
    }

    private Scratch[] scratches;
    private DType from;
    private DType to;
    private ScatterMode mode;

    @Override
    protected ScatterMode mode() {
      return mode;
    }

    @Override
    protected void scatter(int worker, int first, long target) {
      if (mode == ScatterMode.SET && from == to) {
        NativeRows.copy(x, first * stride, out, target, dim * to.byteSize());
        return;
      }
      for (long column = 0; column < dim; column += Tile.CAPACITY) {
        int width = (int) Math.min(Tile.CAPACITY, dim - column);
        scatter(
            scratches[worker],
            first,
            column * from.byteSize(),
            target + column * to.byteSize(),
            width);
      }
    }

    private void scatter(Scratch scratch, int first, long read, long write, int width) {
      Tile tile = scratch.tile;
      float[] values = scratch.total;
      switch (mode) {
        case SET -> {
          tile.load(from, x, first * stride + read, 0, width);
          tile.widen(from, width);
          values = tile.floats;
        }
        case ADD -> {
          sum(scratch, first, read, width);
          tile.load(to, out, write, 0, width);
          tile.widen(to, width);
          TileReduce.add(values, tile.floats, width);
        }
        case MAX -> {
          tile.load(to, out, write, 0, width);
          tile.widen(to, width);
          System.arraycopy(tile.floats, 0, values, 0, width);
          for (int row = first; row >= 0; row = next(row)) {
            tile.load(from, x, row * stride + read, 0, width);
            tile.widen(from, width);
            TileReduce.max(tile.floats, 1, values, width);
          }
          TileReduce.add(values, 0f, width);
        }
      }
      tile.round(to, values, width);
      tile.store(to, values, 0, out, write, width);
    }

    /** The sum of a destination's rows, by chunks. */
    private void sum(Scratch scratch, int first, long read, int width) {
      Arrays.fill(scratch.total, 0, width, 0);
      int capacity = Math.min(CHUNK, Tile.CAPACITY / width);
      for (int row = first; row >= 0; ) {
        Arrays.fill(scratch.chunk, 0, width, 0);
        for (int added = 0; added < CHUNK && row >= 0; ) {
          int n = 0;
          for (; n < capacity && added + n < CHUNK && row >= 0; n++) {
            scratch.tile.load(from, x, row * stride + read, n * width, width);
            row = next(row);
          }
          scratch.tile.addTo(scratch.chunk, from, n, ONES, 0, width); // 1 · x is x
          added += n;
        }
        TileReduce.add(scratch.total, scratch.chunk, width);
      }
    }
  }
}
