package io.quern.internal.cpu;

import static java.lang.foreign.ValueLayout.JAVA_INT;

import io.quern.InvalidDataException.Kind;
import io.quern.internal.device.QueueStream;
import io.quern.internal.device.TypedMemory;
import io.quern.internal.kernel.Operator;
import io.quern.internal.kernel.PartitionKernel;
import io.quern.op.IndexPolicy;
import io.quern.op.Partition;
import java.lang.foreign.MemorySegment;
import java.util.Arrays;

/**
 * {@code Partition} of both CPU back ends: a counting sort, which has one result. What is read and
 * written in order goes through arrays, a chunk at a time.
 */
public final class HostPartition implements PartitionKernel {
  private static final int CHUNK = 2048;

  private final Partition.Spec spec;

  public HostPartition(Partition.Spec spec) {
    this.spec = spec;
  }

  @Override
  public long workspaceBytes(long batch) {
    return 0;
  }

  @Override
  public void run(QueueStream stream, Partition.Operands operands) {
    HostStream host = (HostStream) stream;
    Task task = host.task(Task.class, workers -> new Task());
    task.chunks = host.kept(Chunks[].class, Chunks::ofEach);
    task.spec = spec;
    task.key = HostDevice.segment(TypedMemory.of(operands.key()));
    task.perm = HostDevice.segment(TypedMemory.of(operands.perm()));
    task.offsets = HostDevice.segment(TypedMemory.of(operands.offsets()));
    task.inverse =
        operands.inverse() == null ? null : HostDevice.segment(TypedMemory.of(operands.inverse()));
    host.run(task, operands.key().shape().dim(0), (spec.count() + spec.keys()) * 2 * Integer.BYTES);
  }

  /** Of one worker. */
  private static final class Chunks {
    /** Keys, −1 of what is dropped, and then places. */
    private final int[] elements = new int[CHUNK];

    private final int[] kept = new int[CHUNK];

    private static Chunks[] ofEach(int workers) {
      Chunks[] chunks = new Chunks[workers];
      Arrays.setAll(chunks, i -> new Chunks());
      return chunks;
    }
  }

  private static final class Task extends RowTask {
    private Chunks[] chunks;
    private Partition.Spec spec;
    private MemorySegment key;
    private MemorySegment perm;
    private MemorySegment offsets;
    private MemorySegment inverse;

    @Override
    protected Operator operator() {
      return Operator.PARTITION;
    }

    @Override
    protected void clear() {
      key = null;
      perm = null;
      offsets = null;
      inverse = null;
    }

    @Override
    protected void run(int worker, long from, long to) {
      for (long row = from; row < to; row++) {
        long first = row * spec.count();
        long starts = row * (spec.keys() + 1) * Integer.BYTES;
        int sum =
            spec.keys() == 1
                ? keep(chunks[worker], first, starts)
                : sort(chunks[worker], first, starts);
        fill(chunks[worker].kept, first, sum);
      }
    }

    /** A row of one key: what is kept goes to the front, without a branch on what is. */
    private int keep(Chunks chunks, long first, long starts) {
      int[] kept = chunks.kept;
      int sum = 0;
      for (long from = 0; from < spec.count(); from += CHUNK) {
        int n = load(chunks.elements, first, from);
        int more = pack(chunks.elements, kept, (int) from, sum, n);
        MemorySegment.copy(kept, 0, perm, JAVA_INT, (first + sum) * Integer.BYTES, more);
        storeInverse(chunks.elements, first, from, n);
        sum += more;
      }
      offsets.set(JAVA_INT, starts, 0);
      offsets.set(JAVA_INT, starts + Integer.BYTES, sum);
      return sum;
    }

    /**
     * Makes places of keys 0 and −1, lists the elements of key 0, and returns how many they are.
     */
    private static int pack(int[] elements, int[] kept, int from, int sum, int n) {
      int more = 0;
      for (int i = 0; i < n; i++) {
        int dropped = elements[i]; // −1, all bits, or 0
        kept[more] = from + i;
        elements[i] = sum + more | dropped;
        more += dropped + 1;
      }
      return more;
    }

