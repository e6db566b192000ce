package io.quern.internal.simd;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_INT_UNALIGNED;
import static java.lang.foreign.ValueLayout.JAVA_LONG_UNALIGNED;

import io.quern.internal.cpu.TreeOutputsTask;
import io.quern.op.TreeStatus;
import java.lang.foreign.MemorySegment;
import java.util.Arrays;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.VectorMask;
import jdk.incubator.vector.VectorOperators;

/**
 * What follows from the parents of one tree. A node's depth and ancestors are its parent's and one
 * more, links come from the last node to the first; both on arrays, from which the outputs are then
 * stored. A chain needs no steps.
 */
final class SimdTreeOutputs implements TreeOutputsTask.Writer {
  private static final int LANES = Species.LANES;

  private final Scratch[] scratches;

  private SimdTreeOutputs(int workers) {
    scratches = new Scratch[workers];
    Arrays.setAll(scratches, i -> new Scratch());
  }

  static SimdTreeOutputs forWorkers(int workers) {
    return new SimdTreeOutputs(workers);
  }

  /** What one worker computes in, as long as the largest tree so far. */
  private static final class Scratch {
    private int[] parent = new int[0];
    private int[] depth = new int[0];
    private int[] first = new int[0];
    private int[] next = new int[0];
    private long[] words = new long[0];

    void reserve(int count) {
      if (parent.length < count) {
        int length = Math.max(Long.SIZE, count);
        parent = new int[length];
        depth = new int[length];
        first = new int[length];
        next = new int[length];
        words = new long[Long.SIZE]; // of trees that fit into one
      }
    }
  }

  @Override
  public int write(TreeOutputsTask task, int worker, long b, long first, int count, long prefix) {
    Scratch scratch = scratches[worker];
    scratch.reserve(count);
    MemorySegment.copy(task.parents, JAVA_INT, first * Integer.BYTES, scratch.parent, 0, count);
    TreeStatus found = check(scratch.parent, count);
    if (found != TreeStatus.OK) {
      return TreeOutputsTask.Writer.refuse(found);
    }
    boolean oneWord = count <= Long.SIZE && task.bitsBytes == Long.BYTES;
    boolean leavesMatter = task.paths != null || task.leafCount != null;
    int leaves = 0;
    if (isChain(scratch.parent, count)) {
      chain(scratch.depth, scratch.first, scratch.next, count);
      if (oneWord) {
        wordsOfChain(scratch.words, count);
      }
      leaves = Math.min(1, count);
    } else {
      if (oneWord) {
        depthsAndWords(scratch.parent, scratch.depth, scratch.words, count);
      } else {
        depths(scratch.parent, scratch.depth, count);
      }
      links(scratch.parent, scratch.first, scratch.next, count);
      leaves = leavesMatter ? leaves(scratch.first, count) : 0;
    }
    int deepest = task.paths == null ? 0 : max(scratch.depth, count);
    if (!task.hasRoom(count, leaves, deepest)) {
      return TreeOutputsTask.Writer.refuse(TreeStatus.CAPACITY);
    }
    store(task, scratch, first, count, prefix);
    if (task.bits != null) {
      if (oneWord) {
        storeWords(scratch.words, task.bits, first * task.bitsStride, task.bitsStride, count);
      } else {
        writeBits(
            scratch.parent,
            task.bits,
            first * task.bitsStride,
            task.bitsBytes,
            task.bitsStride,
            count);
      }
    }
    if (task.paths != null) {
      writePaths(task, scratch, b, count);
      task.clearPaths(b, leaves);
    }
    return leaves;
  }

  private static TreeStatus check(int[] parent, int count) {
    if (count > 0 && parent[0] != -1) {
      return TreeStatus.ROOT;
    }
    int i = Math.min(1, count);
    boolean good = true;
    IntVector at = IntVector.broadcast(Species.INT, i).addIndex(1);
    for (; i <= count - LANES; i += LANES) {
      IntVector p = IntVector.fromArray(Species.INT, parent, i);
      // One unsigned comparison: a negative parent is a large one.
      good &= p.compare(VectorOperators.ULT, at).allTrue();
      at = at.add(LANES);
    }
    for (; i < count; i++) {
      good &= Integer.compareUnsigned(parent[i], i) < 0;
    }
    return good ? TreeStatus.OK : TreeStatus.PARENT;
  }

  private static boolean isChain(int[] parent, int count) {
    int i = 0;
    IntVector at = IntVector.broadcast(Species.INT, -1).addIndex(1);
    for (; i <= count - LANES; i += LANES) {
      if (!IntVector.fromArray(Species.INT, parent, i).eq(at).allTrue()) {
        return false;
      }
      at = at.add(LANES);
    }
    for (; i < count; i++) {
      if (parent[i] != i - 1) {
        return false;
      }
    }
    return true;
  }

  /** Depths and links of a chain. */
  private static void chain(int[] depth, int[] first, int[] next, int count) {
    for (int i = 0; i < count; i++) {
      depth[i] = i;
      first[i] = i + 1;
      next[i] = -1;
    }
    if (count > 0) {
      first[count - 1] = -1;
    }
  }

