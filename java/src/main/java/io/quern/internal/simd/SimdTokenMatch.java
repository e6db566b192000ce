package io.quern.internal.simd;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;

import io.quern.DType;
import io.quern.internal.cpu.HostDevice;
import io.quern.internal.cpu.HostStream;
import io.quern.internal.cpu.MatchTask;
import io.quern.internal.cpu.RowTask;
import io.quern.internal.device.QueueStream;
import io.quern.internal.device.TypedMemory;
import io.quern.internal.kernel.Operator;
import io.quern.internal.kernel.TokenMatchKernel;
import io.quern.op.TokenMatch;
import java.lang.foreign.MemorySegment;
import java.util.Arrays;

/**
 * Four passes: lists of tokens, destinations packed for {@link Product}, blocks of sources against
 * all of them with the best kept in passing, slots. No similarity is ever stored.
 */
final class SimdTokenMatch implements TokenMatchKernel {
  /** Packed elements of all batch rows that are matched at a time: 256 MiB. */
  private static final long PACKED = 64L << 20;

  private final TokenMatch.Spec spec;

  SimdTokenMatch(TokenMatch.Spec spec) {
    this.spec = spec;
  }

  @Override
  public long workspaceBytes(long batch) {
    return 0;
  }

  @Override
  public void run(QueueStream stream, TokenMatch.Operands operands) {
    HostStream host = (HostStream) stream;
    long batch = operands.slot().shape().dim(0);
    int sources = (int) spec.scheme().sources(spec.tokens());
    int panels = Product.rightPanels((int) spec.scheme().destinations(spec.tokens()));
    int dim = (int) spec.dim();
    long packed = Math.max(spec.tokens(), (long) panels * Product.COLUMNS * dim);
    long group = Math.max(1, PACKED / Math.max(1, packed));
    for (long first = 0; first < batch; first += group) {
      int batches = (int) Math.min(group, batch - first);
      Task task = host.task(Task.class, workers -> new Task());
      task.scratch = host.kept(Scratch.class, Scratch::new);
      task.take(
          spec,
          operands,
          host.kept(MatchTask.Lists.class, MatchTask.Lists::new),
          (int) first,
          batches);
      TypedMemory memory = TypedMemory.of(operands.metric());
      task.metric = HostDevice.segment(memory);
      task.dtype = spec.metric();
      task.tokens = spec.tokens();
      task.stride = memory.rowStride() * memory.dtype().byteSize();
      task.dim = dim;
      task.panels = panels;
      task.blocks = Math.ceilDiv(sources, Product.BLOCK_ROWS);
      if (!spec.isIdentity()) {
        task.scratch.reserve(Math.multiplyExact(batches * panels * Product.COLUMNS, dim), dim);
        host.run(task.list, batches, spec.tokens() * Integer.BYTES);
        host.run(task.pack, (long) batches * panels, (long) Product.COLUMNS * dim * Float.BYTES);
        // A row of a product is about so much work.
        host.run(
            task.compare,
            (long) batches * task.blocks,
            (long) Product.BLOCK_ROWS * panels * Product.COLUMNS * dim / Species.LANES);
      }
      host.run(task, batches, spec.tokens() * Integer.BYTES);
    }
  }

  private static final class Scratch {
    private final Worker[] workers;
    private float[] destinations = {};

    private Scratch(int workers) {
      this.workers = new Worker[workers];
      Arrays.setAll(this.workers, i -> new Worker());
    }

    private void reserve(int packed, int dim) {
      if (destinations.length < packed) {
        destinations = new float[packed];
      }
      for (Worker worker : workers) {
        worker.reserve(dim);
      }
    }
  }

  private static final class Worker {
    private final RowReduction reduction = new RowReduction();
    private final Tile rows = new Tile();
    private final float[] tile = new float[Product.ROWS * Product.COLUMNS];
    private final float[] best = new float[Product.BLOCK_ROWS * Species.LANES];
    private final int[] index = new int[Product.BLOCK_ROWS * Species.LANES];
    private float[] row = {};
    private float[] sources = {};

    private void reserve(int dim) {
      if (row.length < dim) {
        row = new float[dim];
        sources = new float[Math.multiplyExact(Product.BLOCK_ROWS, dim)];
      }
    }
  }

  /** The last pass, which owns the others. */
  private static final class Task extends MatchTask {
    private Scratch scratch;
    private MemorySegment metric;
    private DType dtype;
    private long tokens;
    private long stride;
    private int dim;
    private int panels;
    private int blocks;

    private abstract static class Pass extends RowTask {
      @Override
      protected Operator operator() {
        return Operator.TOKEN_MATCH;
      }

      @Override
      protected void clear() {}
    }

