package io.quern.internal.scalar;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_INT;

import io.quern.internal.cpu.TreeOutputsTask;
import io.quern.internal.cpu.TreeTask;
import io.quern.op.TreeStatus;
import java.lang.foreign.MemorySegment;

/** What follows from the parents of one tree, node by node. */
final class ScalarTreeOutputs implements TreeOutputsTask.Writer {
  @Override
  public int write(TreeOutputsTask task, int worker, long b, long first, int count, long prefix) {
    MemorySegment parents = task.parents;
    TreeStatus found = TreeTask.check(parents, first, count);
    if (found != TreeStatus.OK) {
      return TreeOutputsTask.Writer.refuse(found);
    }
    int leaves = 0;
    int deepest = 0;
    for (int i = 0; i < count; i++) {
      leaves += firstChild(parents, first, count, i) < 0 ? 1 : 0;
      deepest = Math.max(deepest, depth(parents, first, i));
    }
    if (!task.hasRoom(count, leaves, deepest)) {
      return TreeOutputsTask.Writer.refuse(TreeStatus.CAPACITY);
    }
    long path = 0;
    for (int i = 0; i < count; i++) {
      long row = first + i;
      int depth = depth(parents, first, i);
      if (task.depth != null) {
        task.depth.set(JAVA_INT, row * Integer.BYTES, depth);
      }
      if (task.positions != null) {
        task.setPosition(row, prefix + depth);
      }
      if (task.firstChild != null) {
        task.firstChild.set(JAVA_INT, row * Integer.BYTES, firstChild(parents, first, count, i));
      }
      if (task.nextSibling != null) {
        task.nextSibling.set(JAVA_INT, row * Integer.BYTES, nextSibling(parents, first, count, i));
      }
      if (task.bits != null) {
        writeBits(parents, first, i, task.bits, row * task.bitsStride, task.bitsBytes);
      }
      if (task.paths != null && firstChild(parents, first, count, i) < 0) {
        long target = (b * task.maxLeaves + path++) * task.pathWidth;
        int at = i;
        for (long d = task.pathWidth - 1; d >= 0; d--) {
          boolean above = d <= depth;
          task.paths.set(JAVA_INT, (target + d) * Integer.BYTES, above ? at : -1);
          at = above ? parent(parents, first, at) : at;
        }
      }
    }
    if (task.paths != null) {
      task.clearPaths(b, path);
    }
    return leaves;
  }

  /** Writes one row of ancestor bits. */
  static void writeBits(
      MemorySegment parents, long first, int i, MemorySegment out, long target, long bytes) {
    for (long at = 0; at < bytes; at++) {
      int value = 0;
      for (int bit = 0; bit < Byte.SIZE; bit++) {
        value |= sees(parents, first, i, at * Byte.SIZE + bit) ? 1 << bit : 0;
      }
      out.set(JAVA_BYTE, target + at, (byte) value);
    }
  }

  /** Whether node {@code j} is node {@code i} or an ancestor of it. */
  static boolean sees(MemorySegment parents, long first, int i, long j) {
    int at = i;
    while (at > j) {
      at = parent(parents, first, at);
    }
    return at == j;
  }

  private static int parent(MemorySegment parents, long first, int i) {
    return parents.get(JAVA_INT, (first + i) * Integer.BYTES);
  }

  private static int depth(MemorySegment parents, long first, int i) {
    int depth = 0;
    for (int at = i; at > 0; at = parent(parents, first, at)) {
      depth++;
    }
    return depth;
  }

  private static int firstChild(MemorySegment parents, long first, int count, int i) {
    return nextWithParent(parents, first, count, i + 1, i);
  }

  private static int nextSibling(MemorySegment parents, long first, int count, int i) {
    return i == 0 ? -1 : nextWithParent(parents, first, count, i + 1, parent(parents, first, i));
  }

  private static int nextWithParent(
      MemorySegment parents, long first, int count, int from, int wanted) {
    for (int j = from; j < count; j++) {
      if (parent(parents, first, j) == wanted) {
        return j;
      }
    }
    return -1;
  }
}
