package io.quern.internal.simd;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;
import static java.lang.foreign.ValueLayout.JAVA_LONG_UNALIGNED;
import static java.lang.foreign.ValueLayout.JAVA_SHORT;

import io.quern.internal.cpu.HostStream;
import io.quern.internal.cpu.TreeMaskTask;
import io.quern.internal.device.QueueStream;
import io.quern.internal.kernel.TreeMaskKernel;
import io.quern.op.TreeMask;
import java.lang.foreign.MemorySegment;
import java.util.Arrays;
import jdk.incubator.vector.LongVector;

/**
 * Row by row: the prefix is filled, the tree's part is the parent's row and the node itself. So no
 * row is looked at node by node, and the work is that of a copy.
 */
final class SimdTreeMask implements TreeMaskKernel {
  private final TreeMask.Spec spec;

  SimdTreeMask(TreeMask.Spec spec) {
    this.spec = spec;
  }

  @Override
  public void run(QueueStream stream, TreeMask.Operands operands) {
    HostStream host = (HostStream) stream;
    Task task = host.task(Task.class, Task::new);
    task.scratches = host.kept(Scratch[].class, Scratch::ofEach);
    task.run(host, spec, operands);
  }

  /** Rows of bits of one worker's tree, as long as the largest so far. */
  private static final class Scratch {
    private long[] words = new long[0];

    private static Scratch[] ofEach(int workers) {
      Scratch[] scratches = new Scratch[workers];
      Arrays.setAll(scratches, i -> new Scratch());
      return scratches;
    }
  }

  private static final class Task extends TreeMaskTask {
    private static final int VECTOR_BYTES = Species.LONG.vectorByteSize();

    private Scratch[] scratches;

    Task(int workers) {
      super(workers);
    }

    @Override
    protected void writeRows(
        long first, int count, long prefix, long target, long stride, long columns, boolean good) {
      long visibles = pattern(visible);
      long hiddens = pattern(hidden);
      if (!good) {
        for (int i = 0; i < count; i++) {
          fill(target + i * stride, columns * elementBytes, hidden, hiddens);
        }
        return;
      }
      long tree = prefix * elementBytes;
      long treeBytes = columns * elementBytes - tree;
      for (int i = 0; i < count; i++) {
        long row = target + i * stride;
        fill(row, tree, visible, visibles);
        if (i == 0) {
          fill(row + tree, treeBytes, hidden, hiddens);
        } else {
          long above = target + parent(first, i) * stride;
          MemorySegment.copy(out, above + tree, out, row + tree, treeBytes);
        }
        set(row + tree + (long) i * elementBytes, visible);
      }
    }

    private int parent(long first, int i) {
      return parents.get(JAVA_INT, (first + i) * Integer.BYTES);
    }

    /** An element's bits, repeated. */
    private long pattern(long element) {
      long pattern = element;
      for (int bits = elementBytes * Byte.SIZE; bits < Long.SIZE; bits *= 2) {
        long low = pattern & -1L >>> (Long.SIZE - bits);
        pattern = low | low << bits;
      }
      return pattern;
    }

    private void set(long at, long element) {
      switch (elementBytes) {
        case Byte.BYTES -> out.set(JAVA_BYTE, at, (byte) element);
        case Short.BYTES -> out.set(JAVA_SHORT, at, (short) element);
        case Integer.BYTES -> out.set(JAVA_INT, at, (int) element);
        default -> out.set(JAVA_LONG, at, element);
      }
    }

    private void fill(long target, long bytes, long element, long pattern) {
      if (bytes >= VECTOR_BYTES) {
        fill(out, target, bytes, pattern);
        return;
      }
      for (long at = 0; at < bytes; at += elementBytes) {
        set(target + at, element);
      }
    }

    /** The last store overlaps the one before; both hold the same elements. */
    private static void fill(MemorySegment out, long target, long bytes, long pattern) {
      LongVector vector = LongVector.broadcast(Species.LONG, pattern);
      for (long at = 0; at < bytes - VECTOR_BYTES; at += VECTOR_BYTES) {
        vector.intoMemorySegment(out, target + at, Species.ORDER);
      }
      vector.intoMemorySegment(out, target + bytes - VECTOR_BYTES, Species.ORDER);
    }

    @Override
    protected void writeBits(long first, int count, long target, long bytes, boolean good) {
      for (int i = 0; i < count; i++) {
        long row = target + i * strideBytes;
        if (!good || i == 0) {
          Tile.storeZeros(out, row, bytes);
        } else {
          MemorySegment.copy(out, target + parent(first, i) * strideBytes, out, row, bytes);
        }
        if (good) {
          long at = row + (i >> 3);
          out.set(JAVA_BYTE, at, (byte) (out.get(JAVA_BYTE, at) | 1 << (i & 7)));
        }
      }
    }

    @Override
    protected void writePacked(
        int worker, long first, int count, long prefix, long target, long bytes, boolean good) {
      if (!good) {
        Tile.storeZeros(out, target, bytes);
        return;
      }
      int words = (count + Long.SIZE - 1) / Long.SIZE;
      long[] rows = rows(scratches[worker], first, count, words);
      long ones = 0; // of the word being filled
      int used = 0;
      long at = target;
      for (int i = 0; i < count; i++) {
        int row = i * words;
        long left = prefix + count;
        long seen = prefix; // columns of the prefix yet to come
        for (int w = -1; left > 0; ) {
          int n;
          long piece;
          if (seen > 0) {
            n = (int) Math.min(Long.SIZE, seen);
            piece = -1L >>> (Long.SIZE - n);
            seen -= n;
          } else {
            n = (int) Math.min(Long.SIZE, left);
            piece = rows[row + ++w];
          }
          left -= n;
          ones |= piece << used;
          if (used + n >= Long.SIZE) {
            out.set(JAVA_LONG_UNALIGNED, at, ones);
            at += Long.BYTES;
            ones = used == 0 ? 0 : piece >>> (Long.SIZE - used);
            used += n - Long.SIZE;
          } else {
            used += n;
          }
        }
      }
      for (; at < target + bytes; at++) {
        out.set(JAVA_BYTE, at, (byte) ones);
        ones >>>= Byte.SIZE;
      }
    }

    private long[] rows(Scratch scratch, long first, int count, int words) {
      int size = Math.multiplyExact(count, words);
      if (scratch.words.length < size) {
        scratch.words = new long[size];
      }
      long[] rows = scratch.words;
      Arrays.fill(rows, 0, words, 0);
      rows[0] = 1;
      for (int i = 1; i < count; i++) {
        System.arraycopy(rows, parent(first, i) * words, rows, i * words, words);
        rows[i * words + (i >> 6)] |= 1L << i;
      }
      return rows;
    }
  }
}