  private static void wordsOfChain(long[] words, int count) {
    for (int i = 0; i < count; i++) {
      words[i] = -1L >>> (Long.SIZE - 1 - i);
    }
  }

  private static void depths(int[] parent, int[] depth, int count) {
    depth[0] = 0;
    for (int i = 1; i < count; i++) {
      depth[i] = depth[parent[i]] + 1;
    }
  }

  private static void depthsAndWords(int[] parent, int[] depth, long[] words, int count) {
    depth[0] = 0;
    words[0] = 1;
    for (int i = 1; i < count; i++) {
      int p = parent[i];
      depth[i] = depth[p] + 1;
      words[i] = words[p] | 1L << i;
    }
  }

  /** From the last child to the first, so that siblings ascend. */
  private static void links(int[] parent, int[] first, int[] next, int count) {
    Arrays.fill(first, 0, count, -1);
    for (int i = count - 1; i > 0; i--) {
      int p = parent[i];
      next[i] = first[p];
      first[p] = i;
    }
    next[0] = -1;
  }

  private static int leaves(int[] first, int count) {
    int leaves = 0;
    for (int i = 0; i < count; i++) {
      leaves += first[i] >>> (Integer.SIZE - 1);
    }
    return leaves;
  }

  private static int max(int[] depth, int count) {
    int max = 0;
    for (int i = 0; i < count; i++) {
      max = Math.max(max, depth[i]);
    }
    return max;
  }

  private static void store(
      TreeOutputsTask task, Scratch scratch, long first, int count, long prefix) {
    long target = first * Integer.BYTES;
    if (task.depth != null) {
      copy(scratch.depth, task.depth, target, count);
    }
    if (task.firstChild != null) {
      copy(scratch.first, task.firstChild, target, count);
    }
    if (task.nextSibling != null) {
      copy(scratch.next, task.nextSibling, target, count);
    }
    if (task.positions == null) {
      return;
    }
    if (task.longPositions) {
      for (int i = 0; i < count; i++) {
        task.setPosition(first + i, prefix + scratch.depth[i]);
      }
    } else {
      addAndCopy(scratch.depth, (int) prefix, task.positions, target, count);
    }
  }

  private static void copy(int[] values, MemorySegment out, long target, int count) {
    MemorySegment.copy(values, 0, out, JAVA_INT, target, count);
  }

  private static void addAndCopy(
      int[] values, int addend, MemorySegment out, long target, int count) {
    int i = 0;
    for (; i <= count - LANES; i += LANES) {
      IntVector.fromArray(Species.INT, values, i)
          .add(addend)
          .intoMemorySegment(out, target + (long) i * Integer.BYTES, Species.ORDER);
    }
    if (i < count) {
      VectorMask<Integer> rest = Species.INT.indexInRange(i, count);
      IntVector.fromArray(Species.INT, values, i, rest)
          .add(addend)
          .intoMemorySegment(out, target + (long) i * Integer.BYTES, Species.ORDER, rest);
    }
  }

  private static void storeWords(
      long[] words, MemorySegment bits, long target, long stride, int count) {
    if (stride == Long.BYTES) {
      MemorySegment.copy(words, 0, bits, JAVA_LONG_UNALIGNED, target, count);
      return;
    }
    for (int i = 0; i < count; i++) {
      bits.set(JAVA_LONG_UNALIGNED, target + i * stride, words[i]);
    }
  }

  /** Rows of bits of any length: a copy of the parent's and one bit more. */
  static void writeBits(
      int[] parent, MemorySegment bits, long target, long bytes, long stride, int count) {
    if (count == 0) {
      return;
    }
    Tile.storeZeros(bits, target, bytes);
    bits.set(JAVA_BYTE, target, (byte) 1);
    for (int i = 1; i < count; i++) {
      long row = target + i * stride;
      long above = target + parent[i] * stride;
      if (bytes == Integer.BYTES) {
        bits.set(JAVA_INT_UNALIGNED, row, bits.get(JAVA_INT_UNALIGNED, above) | 1 << i);
      } else {
        MemorySegment.copy(bits, above, bits, row, bytes);
        long at = row + (i >> 3);
        bits.set(JAVA_BYTE, at, (byte) (bits.get(JAVA_BYTE, at) | 1 << (i & 7)));
      }
    }
  }

  private static void writePaths(TreeOutputsTask task, Scratch scratch, long b, int count) {
    int[] parent = scratch.parent;
    MemorySegment paths = task.paths;
    long width = task.pathWidth;
    long target = b * task.maxLeaves * width * Integer.BYTES;
    for (int leaf = 0; leaf < count; leaf++) {
      if (scratch.first[leaf] >= 0) {
        continue;
      }
      int at = leaf;
      for (int d = scratch.depth[leaf]; d >= 0; d--) {
        paths.set(JAVA_INT, target + (long) d * Integer.BYTES, at);
        at = parent[at];
      }
      for (long d = scratch.depth[leaf] + 1L; d < width; d++) {
        paths.set(JAVA_INT, target + d * Integer.BYTES, -1);
      }
      target += width * Integer.BYTES;
    }
  }
}
