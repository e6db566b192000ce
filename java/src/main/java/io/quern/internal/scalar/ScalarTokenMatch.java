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

/** Products one by one (rule 3), each divided by the norms, and the first of the greatest. */
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
  public String name() {
    return TokenMatchKernel.canonical("scalar", spec, "a CPU has no other form");
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

  /** What one worker computes in: rows of all sources, then of all destinations, as F32. */
  private static final class Rows implements RowReduction.Row {
    private final RowReduction reduction = new RowReduction();
    private float[] elements = {};
    private float[] inverseNorms = {};
    private int current;

    @Override
    public float at(long i) {
      return elements[current + (int) i];
    }
  }

  private static final class Task extends MatchTask {
    private final Rows[] rows;
    private MemorySegment metric;
    private long stride;
    private long tokens;
    private int dim;
    private DType dtype;
    private boolean compares;

    private Task(int workers) {
      rows = new Rows[workers];
      Arrays.setAll(rows, i -> new Rows());
    }

    private void reserve() {
      int listed = sources() + destinations();
      for (int i = 0; compares && i < rows.length; i++) {
        if (rows[i].elements.length < listed * dim) {
          rows[i].elements = new float[listed * dim];
        }
        if (rows[i].inverseNorms.length < listed) {
          rows[i].inverseNorms = new float[listed];
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
      Rows all = rows[worker];
      for (int i = 0; i < sources(); i++) {
        load(all, batch, source(batch, i), i);
      }
      for (int j = 0; j < destinations(); j++) {
        load(all, batch, destination(batch, j), sources() + j);
      }
      for (int i = 0; i < sources(); i++) {
        float best = Float.NEGATIVE_INFINITY;
        int index = 0;
        for (int j = firstDestination(); j < destinations(); j++) {
          int row = sources() + j;
          float product = Product.of(all.elements, i * dim, all.elements, row * dim, dim);
          product *= all.inverseNorms[row];
          if (product > best) {
            best = product;
            index = j;
          }
        }
        setBest(batch, i, best * all.inverseNorms[i], index);
      }
    }

    /** Loads a token's metric as row {@code i}. */
    private void load(Rows all, int batch, int token, int i) {
      long row = ((first() + (long) batch) * tokens + token) * stride * dtype.byteSize();
      for (int k = 0; k < dim; k++) {
        all.elements[i * dim + k] = Element.load(dtype, metric, row + (long) k * dtype.byteSize());
      }
      all.current = i * dim;
      all.inverseNorms[i] = inverseNorm(all.reduction.squaredNorm(all, dim));
    }

    @Override
    protected void clear() {
      super.clear();
      metric = null;
    }
  }
}
