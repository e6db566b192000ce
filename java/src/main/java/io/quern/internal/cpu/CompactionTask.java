package io.quern.internal.cpu;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import io.quern.Buffer;
import io.quern.DType;
import io.quern.internal.device.TypedMemory;
import io.quern.internal.kernel.Operator;
import io.quern.op.CacheAddressing;
import io.quern.op.KvCompaction;
import io.quern.op.TreeStatus;
import java.lang.foreign.MemorySegment;
import java.util.Arrays;

/**
 * The operands of a {@code KvCompaction}. A row of this task is one head of one cache of one
 * request; the first of a request also says what became of it.
 */
public abstract class CompactionTask extends RowTask {
  private static final int NODE = Integer.BYTES;

  private final MemorySegment[] caches = new MemorySegment[KvCompaction.MAX_CACHES];
  private final long[][] moves; // by worker: source and target rows in turn
  private CacheAddressing addressing;
  private int cacheCount;
  private long requests;
  private long width;
  private long nodes;
  private long outer;
  private long heads;
  private long cacheRows;
  private long rowStride;
  private long slotRows;
  private long slotColumns;
  private long slotStride;
  private long page;
  private boolean longSlots;
  private MemorySegment path;
  private MemorySegment counts;
  private MemorySegment lengths;
  private MemorySegment slots;
  private MemorySegment offsets;
  private MemorySegment tableRows;
  private MemorySegment newLengths;
  private MemorySegment status;
  private MemorySegment freed;
  private MemorySegment freedCounts;
  private MemorySegment evicted;

  /** Bytes of a row of the cache. */
  protected long rowBytes;

  protected CompactionTask(int workers) {
    moves = new long[workers][0];
  }

  @Override
  protected final Operator operator() {
    return Operator.KV_COMPACTION;
  }

  /** Takes the operands of a call and runs it. */
  public final void compact(
      HostStream stream,
      KvCompaction.Spec spec,
      KvCompaction.Operands operands,
      Buffer[] caches,
      int cacheCount) {
    this.addressing = spec.addressing();
    this.page = spec.page();
    this.longSlots = spec.slots() == DType.I64;
    this.heads = spec.heads();
    this.rowBytes = spec.dim() * spec.dtype().byteSize();
    this.requests = operands.path().shape().dim(0);
    this.width = operands.path().shape().dim(1);
    this.cacheCount = cacheCount;
    this.outer = 0;
    this.cacheRows = Long.MAX_VALUE; // of no cache
    for (int i = 0; i < cacheCount; i++) {
      this.caches[i] = segment(caches[i]);
    }
    if (cacheCount > 0) {
      TypedMemory first = TypedMemory.of(caches[0]);
      int rank = first.shape().rank();
      this.cacheRows = first.shape().dim(rank - 2);
      this.rowStride = first.rowStride() * spec.dtype().byteSize();
      this.outer = outer(first, rank - (isPaged() ? 2 : 4));
    }
    this.path = segment(operands.path());
    this.counts = segment(operands.counts());
    this.lengths = segment(operands.lengths());
    this.newLengths = segment(operands.newLengths());
    this.status = segment(operands.status());
    this.slots = segment(operands.slots());
    this.offsets = segment(operands.offsets());
    this.tableRows = segment(operands.tableRows());
    this.freed = segment(operands.freed());
    this.freedCounts = segment(operands.freedCounts());
    this.evicted = segment(operands.evicted());
    if (isPaged()) {
      takeSlots(operands);
    }
    stream.run(this, requests * Math.max(1, planes()), rowBytes * width);
  }

  private static MemorySegment segment(Buffer buffer) {
    return buffer == null ? null : HostDevice.segment(TypedMemory.of(buffer));
  }

  private static long outer(TypedMemory cache, int dimensions) {
    long outer = 1;
    for (int i = 0; i < dimensions; i++) {
      outer *= cache.shape().dim(i);
    }
    return outer;
  }

  private void takeSlots(KvCompaction.Operands operands) {
    TypedMemory slots = TypedMemory.of(operands.slots());
    if (addressing == CacheAddressing.SLOTS) {
      nodes = slots.shape().dim(0);
      return;
    }
    slotRows = slots.shape().dim(0);
    slotColumns = slots.shape().dim(1);
    slotStride = slots.rowStride();
    nodes =
        operands.freed() != null
            ? operands.freed().shape().dim(0)
            : operands.evicted() != null ? operands.evicted().shape().dim(0) : Integer.MAX_VALUE;
  }

  private boolean isPaged() {
    return addressing != CacheAddressing.CONTIGUOUS;
  }

  /** Heads of all caches of a request. */
  private long planes() {
    return rowBytes == 0 ? 0 : cacheCount * outer * heads;
  }

  @Override
  protected void clear() {
    Arrays.fill(caches, 0, cacheCount, null);
    path = null;
    counts = null;
    lengths = null;
    slots = null;
    offsets = null;
    tableRows = null;
    newLengths = null;
    status = null;
    freed = null;
    freedCounts = null;
    evicted = null;
  }

  /**
   * Copies rows of a plane, one after the other.
   *
   * @param base the byte where row 0 begins
   * @param moves byte distances from there, of source and target in turn
   * @param count of rows to copy
   */
  protected abstract void move(MemorySegment cache, long base, long[] moves, int count);

  @Override
  protected final void run(int worker, long from, long to) {
    long planes = planes();
    long perRequest = Math.max(1, planes);
    for (long u = from; u < to; ) {
      long b = u / perRequest;
      long end = Math.min(to, (b + 1) * perRequest);
      TreeStatus found = examine(b);
      if (u == b * perRequest) {
        writeOutcome(b, found);
      }
      if (found == TreeStatus.OK && planes > 0) {
        int count = listMoves(worker, b);
        for (long plane = u - b * perRequest; plane < end - b * perRequest; plane++) {
          move(caches[(int) (plane / (outer * heads))], base(b, plane), moves[worker], count);
        }
      }
      u = end;
    }
  }

