package io.quern.internal.cpu;

import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import io.quern.Buffer;
import io.quern.DType;
import io.quern.InvalidDataException.Kind;
import io.quern.internal.device.TypedMemory;
import io.quern.op.EmbeddingGather;
import io.quern.op.IndexPolicy;
import java.lang.foreign.MemorySegment;
import java.util.Arrays;

/**
 * A task that reads rows of tables by index. It turns an index into where the row begins, or into
 * one of the negative answers below, and reports bad indices under FAIL.
 */
public abstract class IndexedTask extends RowTask {
  /** The id is −1: there is no row. */
  protected static final long NO_ROW = -1;

  /** A bad index that stands for a row of zeros. */
  protected static final long ZERO_ROW = -2;

  /** A bad index that is passed over. */
  protected static final long SKIPPED = -3;

  /** A bad index that was reported. */
  protected static final long FAILED = -4;

  private final MemorySegment[] tables = new MemorySegment[EmbeddingGather.MAX_TABLES];
  private final long[] vocabs = new long[EmbeddingGather.MAX_TABLES];
  private final long[] strideBytes = new long[EmbeddingGather.MAX_TABLES];
  private int tableCount;
  private MemorySegment ids;
  private boolean longIds;
  private MemorySegment tableIds;
  private IndexPolicy policy;

  /**
   * Takes the indices of a call, whose tables follow.
   *
   * @param ids null: each position is its own id
   */
  protected final void index(Buffer ids, Buffer tableIds, IndexPolicy policy) {
    tableCount = 0;
    this.ids = ids == null ? null : HostDevice.segment(TypedMemory.of(ids));
    this.longIds = ids != null && ids.dtype() == DType.I64;
    this.tableIds = tableIds == null ? null : HostDevice.segment(TypedMemory.of(tableIds));
    this.policy = policy;
  }

  /** Takes the next table. */
  protected final void addTable(Buffer table) {
    TypedMemory memory = TypedMemory.of(table);
    tables[tableCount] = HostDevice.segment(memory);
    vocabs[tableCount] = memory.shape().dim(0);
    strideBytes[tableCount] = memory.rowStride() * memory.dtype().byteSize();
    tableCount++;
  }

  @Override
  protected void clear() {
    Arrays.fill(tables, 0, tableCount, null);
    ids = null;
    tableIds = null;
  }

  /** The memory of a table. */
  protected final MemorySegment table(long number) {
    return tables[(int) number];
  }

  /** The policy of the call. */
  protected final IndexPolicy policy() {
    return policy;
  }

  /** The id at a position. */
  protected final long id(long position) {
    if (ids == null) {
      return position;
    }
    return longIds
        ? ids.get(JAVA_LONG, position * Long.BYTES)
        : ids.get(JAVA_INT, position * Integer.BYTES);
  }

  /** Which table position {@code i} of the table ids asks for, or a negative answer. */
  protected final long tableNumber(long i) {
    if (tableIds == null) {
      return 0;
    }
    int number = tableIds.get(JAVA_INT, i * Integer.BYTES);
    return number >= 0 && number < tableCount
        ? number
        : outside(Kind.TABLE_ID, i, number, tableCount);
  }

  /**
   * The byte where the row of {@code id}, found at that position, begins in its table, or a
   * negative answer.
   */
  protected final long row(long table, long position, long id) {
    if (id == -1) {
      return NO_ROW;
    }
    int t = (int) table;
    long vocab = vocabs[t];
    if (Long.compareUnsigned(id, vocab) < 0) {
      return id * strideBytes[t];
    }
    long valid = outside(Kind.INDEX, position, id, vocab);
    return valid < 0 ? valid : valid * strideBytes[t];
  }

  private long outside(Kind kind, long position, long value, long limit) {
    return switch (policy) {
      case FAIL -> {
        report(kind, position, value, limit);
        yield FAILED;
      }
      case ZERO -> ZERO_ROW;
      case CLAMP -> limit == 0 ? ZERO_ROW : value < 0 ? 0 : limit - 1;
      case SKIP -> SKIPPED;
    };
  }
}
