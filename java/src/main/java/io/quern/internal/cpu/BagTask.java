package io.quern.internal.cpu;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import io.quern.DType;
import io.quern.InvalidDataException.Kind;
import io.quern.internal.device.TypedMemory;
import io.quern.internal.kernel.Operator;
import io.quern.op.Combine;
import io.quern.op.EmbeddingBag;
import io.quern.op.EmptyBagPolicy;
import io.quern.op.IndexPolicy;
import java.lang.foreign.MemorySegment;

/** The operands of an {@code EmbeddingBag}, and the way from a bag to what has to be combined. */
public abstract class BagTask extends IndexedTask {
  private Operator operator;
  private MemorySegment offsets;
  private boolean longOffsets;
  private long count;
  private MemorySegment weights;
  private MemorySegment fallback;
  private long fallbackStride;
  private EmptyBagPolicy empty;
  private MemorySegment out;
  private long outStride;

  /** Elements of a row. */
  protected long dim;

  /** How rows become one. */
  protected Combine combine;

  @Override
  protected final Operator operator() {
    return operator;
  }

  /**
   * Takes the operands of a call.
   *
   * @param operator the operator this is a call of
   */
  public final void bag(Operator operator, EmbeddingBag.Spec spec, EmbeddingBag.Operands operands) {
    this.operator = operator;
    index(operands.ids(), operands.tableIds(), spec.policy());
    for (int i = 0; i < operands.tables().size(); i++) {
      addTable(operands.tables().get(i));
    }
    offsets = HostDevice.segment(TypedMemory.of(operands.offsets()));
    longOffsets = spec.offsets() == DType.I64;
    count =
        operands.ids() == null
            ? operands.tables().getFirst().shape().dim(0)
            : operands.ids().shape().size();
    weights =
        operands.weights() == null ? null : HostDevice.segment(TypedMemory.of(operands.weights()));
    if (operands.fallback() != null) {
      TypedMemory memory = TypedMemory.of(operands.fallback());
      fallback = HostDevice.segment(memory);
      fallbackStride =
          memory.shape().dim(0) == 1 ? 0 : memory.rowStride() * memory.dtype().byteSize();
    }
    TypedMemory memory = TypedMemory.of(operands.out());
    out = HostDevice.segment(memory);
    outStride = memory.rowStride() * memory.dtype().byteSize();
    dim = spec.dim();
    combine = spec.combine();
    empty = spec.empty();
  }

  @Override
  protected void clear() {
    super.clear();
    offsets = null;
    weights = null;
    fallback = null;
    out = null;
  }

  @Override
  protected final void run(int worker, long from, long to) {
    for (long bag = from; bag < to; bag++) {
      long start = offset(bag);
      long end = offset(bag + 1);
      long target = bag * outStride;
      if (start < 0 || start > count || end < start || end > count) {
        if (policy() == IndexPolicy.SKIP) {
          continue;
        }
        if (policy() != IndexPolicy.CLAMP) {
          if (policy() == IndexPolicy.FAIL) {
            boolean badStart = start < 0 || start > count;
            report(Kind.OFFSETS, bag, badStart ? start : end, count);
          }
          zero(out, target);
          continue;
        }
        start = Math.clamp(start, 0, count);
        end = Math.max(start, Math.clamp(end, 0, count));
      }
      long table = tableNumber(bag);
      switch (combine(worker, table, start, end, out, target)) {
        case WRITTEN -> {}
        case FAILED_BAG -> zero(out, target);
        case EMPTY_BAG -> {
          switch (empty) {
            case ZERO -> zero(out, target);
            case KEEP -> {}
            case FALLBACK -> copy(worker, fallback, bag * fallbackStride, out, target);
          }
        }
        default -> throw new AssertionError();
      }
    }
  }

  /** The row was written. */
  protected static final int WRITTEN = 0;

  /** A bad id was reported, so the row becomes zeros. */
  protected static final int FAILED_BAG = 1;

  /** No id counted. */
  protected static final int EMPTY_BAG = 2;

  /**
   * Combines positions {@code start} to {@code end} into the row at byte {@code target} of {@code
   * out}.
   *
   * @param table the table to read, or a negative answer that holds for every id of the bag
   * @return one of the three above
   */
  protected abstract int combine(
      int worker, long table, long start, long end, MemorySegment out, long target);

  /** Copies a row of the table's dtype, converted. */
  protected abstract void copy(
      int worker, MemorySegment from, long source, MemorySegment out, long target);

  /** Writes a row of zeros. */
  protected abstract void zero(MemorySegment out, long target);

  /** The row of the id at a position of a bag that reads {@code table}, or a negative answer. */
  protected final long rowAt(long table, long position) {
    long id = id(position);
    return table >= 0 ? row(table, position, id) : id == -1 ? NO_ROW : table;
  }

  /** Positions that bags may take. */
  public final long positions() {
    return count;
  }

  /** Whether weights were given. */
  protected final boolean isWeighted() {
    return weights != null;
  }

  /** The weight at a position. */
  protected final float weight(long position) {
    return weights.get(JAVA_FLOAT, position * Float.BYTES);
  }

  private long offset(long i) {
    return longOffsets
        ? offsets.get(JAVA_LONG, i * Long.BYTES)
        : offsets.get(JAVA_INT, i * Integer.BYTES);
  }
}
