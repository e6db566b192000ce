package io.quern.internal.cpu;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import io.quern.Buffer;
import io.quern.DType;
import io.quern.internal.device.TypedMemory;
import io.quern.op.TreeOutputs;
import io.quern.op.TreeStatus;
import java.lang.foreign.MemorySegment;

/**
 * The operands of what writes {@link TreeOutputs}, and what a request without a tree gets.
 * Subclasses find the parents; each back end has its way of writing the outputs, which it is given.
 */
public abstract class TreeOutputsTask extends TreeTask {
  /** Writes the outputs of requests that have a tree. */
  public interface Writer {
    /**
     * Checks the parents and writes what follows from them; nothing where something is wrong.
     *
     * @return the number of leaves, or {@link #refuse} of what is wrong
     */
    int write(TreeOutputsTask task, int worker, long b, long first, int count, long prefix);

    /** A status that is not OK as a negative number. */
    @SuppressWarnings("EnumOrdinal")
    static int refuse(TreeStatus status) {
      return ~status.ordinal();
    }
  }

  private Writer writer;

  /** Where the parents are read: an input, or {@link #parent}. */
  public MemorySegment parents;

  /** The outputs; null where one is not wanted. */
  public MemorySegment parent;

  public MemorySegment bits;
  public MemorySegment depth;
  public MemorySegment positions;
  public MemorySegment firstChild;
  public MemorySegment nextSibling;
  public MemorySegment paths;
  public MemorySegment leafCount;
  private MemorySegment status;

  /** Bytes of a row of bits, and from one to the next. */
  public long bitsBytes;

  public long bitsStride;

  /** Whether position ids are I64. */
  public boolean longPositions;

  /** Paths of a request, and nodes of a path. */
  public long maxLeaves;

  public long pathWidth;

  /** Takes the outputs of a call. */
  protected final void outputs(TreeOutputs out, Writer writer) {
    this.writer = writer;
    parent = segment(out.parent());
    bits = segment(out.bits());
    depth = segment(out.depth());
    positions = segment(out.positions());
    firstChild = segment(out.firstChild());
    nextSibling = segment(out.nextSibling());
    paths = segment(out.paths());
    leafCount = segment(out.leafCount());
    status = segment(out.status());
    parents = parent;
    if (bits != null) {
      TypedMemory memory = TypedMemory.of(out.bits());
      bitsBytes = memory.shape().last() * memory.dtype().byteSize();
      bitsStride = memory.rowStride() * memory.dtype().byteSize();
    }
    longPositions = positions != null && out.positions().dtype() == DType.I64;
    if (paths != null) {
      maxLeaves = out.paths().shape().dim(1);
      pathWidth = out.paths().shape().dim(2);
    }
  }

  /** Whether rows of bits and paths are long enough for a tree of that depth, and paths enough. */
  public final boolean hasRoom(int count, int leaves, int depth) {
    return (bits == null || count <= bitsBytes * Byte.SIZE)
        && (paths == null || count == 0 || (leaves <= maxLeaves && depth < pathWidth));
  }

  /** About how many bytes of output a request has. */
  protected static long bytesPerRequest(TreeOutputs out, long requests, long nodes) {
    Buffer bits = out.bits();
    long row = bits == null ? 0 : bits.shape().last() * bits.dtype().byteSize();
    return nodes / Math.max(1, requests) * (row + 4 * Integer.BYTES);
  }

  @Override
  protected void clear() {
    super.clear();
    writer = null;
    parents = null;
    parent = null;
    bits = null;
    depth = null;
    positions = null;
    firstChild = null;
    nextSibling = null;
    paths = null;
    leafCount = null;
    status = null;
  }

  /** Puts the parents of a request's nodes into {@link #parents}, if they are not there yet. */
  protected abstract TreeStatus find(int worker, long b, long first, int count);

  /** Told where a request turned out not to be OK. */
  protected void spoil(long b) {}

  @Override
  protected final void request(int worker, long b, long first, int count, TreeStatus offsets) {
    TreeStatus found = offsets == TreeStatus.OK ? find(worker, b, first, count) : offsets;
    int leaves =
        found == TreeStatus.OK
            ? writer.write(this, worker, b, first, count, prefix(b))
            : Writer.refuse(found);
    if (leaves < 0) {
      writeNeutral(b, first, count);
      spoil(b);
    }
    if (leafCount != null) {
      leafCount.set(JAVA_INT, b * Integer.BYTES, Math.max(0, leaves));
    }
    status.set(JAVA_INT, b * Integer.BYTES, leaves < 0 ? ~leaves : 0);
  }

  private void writeNeutral(long b, long first, int count) {
    for (long row = first; row < first + count; row++) {
      set(parent, row, -1);
      set(depth, row, 0);
      set(firstChild, row, -1);
      set(nextSibling, row, -1);
      if (positions != null) {
        setPosition(row, 0);
      }
      for (long at = 0; bits != null && at < bitsBytes; at++) {
        bits.set(JAVA_BYTE, row * bitsStride + at, (byte) 0);
      }
    }
    if (paths != null) {
      clearPaths(b, 0);
    }
  }

  /** Writes −1 into the paths of request {@code b} from a path on. */
  public final void clearPaths(long b, long from) {
    for (long e = from * pathWidth; e < maxLeaves * pathWidth; e++) {
      paths.set(JAVA_INT, (b * maxLeaves * pathWidth + e) * Integer.BYTES, -1);
    }
  }

  /** Writes a position id. */
  public final void setPosition(long row, long position) {
    if (longPositions) {
      positions.set(JAVA_LONG, row * Long.BYTES, position);
    } else {
      positions.set(JAVA_INT, row * Integer.BYTES, (int) position);
    }
  }

  private static void set(MemorySegment out, long row, int value) {
    if (out != null) {
      out.set(JAVA_INT, row * Integer.BYTES, value);
    }
  }
}
