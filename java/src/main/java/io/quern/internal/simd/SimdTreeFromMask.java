package io.quern.internal.simd;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_INT;

import io.quern.internal.cpu.HostStream;
import io.quern.internal.cpu.TreeFromMaskTask;
import io.quern.internal.device.QueueStream;
import io.quern.internal.kernel.TreeFromMaskKernel;
import io.quern.op.TreeFromMask;
import java.lang.foreign.MemorySegment;
import jdk.incubator.vector.ByteVector;
import jdk.incubator.vector.VectorMask;
import jdk.incubator.vector.VectorOperators;

/**
 * The parent is the highest node below that a row sees; the row has to see what the parent's does,
 * compared many columns at a time.
 */
final class SimdTreeFromMask implements TreeFromMaskKernel {
  private final TreeFromMask.Spec spec;

  SimdTreeFromMask(TreeFromMask.Spec spec) {
    this.spec = spec;
  }

  @Override
  public void run(QueueStream stream, TreeFromMask.Operands operands) {
    HostStream host = (HostStream) stream;
    host.task(Task.class, workers -> new Task())
        .run(host, spec, operands, host.kept(SimdTreeOutputs.class, SimdTreeOutputs::forWorkers));
  }

  private static final class Task extends TreeFromMaskTask {
    private static final int LANES = Species.BYTE.length();

    @Override
    protected boolean find(MemorySegment mask, long rows, long first, int count) {
      boolean tree = true;
      for (int i = 0; i < count; i++) {
        long row = rows + (long) i * count;
        int parent = lastSeen(mask, row, i);
        tree &= mask.get(JAVA_BYTE, row + i) != 0 && (i == 0 || parent >= 0);
        tree &= parent <= 0 || same(mask, row, rows + (long) parent * count, parent);
        parents.set(JAVA_INT, (first + i) * Integer.BYTES, parent);
      }
      return tree;
    }

    /** The highest column below {@code end} that is not 0, −1 for none. */
    private static int lastSeen(MemorySegment mask, long row, int end) {
      int at = end;
      while (at >= LANES) {
        at -= LANES;
        int lane =
            ByteVector.fromMemorySegment(Species.BYTE, mask, row + at, Species.ORDER)
                .compare(VectorOperators.NE, (byte) 0)
                .lastTrue();
        if (lane >= 0) {
          return at + lane;
        }
      }
      do {
        at--;
      } while (at >= 0 && mask.get(JAVA_BYTE, row + at) == 0);
      return at;
    }

    private static boolean same(MemorySegment mask, long a, long b, int count) {
      int j = 0;
      for (; j <= count - LANES; j += LANES) {
        VectorMask<Byte> one =
            ByteVector.fromMemorySegment(Species.BYTE, mask, a + j, Species.ORDER)
                .compare(VectorOperators.NE, (byte) 0);
        VectorMask<Byte> other =
            ByteVector.fromMemorySegment(Species.BYTE, mask, b + j, Species.ORDER)
                .compare(VectorOperators.NE, (byte) 0);
        if (one.xor(other).anyTrue()) {
          return false;
        }
      }
      for (; j < count; j++) {
        if ((mask.get(JAVA_BYTE, a + j) != 0) != (mask.get(JAVA_BYTE, b + j) != 0)) {
          return false;
        }
      }
      return true;
    }
  }
}
