package io.quern.internal.cpu;

import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import io.quern.internal.device.TypedMemory;
import io.quern.internal.kernel.Operator;
import io.quern.op.TreeMask;
import io.quern.op.TreeMaskFormat;
import io.quern.op.TreeStatus;
import java.lang.foreign.MemorySegment;

/** The operands of a {@code TreeMask}, and where each request is written. */
public abstract class TreeMaskTask extends TreeTask {
  /** Sums of elements stop here, so that they cannot overflow. */
  private static final long MOST_ELEMENTS = 1L << 62;

  private static final int F16_ONE = 0x3c00;
  private static final int F16_NEGATIVE_INFINITY = 0xfc00;
  private static final int F16_LOWEST = 0xfbff;

  private MemorySegment indptr;
  private MemorySegment status;
  private long requests;
  private long columns;
  private final long[] flatBegin; // of each worker's next request

  /** How nodes are written. */
  protected TreeMaskFormat format;

  /** Where the parents are. */
  protected MemorySegment parents;

  /** Where the mask goes. */
  protected MemorySegment out;

  /** Bytes of an element, and from one row to the next. */
  protected int elementBytes;

  protected long strideBytes;

  /** The bits of an element. */
  protected long visible;

  protected long hidden;

  protected TreeMaskTask(int workers) {
    flatBegin = new long[workers];
  }

  @Override
  protected final Operator operator() {
    return Operator.TREE_MASK;
  }

  /** Takes the operands of a call and runs it. */
  public final void run(HostStream stream, TreeMask.Spec spec, TreeMask.Operands operands) {
    requests = operands.offsets().shape().size() - 1;
    requests(operands.offsets(), operands.parent().shape().size(), operands.prefix());
    parents = segment(operands.parent());
    TypedMemory memory = TypedMemory.of(operands.out());
    out = segment(operands.out());
    format = spec.format();
    columns = memory.shape().last();
    elementBytes = memory.dtype().byteSize();
    strideBytes = memory.rowStride() * elementBytes;
    visible = visible(spec);
    hidden = hidden(spec);
    indptr = segment(operands.indptr());
    status = segment(operands.status());
    stream.run(this, requests, memory.shape().size() * elementBytes / Math.max(1, requests));
  }

  private static long visible(TreeMask.Spec spec) {
    if (spec.format() == TreeMaskFormat.ADDITIVE_INF
        || spec.format() == TreeMaskFormat.ADDITIVE_MIN) {
      return 0;
    }
    return switch (spec.out()) {
      case F32 -> Float.floatToRawIntBits(1);
      case F16 -> F16_ONE;
      case BF16 -> Float.floatToRawIntBits(1) >>> Short.SIZE;
      default -> 1;
    };
  }

  private static long hidden(TreeMask.Spec spec) {
    float value =
        switch (spec.format()) {
          case ADDITIVE_INF -> Float.NEGATIVE_INFINITY;
          case ADDITIVE_MIN -> -Float.MAX_VALUE;
          default -> 0;
        };
    int bits = Float.floatToRawIntBits(value);
    return switch (spec.out()) {
      case F32 -> bits;
      case F16 -> value == 0 ? 0 : Float.isInfinite(value) ? F16_NEGATIVE_INFINITY : F16_LOWEST;
      case BF16 -> bits >>> Short.SIZE;
      default -> 0;
    };
  }

  @Override
  protected void clear() {
    super.clear();
    parents = null;
    out = null;
    indptr = null;
    status = null;
  }

  @Override
  protected final void begin(int worker, long b) {
    if (!format.isFlat()) {
      return;
    }
    long sum = 0;
    for (long a = 0; a < b; a++) {
      sum = Math.min(MOST_ELEMENTS, sum + Math.min(MOST_ELEMENTS, flatElements(a)));
    }
    flatBegin[worker] = sum;
    if (requests == 0 && indptr != null) {
      indptr.set(JAVA_LONG, 0, 0);
    }
  }

  /** Elements of a request's own, whatever the offsets of others are. */
  private long flatElements(long b) {
    long first = offset(b);
    long count = offset(b + 1) - first;
    if (!isRange(first, first + count) || !isPrefix(prefix(b))) {
      return 0;
    }
    long elements = count * (prefix(b) + count);
    return format == TreeMaskFormat.PACKED ? Math.ceilDiv(elements, Byte.SIZE) : elements;
  }

  private static boolean isPrefix(long prefix) {
    return prefix >= 0 && prefix <= Integer.MAX_VALUE;
  }

  @Override
  @SuppressWarnings("EnumOrdinal") // the numbers that users see
  protected final void request(int worker, long b, long first, int count, TreeStatus offsets) {
    TreeStatus found = offsets == TreeStatus.OK ? check(parents, first, count) : offsets;
    boolean badPrefix = !isPrefix(prefix(b));
    if (format.isFlat()) {
      long begin = flatBegin[worker];
      long elements = flatElements(b);
      long end = Math.min(MOST_ELEMENTS, begin + Math.min(MOST_ELEMENTS, elements));
      flatBegin[worker] = end;
      boolean fits = end <= columns;
      found = worse(found, elements > 0 && !fits, TreeStatus.CAPACITY);
      found = worse(found, badPrefix, TreeStatus.PREFIX);
      if (fits && elements > 0) {
        writeFlat(worker, b, first, begin, elements, found == TreeStatus.OK);
      }
      if (indptr != null) {
        indptr.set(JAVA_LONG, b * Long.BYTES, begin);
        if (b == requests - 1) {
          indptr.set(JAVA_LONG, (b + 1) * Long.BYTES, end);
        }
      }
    } else if (format == TreeMaskFormat.BITS) {
      found = worse(found, count > columns * elementBytes * Byte.SIZE, TreeStatus.CAPACITY);
      writeBits(first, count, first * strideBytes, columns * elementBytes, found == TreeStatus.OK);
    } else {
      found = worse(found, !badPrefix && prefix(b) + count > columns, TreeStatus.CAPACITY);
      found = worse(found, badPrefix, TreeStatus.PREFIX);
      writeRows(
          first,
          count,
          prefix(b),
          first * strideBytes,
          strideBytes,
          columns,
          found == TreeStatus.OK);
    }
    status.set(JAVA_INT, b * Integer.BYTES, found.ordinal());
  }

  private void writeFlat(int worker, long b, long first, long begin, long elements, boolean good) {
    int count = (int) (offset(b + 1) - offset(b));
    if (format == TreeMaskFormat.PACKED) {
      writePacked(worker, first, count, prefix(b), begin, elements, good);
    } else {
      long width = prefix(b) + count;
      writeRows(first, count, prefix(b), begin, width, width, good);
    }
  }

  private static TreeStatus worse(TreeStatus found, boolean fails, TreeStatus otherwise) {
    return fails && (found == TreeStatus.OK || otherwise.compareTo(found) < 0) ? otherwise : found;
  }

  /**
   * Writes rows of elements.
   *
   * @param first where the nodes' parents begin
   * @param target the byte where the first row begins
   * @param stride bytes from one row to the next
   * @param columns elements of a row
   * @param good whether there is a tree; else nothing is visible
   */
  protected abstract void writeRows(
      long first, int count, long prefix, long target, long stride, long columns, boolean good);

  /** Writes rows of {@code bytes} bytes, {@link #strideBytes} apart. */
  protected abstract void writeBits(long first, int count, long target, long bytes, boolean good);

  /** Writes all elements of a request as bits. */
  protected abstract void writePacked(
      int worker, long first, int count, long prefix, long target, long bytes, boolean good);
}