    private final RowTask list =
        new Pass() {
          @Override
          protected void run(int worker, long from, long to) {
            for (long batch = from; batch < to; batch++) {
              list(worker, (int) batch);
            }
          }
        };

    private final RowTask pack =
        new Pass() {
          @Override
          protected void run(int worker, long from, long to) {
            for (long panel = from; panel < to; panel++) {
              pack(scratch.workers[worker], (int) (panel / panels), (int) (panel % panels));
            }
          }
        };

    private final RowTask compare =
        new Pass() {
          @Override
          protected void run(int worker, long from, long to) {
            for (long block = from; block < to; block++) {
              compare(scratch.workers[worker], (int) (block / blocks), (int) (block % blocks));
            }
          }
        };

    @Override
    protected void run(int worker, long from, long to) {
      for (long batch = from; batch < to; batch++) {
        place(worker, (int) batch);
      }
    }

    private void pack(Worker worker, int batch, int panel) {
      if (!isValid(batch)) {
        return;
      }
      int base = (batch * panels + panel) * Product.COLUMNS * dim;
      for (int c = 0; c < Product.COLUMNS; c++) {
        int j = panel * Product.COLUMNS + c;
        if (j >= firstDestination() && j < destinations()) {
          direction(worker, batch, destination(batch, j));
          Product.pack(worker.row, 0, dim, scratch.destinations, base + c, Product.COLUMNS);
        } else {
          Product.fill(Float.NaN, dim, scratch.destinations, base + c, Product.COLUMNS);
        }
      }
    }

    private void compare(Worker worker, int batch, int block) {
      if (!isValid(batch)) {
        return;
      }
      int first = block * Product.BLOCK_ROWS;
      int rows = Math.min(Product.BLOCK_ROWS, sources() - first);
      for (int i = 0; i < rows; i++) {
        direction(worker, batch, source(batch, first + i));
        int at = i / Product.ROWS * Product.ROWS * dim + i % Product.ROWS;
        Product.pack(worker.row, 0, dim, worker.sources, at, Product.ROWS);
      }
      Arrays.fill(worker.best, LEAST);
      Arrays.fill(worker.index, firstDestination());
      int leftPanels = Product.leftPanels(rows);
      int base = batch * panels;
      for (int from = 0; from < panels; from += Product.BLOCK_PANELS) {
        int to = Math.min(panels, from + Product.BLOCK_PANELS);
        for (int left = 0; left < leftPanels; left++) {
          for (int panel = from; panel < to; panel++) {
            Product.tile(
                worker.sources,
                left * Product.ROWS * dim,
                scratch.destinations,
                (base + panel) * Product.COLUMNS * dim,
                dim,
                worker.tile,
                0,
                Product.COLUMNS);
            Product.best(
                worker.tile,
                panel * Product.COLUMNS,
                worker.best,
                worker.index,
                left * Product.ROWS * Species.LANES);
          }
        }
      }
      for (int i = 0; i < rows; i++) {
        int lanes = i * Species.LANES;
        float best = worker.best[lanes];
        int index = worker.index[lanes];
        for (int lane = 1; lane < Species.LANES; lane++) {
          float value = worker.best[lanes + lane];
          int where = worker.index[lanes + lane];
          if (value > best || (value == best && where < index)) {
            best = value;
            index = where;
          }
        }
        setBest(batch, first + i, best, index);
      }
    }

    /** A token's metric divided by its norm, in the worker's row; NaN where that is zero. */
    private void direction(Worker worker, int batch, int token) {
      float[] row = worker.row;
      long offset = ((first() + (long) batch) * tokens + token) * stride;
      if (dtype == DType.F32) {
        MemorySegment.copy(metric, JAVA_FLOAT, offset, row, 0, dim);
      } else {
        for (int from = 0; from < dim; from += Tile.CAPACITY) {
          int count = Math.min(Tile.CAPACITY, dim - from);
          worker.rows.load(dtype, metric, offset + (long) from * dtype.byteSize(), 0, count);
          worker.rows.widen(dtype, count);
          System.arraycopy(worker.rows.floats, 0, row, from, count);
        }
      }
      float squared = 0;
      for (int from = 0; from < dim; from += RowReduction.PIECE) {
        int count = Math.min(RowReduction.PIECE, dim - from);
        squared += worker.reduction.squaredNorm(row, from, count);
      }
      float norm = (float) Math.sqrt(squared);
      if (norm == 0) {
        Arrays.fill(row, 0, dim, Float.NaN);
      } else {
        TileReduce.divide(row, norm, dim);
      }
    }

    @Override
    protected void clear() {
      super.clear();
      metric = null;
    }
  }
}
