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

/** {@code Partition} of both CPU back ends: a counting sort, which has one result. */
public final class HostPartition implements PartitionKernel {
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
    task.spec = spec;
    task.key = HostDevice.segment(TypedMemory.of(operands.key()));
    task.perm = HostDevice.segment(TypedMemory.of(operands.perm()));
    task.offsets = HostDevice.segment(TypedMemory.of(operands.offsets()));
    task.inverse =
        operands.inverse() == null ? null : HostDevice.segment(TypedMemory.of(operands.inverse()));
    host.run(task, operands.key().shape().dim(0), (spec.count() + spec.keys()) * 2 * Integer.BYTES);
  }

  private static final class Task extends RowTask {
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
        sort(row * spec.count(), row * spec.count() * Integer.BYTES, offsetOf(row, 0));
      }
    }

    private long offsetOf(long row, long key) {
      return (row * (spec.keys() + 1) + key) * Integer.BYTES;
    }

    /**
     * Sorts a row, with its offsets as the only scratch. The entry behind a key's own counts its
     * elements, then says where the next of them goes, and ends as where the next key begins.
     *
     * @param first the row's first element in the whole batch
     * @param at at which byte that is
     * @param starts at which byte the row's offsets are
     */
    private void sort(long first, long at, long starts) {
      int count = (int) spec.count();
      int keys = (int) spec.keys();
      for (int e = 0; e <= keys; e++) {
        offsets.set(JAVA_INT, starts + (long) e * Integer.BYTES, 0);
      }
      for (int n = 0; n < count; n++) {
        int e = key.get(JAVA_INT, at + (long) n * Integer.BYTES);
        if (Integer.compareUnsigned(e, keys) >= 0) {
          e = resolve(e, first + n);
        }
        if (e >= 0) {
          long next = starts + (e + 1L) * Integer.BYTES;
          offsets.set(JAVA_INT, next, offsets.get(JAVA_INT, next) + 1);
        }
      }
      int sum = 0;
      for (int e = 1; e <= keys; e++) {
        long here = starts + (long) e * Integer.BYTES;
        int counted = offsets.get(JAVA_INT, here);
        offsets.set(JAVA_INT, here, sum);
        sum += counted;
      }
      for (int n = 0; n < count; n++) {
        int e = key.get(JAVA_INT, at + (long) n * Integer.BYTES);
        if (Integer.compareUnsigned(e, keys) >= 0) {
          e = resolve(e, first + n);
        }
        int place = -1;
        if (e >= 0) {
          long next = starts + (e + 1L) * Integer.BYTES;
          place = offsets.get(JAVA_INT, next);
          offsets.set(JAVA_INT, next, place + 1);
          perm.set(JAVA_INT, at + (long) place * Integer.BYTES, n);
        }
        if (inverse != null) {
          inverse.set(JAVA_INT, at + (long) n * Integer.BYTES, place);
        }
      }
      for (int n = sum; n < count; n++) {
        perm.set(JAVA_INT, at + (long) n * Integer.BYTES, -1);
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
