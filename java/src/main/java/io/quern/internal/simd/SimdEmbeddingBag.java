package io.quern.internal.simd;

import io.quern.DType;
import io.quern.internal.cpu.BagTask;
import io.quern.internal.cpu.HostStream;
import io.quern.internal.cpu.NativeRows;
import io.quern.internal.device.QueueStream;
import io.quern.internal.kernel.EmbeddingBagKernel;
import io.quern.internal.kernel.Operator;
import io.quern.op.Combine;
import io.quern.op.EmbeddingBag;
import java.lang.foreign.MemorySegment;
import java.util.Arrays;

/**
 * {@code out[s, :] = combine(table[ids[j], :])}. Chunk by chunk of a bag: first the rows to be
 * combined are listed, then they are combined; sums over F32 tables straight from the table,
 * everything else through a {@link Tile}.
 */
final class SimdEmbeddingBag implements EmbeddingBagKernel {
  /** Consecutive positions of a bag whose rows are added in order before chunks are (rule 5). */
  private static final int CHUNK = 64;

  private final Operator operator;
  private final EmbeddingBag.Spec spec;

  SimdEmbeddingBag(Operator operator, EmbeddingBag.Spec spec) {
    this.operator = operator;
    this.spec = spec;
  }

  @Override
  public void run(QueueStream stream, EmbeddingBag.Operands operands) {
    HostStream host = (HostStream) stream;
    Task task = host.task(Task.class, workers -> new Task());
    task.scratches = host.kept(Scratch[].class, Scratch::ofEach);
    task.bag(operator, spec, operands);
    task.from = spec.table();
    task.to = spec.out();
    long bags = operands.out().shape().dim(0);
    long idsPerBag = task.positions() / Math.max(1, bags);
    host.run(task, bags, (idsPerBag + 1) * spec.dim() * spec.table().byteSize());
  }

  /** What one worker computes in: a piece of at most {@link Tile#CAPACITY} columns at a time. */
  private static final class Scratch {
    private final Tile tile = new Tile();
    private final long[] rows = new long[CHUNK];
    private final float[] weights = new float[CHUNK];
    private final float[] chunk = new float[Tile.CAPACITY];
    private final float[] total = new float[Tile.CAPACITY];
    private int listed;
    private boolean zeroRow;

    private static Scratch[] ofEach(int workers) {
      Scratch[] scratches = new Scratch[workers];
      Arrays.setAll(scratches, i -> new Scratch());
      return scratches;
    }
  }

  private static final class Task extends BagTask {
    private Scratch[] scratches;
    private DType from;
    private DType to;

    @Override
    protected int combine(
        int worker, long table, long start, long end, MemorySegment out, long target) {
      if (table == FAILED) {
        return FAILED_BAG;
      }
      if (combine == Combine.FIRST || combine == Combine.LAST) {
        return pick(worker, table, start, end, out, target);
      }
      int result = WRITTEN;
      for (long column = 0; column < dim && result == WRITTEN; column += Tile.CAPACITY) {
        int width = (int) Math.min(Tile.CAPACITY, dim - column);
        result = reduce(scratches[worker], table, start, end, column, width);
        if (result == WRITTEN) {
          store(scratches[worker], out, target + column * to.byteSize(), width);
        }
      }
      return result;
    }

    private int pick(int worker, long table, long start, long end, MemorySegment out, long target) {
      long found = NO_ROW;
      for (long j = start; j < end; j++) {
        long row = rowAt(table, j);
        if (row == FAILED) {
          return FAILED_BAG;
        }
        if ((row >= 0 || row == ZERO_ROW) && (found == NO_ROW || combine == Combine.LAST)) {
          found = row;
        }
      }
      if (found == NO_ROW) {
        return EMPTY_BAG;
      }
      if (found == ZERO_ROW) {
        zero(out, target);
      } else {
        copy(worker, table(table), found, out, target);
      }
      return WRITTEN;
    }

