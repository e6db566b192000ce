package io.quern.internal.scalar;

import io.quern.DType;
import io.quern.internal.cpu.HostDevice;
import io.quern.internal.cpu.HostStream;
import io.quern.internal.cpu.MatchTask;
import io.quern.internal.device.QueueStream;
import io.quern.internal.device.TypedMemory;
import io.quern.internal.kernel.TokenMatchKernel;
import io.quern.op.TokenMatch;
import java.lang.foreign.MemorySegment;
import java.util.Arrays;

/** Directions, their products one by one (rule 3), and the first of the greatest. */
final class ScalarTokenMatch implements TokenMatchKernel {
  /** Tokens of all batch rows that are matched at a time. */
  private static final long LISTED = 64L << 20;

  private final TokenMatch.Spec spec;

  ScalarTokenMatch(TokenMatch.Spec spec) {
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
    long group = Math.max(1, LISTED / Math.max(1, spec.tokens()));
    for (long first = 0; first < batch; first += group) {
      int batches = (int) Math.min(group, batch - first);
      Task task = host.task(Task.class, Task::new);
      task.take(
          spec,
          operands,
          host.kept(MatchTask.Lists.class, MatchTask.Lists::new),
          (int) first,
          batches);
      TypedMemory memory = TypedMemory.of(operands.metric());
      task.metric = HostDevice.segment(memory);
      task.stride = memory.rowStride();
      task.tokens = spec.tokens();
      task.dim = (int) spec.dim();
      task.dtype = spec.metric();
      task.compares = !spec.isIdentity();
      task.reserve();
      host.run(task, batches, spec.tokens() * spec.dim() * spec.metric().byteSize());
    }
  }

  /** What one worker computes in: the directions of all sources, then of all destinations. */
  private static final class Directions implements RowReduction.Row {
    private final RowReduction reduction = new RowReduction();
    private float[] rows = {};
    private int current;

    @Override
    public float at(long i) {
      return rows[current + (int) i];
    }
  }

  private static final class Task extends MatchTask {
    private final Directions[] directions;
    private MemorySegment metric;
    private long stride;
    private long tokens;
    private int dim;
    private DType dtype;
    private boolean compares;

    private Task(int workers) {
      directions = new Directions[workers];
      Arrays.setAll(directions, i -> new Directions());
    }

    private void reserve() {
      int size = (sources() + destinations()) * dim;
      for (int i = 0; compares && i < directions.length; i++) {
        if (directions[i].rows.length < size) {
          directions[i].rows = new float[size];
        }
      }
    }

    @Override
    protected void run(int worker, long from, long to) {
      for (int b = (int) from; b < to; b++) {
        if (compares) {
          list(worker, b);
          if (isValid(b)) {
            compare(worker, b);
          }
        }
        place(worker, b);
      }
    }

    private void compare(int worker, int batch) {
      float[] rows = directions[worker].rows;
      for (int i = 0; i < sources(); i++) {
        direction(directions[worker], batch, source(batch, i), i * dim);
      }
      int destinationRows = sources() * dim;
      for (int j = 0; j < destinations(); j++) {
        direction(directions[worker], batch, destination(batch, j), destinationRows + j * dim);
      }
      for (int i = 0; i < sources(); i++) {
        float best = LEAST;
        int index = firstDestination();
        for (int j = firstDestination(); j < destinations(); j++) {
          float similarity = Product.of(rows, i * dim, rows, destinationRows + j * dim, dim);
          if (similarity > best) {
            best = similarity;
            index = j;
          }
        }
        setBest(batch, i, best, index);
      }
    }

    /** A token's metric divided by its norm; NaN where that is zero. */
    private void direction(Directions of, int batch, int token, int at) {
      long row = ((first() + (long) batch) * tokens + token) * stride * dtype.byteSize();
      for (int k = 0; k < dim; k++) {
        of.rows[at + k] = Element.load(dtype, metric, row + (long) k * dtype.byteSize());
      }
      of.current = at;
      float norm = (float) Math.sqrt(of.reduction.squaredNorm(of, dim));
      for (int k = 0; k < dim; k++) {
        of.rows[at + k] = norm == 0 ? Float.NaN : of.rows[at + k] / norm;
      }
    }

    @Override
    protected void clear() {
      super.clear();
      metric = null;
    }
  }
}
