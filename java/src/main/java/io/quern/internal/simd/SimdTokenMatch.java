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
  /** Packed elements of all batch rows that are matched at a time: 256 MiB. */
  private static final long PACKED = 64L << 20;

  /** Sources that a worker compares at a time. */
  private static final int BLOCK = Product.BLOCK_PANELS * Product.COLUMNS;

  /**
   * Elements of a row that are packed at a time: those of a panel fit into a {@link Tile}, and with
   * their places into a first-level cache.
   */
  private static final int PIECE = 128;

  private final TokenMatch.Spec spec;

  SimdTokenMatch(TokenMatch.Spec spec) {
    this.spec = spec;
  }

  @Override
  public long workspaceBytes(long batch) {
    return 0;
  }

  @Override
  public String name() {
    return TokenMatchKernel.canonical("simd", spec, "a CPU has no other form");
  }

  @Override
  public void run(QueueStream stream, TokenMatch.Operands operands) {
    HostStream host = (HostStream) stream;
    long batch = operands.slot().shape().dim(0);
    int sources = (int) spec.scheme().sources(spec.tokens());
    int panels = Product.leftPanels((int) spec.scheme().destinations(spec.tokens()));
    int dim = (int) spec.dim();
    long packed = Math.max(spec.tokens(), (long) panels * Product.ROWS * dim);
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
      task.blocks = Math.ceilDiv(sources, BLOCK);
      if (!spec.isIdentity()) {
        task.scratch.reserve(Math.multiplyExact(batches * panels, Product.ROWS), dim);
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

    private void reserve(int rows, int dim) {
      if (factors.length < rows) {
        factors = new float[rows];
      }
      if (destinations.length < (long) rows * dim) {
        destinations = new float[Math.multiplyExact(rows, dim)];
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
    private final float[] factors = new float[BLOCK];
    private final float[] best = new float[BLOCK];
    private final int[] index = new int[BLOCK];
    private float[] sources = {};

    private void reserve(int dim) {
      if (sources.length < (long) BLOCK * dim) {
        sources = new float[Math.multiplyExact(BLOCK, dim)];
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
      if (isValid(batch)) {
        int row = (batch * panels + panel) * Product.ROWS;
        pack(
            worker,
            batch,
            false,
            panel * Product.ROWS,
            Product.ROWS,
            scratch.destinations,
            row * dim,
            scratch.factors,
            row);
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
        pack(
            worker,
            batch,
            true,
            first + at,
            Product.COLUMNS,
            worker.sources,
            at * dim,
            worker.factors,
            at);
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
            if (isHalf) {
              Product.halfTile(
                  scratch.destinations,
                  row * dim,
                  worker.sources,
                  at * dim,
                  dim,
                  worker.tile,
                  0,
                  Product.COLUMNS);
            } else {
              Product.tile(
                  scratch.destinations,
                  row * dim,
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

    /**
     * Packs sources or destinations from the {@code first} on into a panel of {@code width} rows at
     * {@code base}, and their 1 / norm into {@code factors} from {@code at} on. What must not be
     * found gets NaN there.
     */
    private void pack(
        Worker worker,
        int batch,
        boolean areSources,
        int first,
        int width,
        float[] panels,
        int base,
        float[] factors,
        int at) {
      int least = areSources ? 0 : firstDestination();
      int end = areSources ? sources() : destinations();
      for (int r = 0; r < width; r++) {
        int i = first + r;
        factors[at + r] =
            i < least || i >= end
                ? Float.NaN
                : inverseNorm(
                    worker.reduction.squaredNorm(dtype, metric, row(batch, areSources, i), dim));
      }
      for (int k = 0; k < dim; k += PIECE) {
        int n = Math.min(PIECE, dim - k);
        for (int r = 0; r < width; r++) {
          int i = first + r;
          if (i < least || i >= end) {
            worker.rows.loadZero(dtype, r * PIECE, n);
          } else {
            long row = row(batch, areSources, i) + (long) k * dtype.byteSize();
            worker.rows.load(dtype, metric, row, r * PIECE, n);
          }
        }
        worker.rows.widen(dtype, width * PIECE);
        Product.packRows(worker.rows.floats, PIECE, n, panels, base + k * width, width);
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