    /** Combines {@code dim} columns from {@code column} on into the scratch's total. */
    private int reduce(Scratch scratch, long table, long start, long end, long column, int dim) {
      float[] total = scratch.total;
      boolean extremum = combine == Combine.MAX || combine == Combine.MIN;
      Arrays.fill(total, 0, dim, extremum ? worst() : 0);
      long counted = 0;
      float weight = 0;
      for (long at = start; at < end; at += CHUNK) {
        if (!list(scratch, table, at, Math.min(end, at + CHUNK), column)) {
          return FAILED_BAG;
        }
        if (scratch.listed == 0) {
          continue;
        }
        if (extremum) {
          stage(scratch, table, total, dim);
        } else {
          float[] sum = counted == 0 ? total : scratch.chunk;
          if (from == DType.F32 && !scratch.zeroRow) {
            RowSum.of(table(table), scratch.rows, scratch.weights, scratch.listed, sum, dim);
          } else {
            Arrays.fill(sum, 0, dim, 0);
            stage(scratch, table, sum, dim);
          }
          if (counted > 0) {
            TileReduce.add(total, sum, dim);
          }
        }
        weight += sumOfWeights(scratch);
        counted += scratch.listed;
      }
      if (counted == 0) {
        return EMPTY_BAG;
      }
      // −0 becomes +0: the first chunk's sum was not added to +0, and extrema are stored so.
      TileReduce.add(total, 0f, dim);
      switch (combine) {
        case MEAN -> TileReduce.divide(total, (float) counted, dim);
        case WEIGHTED_MEAN -> TileReduce.divide(total, weight, dim);
        default -> {}
      }
      return WRITTEN;
    }

    private void store(Scratch scratch, MemorySegment out, long target, int dim) {
      scratch.tile.round(to, scratch.total, dim);
      scratch.tile.store(to, scratch.total, 0, out, target, dim);
    }

    private float worst() {
      return combine == Combine.MAX ? Float.NEGATIVE_INFINITY : Float.POSITIVE_INFINITY;
    }

    /**
     * Lists the counted rows of a chunk, from a column on, with their weights; false if an id was
     * reported.
     */
    private boolean list(Scratch scratch, long table, long start, long end, long column) {
      long skip = column * from.byteSize();
      int n = 0;
      scratch.zeroRow = false;
      for (long j = start; j < end; j++) {
        long row = rowAt(table, j);
        if (row == FAILED) {
          return false;
        }
        if (row >= 0 || row == ZERO_ROW) {
          scratch.zeroRow |= row < 0;
          scratch.rows[n] = row < 0 ? row : row + skip;
          scratch.weights[n++] = isWeighted() ? weight(j) : 1;
        }
      }
      scratch.listed = n;
      return true;
    }

    /** Combines the listed rows into {@code result} by way of the tile. */
    private void stage(Scratch scratch, long table, float[] result, int dim) {
      Tile tile = scratch.tile;
      int capacity = Tile.CAPACITY / dim;
      for (int first = 0; first < scratch.listed; first += capacity) {
        int n = Math.min(capacity, scratch.listed - first);
        for (int k = 0; k < n; k++) {
          long row = scratch.rows[first + k];
          if (row >= 0) {
            tile.load(from, table(table), row, k * dim, dim);
          } else {
            tile.loadZero(from, k * dim, dim);
          }
        }
        switch (combine) {
          case MAX -> {
            tile.widen(from, n * dim);
            TileReduce.max(tile.floats, n, result, dim);
          }
          case MIN -> {
            tile.widen(from, n * dim);
            TileReduce.min(tile.floats, n, result, dim);
          }
          default -> tile.addTo(result, from, n, scratch.weights, first, dim);
        }
      }
    }

    private float sumOfWeights(Scratch scratch) {
      float sum = 0;
      for (int k = 0; k < scratch.listed; k++) {
        sum += scratch.weights[k];
      }
      return sum;
    }

    @Override
    protected void copy(
        int worker, MemorySegment source, long offset, MemorySegment out, long target) {
      if (from == to) {
        NativeRows.copy(source, offset, out, target, dim * to.byteSize());
        return;
      }
      Tile tile = scratches[worker].tile;
      for (long column = 0; column < dim; column += Tile.CAPACITY) {
        int width = (int) Math.min(Tile.CAPACITY, dim - column);
        tile.load(from, source, offset + column * from.byteSize(), 0, width);
        tile.widen(from, width);
        tile.round(to, tile.floats, width);
        tile.store(to, tile.floats, 0, out, target + column * to.byteSize(), width);
      }
    }

    @Override
    protected void zero(MemorySegment out, long target) {
      Tile.storeZeros(out, target, dim * to.byteSize());
    }
  }
}
