package io.quern.internal.cpu;

import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import io.quern.Buffer;
import io.quern.DType;
import io.quern.InvalidDataException.Kind;
import io.quern.internal.device.TypedMemory;
import io.quern.internal.kernel.Operator;
import io.quern.op.IndexPolicy;
import io.quern.op.ScatterMode;
import io.quern.op.ScatterRows;
import java.lang.foreign.MemorySegment;
import java.util.Arrays;

/**
 * The operands of a {@code ScatterRows}, and its rows by destination: for each destination the
 * first row, with the others chained to it in ascending order. The table of destinations is
 * open-addressed and grows with the rows, not with the destinations.
 */
public abstract class ScatterTask extends RowTask {
  private static final int LEAST_CAPACITY = 64;

  /** Rows that follow nobody, or that nobody follows. */
  private static final int NONE = -1;

  /** Fibonacci hashing: the product's upper half is well mixed. */
  private static final long GOLDEN = 0x9e3779b97f4a7c15L;

  /** Where rows come from. */
  protected MemorySegment x;

  /** Where they go. */
  protected MemorySegment out;

  /** Bytes from one row of {@link #x} to the next. */
  protected long stride;

  /** Bytes from one row of {@link #out} to the next. */
  protected long outStride;

  /** Elements of a row. */
  protected long dim;

  private MemorySegment ids;
  private boolean longIds;
  private long rows;
  private int count;
  private IndexPolicy policy;
  private int[] heads = {}; // by hash: the first row of a destination
  private int[] next = {}; // by row: the next row of its destination; of the last one NONE
  private boolean[] follows = {}; // by row: whether another row is before it, or it is dropped

  @Override
  protected final Operator operator() {
    return Operator.SCATTER_ROWS;
  }

  /** Takes the operands of a call. */
  public final void scatter(Buffer x, Buffer ids, Buffer out, ScatterRows.Spec spec) {
    TypedMemory source = TypedMemory.of(x);
    TypedMemory target = TypedMemory.of(out);
    this.x = HostDevice.segment(source);
    this.stride = source.rowStride() * source.dtype().byteSize();
    this.out = HostDevice.segment(target);
    this.outStride = target.rowStride() * target.dtype().byteSize();
    this.dim = target.shape().last();
    this.ids = HostDevice.segment(TypedMemory.of(ids));
    this.longIds = ids.dtype() == DType.I64;
    this.rows = target.shape().dim(0);
    this.count = (int) source.shape().dim(0);
    this.policy = spec.policy();
  }

  /**
   * Chains the rows; in descending order, so that a row finds the one after it. With SET only the
   * last row of a destination is of interest, and it becomes the first.
   */
  @Override
  protected final void begin() {
    int capacity = Math.max(LEAST_CAPACITY, Integer.highestOneBit(2 * count - 1) << 1);
    if (heads.length < capacity) {
      heads = new int[capacity];
      next = new int[capacity / 2];
      follows = new boolean[capacity / 2];
    }
    Arrays.fill(heads, 0, capacity, NONE);
    boolean lastOnly = mode() == ScatterMode.SET;
    for (int i = count - 1; i >= 0; i--) {
      long destination = resolve(i);
      next[i] = NONE;
      follows[i] = destination < 0;
      if (destination < 0) {
        continue;
      }
      int entry = (int) (destination * GOLDEN >>> Integer.SIZE) & capacity - 1;
      while (heads[entry] != NONE && destination(heads[entry]) != destination) {
        entry = entry + 1 & capacity - 1;
      }
      int head = heads[entry];
      if (head == NONE) {
        heads[entry] = i;
      } else if (lastOnly) {
        follows[i] = true;
      } else {
        next[i] = head;
        follows[head] = true;
        heads[entry] = i;
      }
    }
  }

  /** What becomes of what is there. */
  protected abstract ScatterMode mode();

  /** Scatters the rows of one destination. */
  protected abstract void scatter(int worker, int first, long target);

  @Override
  protected final void run(int worker, long from, long to) {
    for (int i = (int) from; i < to; i++) {
      if (!follows[i]) {
        scatter(worker, i, destination(i) * outStride);
      }
    }
  }

  @Override
  protected void clear() {
    x = null;
    out = null;
    ids = null;
  }

  /** The row after this one of the same destination, negative after the last. */
  protected final int next(int row) {
    return next[row];
  }

  private long id(int row) {
    return longIds
        ? ids.get(JAVA_LONG, (long) row * Long.BYTES)
        : ids.get(JAVA_INT, (long) row * Integer.BYTES);
  }

  /** Where a row goes that is not dropped. */
  private long destination(int row) {
    return Math.clamp(id(row), 0, rows - 1);
  }

  /** The same for any row, negative if it is dropped; reports bad ids under FAIL. */
  private long resolve(int row) {
    long id = id(row);
    if (id == -1 || Long.compareUnsigned(id, rows) < 0) {
      return id;
    }
    if (policy == IndexPolicy.FAIL) {
      report(Kind.INDEX, row, id, rows);
    }
    return policy == IndexPolicy.CLAMP ? Math.clamp(id, 0, rows - 1) : -1;
  }
}