    /**
     * Sorts a row, with its offsets as the only scratch that grows with the keys. The entry behind
     * a key's own counts its elements, then says where the next of them goes, and ends as where the
     * next key begins.
     *
     * @param first the row's first element in the whole batch
     * @param starts at which byte the row's offsets are
     */
    private int sort(Chunks chunks, long first, long starts) {
      int[] elements = chunks.elements;
      int keys = (int) spec.keys();
      for (int e = 0; e <= keys; e++) {
        offsets.set(JAVA_INT, starts + (long) e * Integer.BYTES, 0);
      }
      for (long from = 0; from < spec.count(); from += CHUNK) {
        count(offsets, starts, elements, load(elements, first, from));
      }
      int sum = 0;
      for (int e = 1; e <= keys; e++) {
        long here = starts + (long) e * Integer.BYTES;
        int counted = offsets.get(JAVA_INT, here);
        offsets.set(JAVA_INT, here, sum);
        sum += counted;
      }
      for (long from = 0; from < spec.count(); from += CHUNK) {
        int n = load(elements, first, from);
        place(offsets, starts, perm, first, elements, (int) from, n);
        storeInverse(elements, first, from, n);
      }
      return sum;
    }

    private static void count(MemorySegment offsets, long starts, int[] elements, int n) {
      MemorySegment counts = NativeRows.known(offsets);
      for (int i = 0; i < n; i++) {
        if (elements[i] >= 0) {
          long next = starts + (elements[i] + 1L) * Integer.BYTES;
          counts.set(JAVA_INT, next, counts.get(JAVA_INT, next) + 1);
        }
      }
    }

    /** Puts elements into perm, and makes places of their keys. */
    private static void place(
        MemorySegment offsets,
        long starts,
        MemorySegment perm,
        long first,
        int[] elements,
        int from,
        int n) {
      MemorySegment places = NativeRows.known(offsets);
      MemorySegment out = NativeRows.known(perm);
      for (int i = 0; i < n; i++) {
        if (elements[i] >= 0) {
          long next = starts + (elements[i] + 1L) * Integer.BYTES;
          int place = places.get(JAVA_INT, next);
          places.set(JAVA_INT, next, place + 1);
          out.set(JAVA_INT, (first + place) * Integer.BYTES, from + i);
          elements[i] = place;
        }
      }
    }

    /** Reads a chunk of a row's keys, with −1 for what is dropped, and returns how many. */
    private int load(int[] elements, long first, long from) {
      int n = (int) Math.min(CHUNK, spec.count() - from);
      MemorySegment.copy(key, JAVA_INT, (first + from) * Integer.BYTES, elements, 0, n);
      int keys = (int) spec.keys();
      for (int i = 0; i < n; i++) {
        if (Integer.compareUnsigned(elements[i], keys) >= 0) {
          elements[i] = resolve(elements[i], first + from + i);
        }
      }
      return n;
    }

    private void storeInverse(int[] places, long first, long from, int n) {
      if (inverse != null) {
        MemorySegment.copy(places, 0, inverse, JAVA_INT, (first + from) * Integer.BYTES, n);
      }
    }

    /** Puts −1 into what is left of perm behind {@code sum} elements. */
    private void fill(int[] chunk, long first, int sum) {
      Arrays.fill(chunk, -1);
      for (long from = sum; from < spec.count(); from += CHUNK) {
        int n = (int) Math.min(CHUNK, spec.count() - from);
        MemorySegment.copy(chunk, 0, perm, JAVA_INT, (first + from) * Integer.BYTES, n);
      }
    }

    /** What a key outside the range stands for, −1 if its element is dropped. */
    private int resolve(int e, long position) {
      if (e == -1) {
        return -1;
      }
      if (spec.policy() == IndexPolicy.FAIL) {
        report(Kind.INDEX, position, e, spec.keys());
      }
      return spec.policy() == IndexPolicy.CLAMP
          ? e < 0 ? (int) Math.min(0, spec.keys() - 1) : (int) spec.keys() - 1
          : -1;
    }
  }
}
