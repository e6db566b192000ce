package io.quern.internal.simd;

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
 * all of them with the best kept in passing, slots. No similarity is ever stored. Sources are the
 * columns of the product, so that each has a lane and the best of its rows needs no other.
 */
final class SimdTokenMatch implements TokenMatchKernel {
  /**
   * Packed elements that a worker matches at a time, 1 MiB: what one pass leaves in a second-level
   * cache the next one finds there. A batch row that is larger goes alone.
   */
  private static final long CACHED = 256 << 10;

  /** Sources that a worker compares at a time. */
  private static final int BLOCK = Product.BLOCK_PANELS * Product.COLUMNS;

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
    int panels = Product.leftPanels((int) spec.scheme().destinations(spec.tokens()));
    int dim = (int) spec.dim();
    Scratch scratch = host.kept(Scratch.class, Scratch::new);
    long packed = Math.max(spec.tokens(), (long) panels * Product.ROWS * dim);
    long group = scratch.workers.length * Math.max(1, CACHED / Math.max(1, packed));
    for (long first = 0; first < batch; first += group) {
      int batches = (int) Math.min(group, batch - first);
      Task task = host.task(Task.class, workers -> new Task());
      task.scratch = scratch;
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
      task.blocks = Math.ceilDiv(sources, BLOCK);
      if (!spec.isIdentity()) {
        task.scratch.reserve(Math.multiplyExact(batches, panels), dim);
        host.run(task.list, batches, spec.tokens() * Integer.BYTES);
        host.run(task.pack, (long) batches * panels, (long) Product.ROWS * dim * Float.BYTES);
        // A row of a product is about so much work.
        host.run(
            task.compare,
            (long) batches * task.blocks,
            (long) BLOCK * panels * Product.ROWS * dim / Species.LANES);
      }
      host.run(task, batches, spec.tokens() * Integer.BYTES);
    }
  }

  private static final class Scratch {
    private final Worker[] workers;

    /** Of all batch rows, packed, and 1 / norm of each. */
    private float[] destinations = {};

    private float[] factors = {};

    private Scratch(int workers) {
      this.workers = new Worker[workers];
      Arrays.setAll(this.workers, i -> new Worker());
    }

    private void reserve(int panels, int dim) {
      if (factors.length < panels * Product.ROWS) {
        factors = new float[Math.multiplyExact(panels, Product.ROWS)];
      }
      int packed = Math.multiplyExact(panels, Product.leftPanel(dim));
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
    private float[] staged = {}; // rows of a right panel, one after the other
    private final float[] tile = new float[Product.ROWS * Product.COLUMNS];
    private final float[] factors = new float[BLOCK];
    private final float[] best = new float[BLOCK];
    private final int[] index = new int[BLOCK];
    private float[] sources = {};

    private void reserve(int dim) {
      if (sources.length < (long) BLOCK * dim) {
        sources = new float[Math.multiplyExact(BLOCK, dim)];
        staged = new float[Product.COLUMNS * dim];
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

    /** Packs a panel of destinations. */
    private void pack(Worker worker, int batch, int panel) {
      if (!isValid(batch)) {
        return;
      }
      int first = panel * Product.ROWS;
      int count = Math.min(Product.ROWS, destinations() - first);
      int factor = batch * panels * Product.ROWS + first;
      int base = (batch * panels + panel) * Product.leftPanel(dim);
      read(worker, batch, false, first, count, scratch.factors, factor);
      for (int r = 0; r < count; r++) {
        Product.putLeft(worker.staged, r * dim, dim, scratch.destinations, base, r);
      }
      for (int r = 0; r < Product.ROWS; r++) {
        if (r >= count || first + r < firstDestination()) {
          scratch.factors[factor + r] = Float.NaN; // never the best
        }
      }
    }

    /**
     * Reads the metric of {@code count} sources or destinations into the worker's staged rows, and
     * their 1 / norm into {@code factors}. Norms are taken when all rows are there: a row that was
     * just written is read as slowly as from afar.
     */
    private void read(
        Worker worker,
        int batch,
        boolean areSources,
        int first,
        int count,
        float[] factors,
        int at) {
      for (int r = 0; r < count; r++) {
        long row = row(batch, areSources, first + r);
        worker.rows.read(dtype, metric, row, worker.staged, r * dim, dim);
      }
      for (int r = 0; r < count; r++) {
        factors[at + r] = inverseNorm(worker.reduction.squaredNorm(worker.staged, r * dim, dim));
      }
    }

    private void compare(Worker worker, int batch, int block) {
      if (!isValid(batch)) {
        return;
      }
      int first = block * BLOCK;
      int count = Math.min(BLOCK, sources() - first);
      int columns = Product.rightPanels(count);
      for (int column = 0; column < columns; column++) {
        int at = column * Product.COLUMNS;
        int n = Math.min(Product.COLUMNS, count - at);
        read(worker, batch, true, first + at, n, worker.factors, at);
        Product.packRight(worker.staged, dim, n, dim, worker.sources, at * dim);
      }
      Arrays.fill(worker.best, Float.NEGATIVE_INFINITY);
      int blockPanels = Product.BLOCK_ROWS / Product.ROWS;
      for (int from = 0; from < panels; from += blockPanels) {
        int to = Math.min(panels, from + blockPanels);
        for (int column = 0; column < columns; column++) {
          int at = column * Product.COLUMNS;
          boolean isHalf = count - at <= Species.LANES;
          for (int panel = from; panel < to; panel++) {
            int row = (batch * panels + panel) * Product.ROWS;
            int base = (batch * panels + panel) * Product.leftPanel(dim);
            if (isHalf) {
              Product.halfTile(
                  scratch.destinations,
                  base,
                  worker.sources,
                  at * dim,
                  dim,
                  worker.tile,
                  0,
                  Product.COLUMNS);
            } else {
              Product.tile(
                  scratch.destinations,
                  base,
                  worker.sources,
                  at * dim,
                  dim,
                  worker.tile,
                  0,
                  Product.COLUMNS);
            }
            Product.best(
                worker.tile,
                scratch.factors,
                row,
                panel * Product.ROWS,
                worker.best,
                worker.index,
                at);
          }
        }
      }
      for (int i = 0; i < count; i++) {
        setBest(batch, first + i, worker.best[i] * worker.factors[i], worker.index[i]);
      }
    }

    /** Where the metric of a source or destination begins, in bytes. */
    private long row(int batch, boolean isSource, int i) {
      int token = isSource ? source(batch, i) : destination(batch, i);
      return ((first() + (long) batch) * tokens + token) * stride;
    }

    @Override
    protected void clear() {
      super.clear();
      metric = null;
    }
  }
}