  /** Where the rows of a request's plane begin in its cache. */
  private long base(long b, long plane) {
    long outerIndex = plane / heads % outer;
    long part = isPaged() ? outerIndex : (outerIndex * requests + b) * heads + plane % heads;
    return part * cacheRows * rowStride;
  }

  private int listMoves(int worker, long b) {
    int most = 2 * (int) width;
    if (moves[worker].length < most) {
      moves[worker] = new long[most];
    }
    long[] listed = moves[worker];
    int count = 0;
    for (long j = 0; j <= count(b); j++) {
      if (node(b, j) != j) {
        listed[2 * count] = row(b, node(b, j)) * rowStride;
        listed[2 * count + 1] = row(b, j) * rowStride;
        count++;
      }
    }
    return count;
  }

  private long count(long b) {
    return counts.get(JAVA_INT, b * NODE);
  }

  private long length(long b) {
    return lengths.get(JAVA_INT, b * NODE);
  }

  private long offset(long b) {
    return offsets.get(JAVA_INT, b * NODE);
  }

  private long node(long b, long j) {
    return path.get(JAVA_INT, (b * width + j) * NODE);
  }

  /** How many nodes a request of good offsets has. */
  private long nodes(long b) {
    return isPaged() ? offset(b + 1) - offset(b) : Integer.MAX_VALUE;
  }

  private long tableRow(long b) {
    return tableRows == null ? b : tableRows.get(JAVA_INT, b * NODE);
  }

  /** The row of the cache that a node has. */
  private long row(long b, long node) {
    return switch (addressing) {
      case CONTIGUOUS -> length(b) + node;
      case SLOTS -> slot(offset(b) + node);
      case TABLE -> slot(tableRow(b) * slotStride + length(b) + node);
    };
  }

  private long slot(long i) {
    return longSlots ? slots.get(JAVA_LONG, i * Long.BYTES) : slots.get(JAVA_INT, i * NODE);
  }

  /** What is wrong with a request; of several findings the first of the enum. */
  private TreeStatus examine(long b) {
    if (!hasGoodPlace(b)) {
      return TreeStatus.OFFSETS;
    }
    if (width == 0 || node(b, 0) == -1) {
      return TreeStatus.EMPTY;
    }
    long count = count(b);
    long last = Math.clamp(count, 0, width - 1);
    for (long j = 1; j <= last; j++) {
      if (node(b, j) <= node(b, j - 1)) {
        return TreeStatus.PARENT;
      }
    }
    // The path ascends, so its ends are its extremes.
    if (count != last || node(b, 0) < 0 || node(b, last) >= nodes(b)) {
      return TreeStatus.LINK;
    }
    return fits(b, count) ? TreeStatus.OK : TreeStatus.CAPACITY;
  }

  private boolean hasGoodPlace(long b) {
    long length = length(b);
    if (!isPaged()) {
      return length >= 0 && length <= cacheRows;
    }
    long start = offset(b);
    boolean good = length >= 0 && start >= 0 && start <= offset(b + 1) && offset(b + 1) <= nodes;
    for (long e = 0; e < b && good; e++) {
      good = offset(e) <= start;
    }
    return good
        && (addressing != CacheAddressing.TABLE || (tableRow(b) >= 0 && tableRow(b) < slotRows));
  }

  private boolean fits(long b, long count) {
    long length = length(b);
    if (length + count + 1 > Integer.MAX_VALUE) {
      return false;
    }
    if (!isPaged()) {
      return length + node(b, count) < cacheRows;
    }
    if (addressing == CacheAddressing.TABLE && length + nodes(b) > slotColumns) {
      return false;
    }
    for (long j = 0; j <= count; j++) {
      if (!isRow(row(b, node(b, j))) || !isRow(row(b, j))) {
        return false;
      }
    }
    return true;
  }

  private boolean isRow(long row) {
    return row >= 0 && row < cacheRows;
  }

  @SuppressWarnings("EnumOrdinal") // the numbers that users read
  private void writeOutcome(long b, TreeStatus found) {
    boolean good = found == TreeStatus.OK;
    long length = length(b);
    long end = length + count(b) + 1;
    status.set(JAVA_INT, b * NODE, found.ordinal());
    newLengths.set(JAVA_INT, b * NODE, (int) (good ? end : length));
    long free = 0;
    if (good && freed != null) {
      long all = length + nodes(b);
      free = all - Math.min(Math.ceilDiv(end, page) * page, all);
    }
    if (freed != null) {
      freedCounts.set(JAVA_INT, b * NODE, (int) free);
    }
    if (found == TreeStatus.OFFSETS || !isPaged()) {
      return;
    }
    long first = offset(b);
    long n = nodes(b);
    for (long i = 0; i < n && freed != null; i++) {
      setFreed(first + i, i < free ? row(b, n - free + i) : -1);
    }
    long keptFrom = (end - 1) / page * page - length;
    long j = 0;
    for (long i = 0; i < n && evicted != null; i++) {
      boolean accepted = good && j <= count(b) && node(b, j) == i;
      j += accepted ? 1 : 0;
      boolean kept = i >= keptFrom && i < keptFrom + page;
      evicted.set(JAVA_BYTE, first + i, (byte) (good && !kept && !accepted ? 1 : 0));
    }
  }

  private void setFreed(long i, long slot) {
    if (longSlots) {
      freed.set(JAVA_LONG, i * Long.BYTES, slot);
    } else {
      freed.set(JAVA_INT, i * NODE, (int) slot);
    }
  }
}
