package io.quern.internal.scalar;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_INT;

import io.quern.internal.cpu.HostStream;
import io.quern.internal.cpu.TreeFromMaskTask;
import io.quern.internal.device.QueueStream;
import io.quern.internal.kernel.TreeFromMaskKernel;
import io.quern.op.TreeFromMask;
import java.lang.foreign.MemorySegment;

/** The parent is the highest node below that a row sees, and sees whatever else the row sees. */
final class ScalarTreeFromMask implements TreeFromMaskKernel {
  private static final ScalarTreeOutputs OUTPUTS = new ScalarTreeOutputs();

  private final TreeFromMask.Spec spec;

  ScalarTreeFromMask(TreeFromMask.Spec spec) {
    this.spec = spec;
  }

  @Override
  public void run(QueueStream stream, TreeFromMask.Operands operands) {
    HostStream host = (HostStream) stream;
    host.task(Task.class, workers -> new Task()).run(host, spec, operands, OUTPUTS);
  }

  private static final class Task extends TreeFromMaskTask {
    @Override
    protected boolean find(MemorySegment mask, long rows, long first, int count) {
      boolean tree = true;
      for (int i = 0; i < count; i++) {
        long row = rows + (long) i * count;
        int parent = i - 1;
        while (parent >= 0 && !sees(mask, row + parent)) {
          parent--;
        }
        tree &= sees(mask, row + i) && (i == 0 || parent >= 0);
        for (int j = 0; j < parent; j++) {
          tree &= sees(mask, row + j) == sees(mask, rows + (long) parent * count + j);
        }
        parents.set(JAVA_INT, (first + i) * Integer.BYTES, parent);
      }
      return tree;
    }

    private static boolean sees(MemorySegment mask, long at) {
      return mask.get(JAVA_BYTE, at) != 0;
    }
  }
}
