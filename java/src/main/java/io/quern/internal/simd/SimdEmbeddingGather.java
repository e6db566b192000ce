package io.quern.internal.simd;

import io.quern.Buffer;
import io.quern.DType;
import io.quern.internal.cpu.GatherTask;
import io.quern.internal.cpu.HostStream;
import io.quern.internal.cpu.NativeRows;
import io.quern.internal.device.QueueStream;
import io.quern.internal.kernel.EmbeddingGatherKernel;
import io.quern.internal.kernel.Operator;
import io.quern.op.EmbeddingGather;

/**
 * {@code out[i, :] = table[ids[i], :]}: row by row where bits are copied, by tiles of rows where
 * they are converted.
 */
final class SimdEmbeddingGather implements EmbeddingGatherKernel {
  private final Operator operator;
  private final EmbeddingGather.Spec spec;

  SimdEmbeddingGather(Operator operator, EmbeddingGather.Spec spec) {
    this.operator = operator;
    this.spec = spec;
  }

  @Override
  public void run(
      QueueStream stream,
      Buffer[] tables,
      int tableCount,
      Buffer ids,
      Buffer tableIds,
      Buffer out) {
    HostStream host = (HostStream) stream;
    GatherTask task;
    if (spec.table() == spec.out()) {
      CopyTask copy = host.task(CopyTask.class, workers -> new CopyTask());
      copy.rowBytes = spec.dim() * spec.out().byteSize();
      task = copy;
    } else {
      ConvertTask convert = host.task(ConvertTask.class, workers -> new ConvertTask());
      convert.tiles = host.kept(Tile[].class, Tile::ofEach);
      convert.from = spec.table();
      convert.to = spec.out();
      task = convert;
    }
    task.gather(operator, tables, tableCount, ids, tableIds, out, spec.policy());
    host.run(
        task,
        ids.shape().size(),
        spec.dim() * Math.max(spec.table().byteSize(), spec.out().byteSize()));
  }

  private static final class CopyTask extends GatherTask {
    private long rowBytes;

    @Override
    protected void run(int worker, long first, long end) {
      for (long i = first; i < end; i++) {
        long id = id(i);
        long table = tableOf(i, id);
        long row = table < 0 ? table : row(table, i, id);
        if (row >= 0) {
          NativeRows.copy(table(table), row, out, i * outStride, rowBytes);
        } else if (row != SKIPPED) {
          Tile.storeZeros(out, i * outStride, rowBytes);
        }
      }
    }
  }

  private static final class ConvertTask extends GatherTask {
    private Tile[] tiles;
    private DType from;
    private DType to;

    @Override
    protected void run(int worker, long first, long end) {
      for (long column = 0; column < dim; column += Tile.CAPACITY) {
        int width = (int) Math.min(Tile.CAPACITY, dim - column);
        convert(tiles[worker], first, end, column, width);
      }
    }

    private void store(Tile tile, boolean straight, int at, long target, int count) {
      if (straight) {
        tile.storeWidened(from, at, out, target, count);
      } else {
        tile.store(to, tile.floats, at, out, target, count);
      }
    }

    /** Converts {@code width} columns, from {@code column} on, of a range of rows. */
    private void convert(Tile tile, long first, long end, long column, int width) {
      int capacity = Tile.CAPACITY / width;
      long read = column * from.byteSize();
      long write = column * to.byteSize();
      boolean straight = to == DType.F32;
      boolean dense = outStride == (long) width * to.byteSize();
      for (long i = first; i < end; ) {
        // A batch is consecutive output rows; one that is skipped ends it.
        int rows = 0;
        boolean skip = false;
        while (rows < capacity && i + rows < end && !skip) {
          long position = i + rows;
          long id = id(position);
          long table = tableOf(position, id);
          long row = table < 0 ? table : row(table, position, id);
          if (row >= 0) {
            tile.load(from, table(table), row + read, rows++ * width, width);
          } else if (row == SKIPPED) {
            skip = true;
          } else {
            tile.loadZero(from, rows++ * width, width);
          }
        }
        if (!straight) {
          tile.widen(from, rows * width);
          tile.round(to, tile.floats, rows * width);
        }
        if (dense) {
          store(tile, straight, 0, i * outStride, rows * width);
        } else {
          for (int r = 0; r < rows; r++) {
            store(tile, straight, r * width, (i + r) * outStride + write, width);
          }
        }
        i += rows + (skip ? 1 : 0);
      }
    }
  }
}
