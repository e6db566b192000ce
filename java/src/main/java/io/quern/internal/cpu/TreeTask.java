package io.quern.internal.cpu;

import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import io.quern.Buffer;
import io.quern.DType;
import io.quern.internal.device.TypedMemory;
import io.quern.op.TreeStatus;
import java.lang.foreign.MemorySegment;

/** A task whose rows are requests with a draft tree each: where a request's nodes are. */
public abstract class TreeTask extends RowTask {
  private MemorySegment offsets;
  private int equalNodes;
  private MemorySegment prefix;
  private boolean longPrefix;

  /** Nodes of all requests. */
  protected long nodes;

  /** Requests whose nodes are cut by offsets. */
  protected final void requests(Buffer offsets, long nodes, Buffer prefix) {
    this.offsets = segment(offsets);
    this.nodes = nodes;
    prefix(prefix);
  }

  /** Requests of so many nodes each. */
  protected final void requests(int equalNodes, Buffer prefix) {
    this.offsets = null;
    this.equalNodes = equalNodes;
    prefix(prefix);
  }

  private void prefix(Buffer prefix) {
    this.prefix = segment(prefix);
    this.longPrefix = prefix != null && prefix.dtype() == DType.I64;
  }

  /** The memory of an operand, which may be null. */
  protected static MemorySegment segment(Buffer buffer) {
    return buffer == null ? null : HostDevice.segment(TypedMemory.of(buffer));
  }

  @Override
  protected void clear() {
    offsets = null;
    prefix = null;
  }

  @Override
  protected final void run(int worker, long from, long to) {
    long highest = Long.MIN_VALUE; // of the offsets so far
    if (offsets != null) {
      for (long a = 0; a < from; a++) {
        highest = Math.max(highest, offset(a));
      }
    }
    begin(worker, from);
    for (long b = from; b < to; b++) {
      if (offsets == null) {
        request(worker, b, b * equalNodes, equalNodes, TreeStatus.OK);
        continue;
      }
      long first = offset(b);
      long end = offset(b + 1);
      highest = Math.max(highest, first);
      if (first == highest && isRange(first, end)) {
        request(worker, b, first, (int) (end - first), TreeStatus.OK);
      } else {
        request(worker, b, 0, 0, TreeStatus.OFFSETS);
      }
    }
  }

  /** Called before a worker computes requests from {@code b} on. */
  protected void begin(int worker, long b) {}

  /**
   * Computes one request.
   *
   * @param first its first row among all nodes
   * @param count its nodes
   * @param status OFFSETS, and no nodes, or OK
   */
  protected abstract void request(int worker, long b, long first, int count, TreeStatus status);

  /** An offset. */
  protected final long offset(long b) {
    return offsets.get(JAVA_INT, b * Integer.BYTES);
  }

  /** Whether the nodes between two offsets exist. */
  protected final boolean isRange(long first, long end) {
    return first >= 0 && first <= end && end <= nodes;
  }

  /** Tokens before the root. */
  protected final long prefix(long b) {
    if (prefix == null) {
      return 0;
    }
    return longPrefix
        ? prefix.get(JAVA_LONG, b * Long.BYTES)
        : prefix.get(JAVA_INT, b * Integer.BYTES);
  }

  /** What is wrong with the parents of {@code count} nodes. */
  public static TreeStatus check(MemorySegment parents, long first, int count) {
    if (count > 0 && parents.get(JAVA_INT, first * Integer.BYTES) != -1) {
      return TreeStatus.ROOT;
    }
    for (int i = 1; i < count; i++) {
      int parent = parents.get(JAVA_INT, (first + i) * Integer.BYTES);
      if (parent < 0 || parent >= i) {
        return TreeStatus.PARENT;
      }
    }
    return TreeStatus.OK;
  }
}
