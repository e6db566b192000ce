package io.quern.internal.scalar;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;

import io.quern.internal.cpu.DynamicTreeTask;
import io.quern.internal.cpu.HostStream;
import io.quern.internal.device.QueueStream;
import io.quern.internal.kernel.DynamicTreeKernel;
import io.quern.op.DynamicTree;

/** Selects a candidate if fewer than n − 1 others come before it. */
final class ScalarDynamicTree implements DynamicTreeKernel {
  private static final ScalarTreeOutputs OUTPUTS = new ScalarTreeOutputs();

  private final DynamicTree.Spec spec;

  ScalarDynamicTree(DynamicTree.Spec spec) {
    this.spec = spec;
  }

  @Override
  public void run(QueueStream stream, DynamicTree.Operands operands) {
    HostStream host = (HostStream) stream;
    host.task(Task.class, workers -> new Task()).run(host, spec, operands, OUTPUTS);
  }

  private static final class Task extends DynamicTreeTask {
    @Override
    protected boolean selectBest(int worker, long b, long row) {
      boolean finite = true;
      int selected = 0;
      for (int f = 0; f < pool; f++) {
        float score = score(row, f);
        int before = 0;
        for (int other = 0; other < pool && before < wanted; other++) {
          before += comesBefore(score(row, other), other, score, f) ? 1 : 0;
        }
        if (before < wanted) {
          select(b, selected++, f);
          finite &= !Float.isNaN(score);
        }
      }
      return finite;
    }

    private float score(long row, int f) {
      return scores.get(JAVA_FLOAT, row + (long) f * Float.BYTES);
    }

    /** Rule 8: the higher value, then the lower index; NaN is below all. */
    private static boolean comesBefore(float a, int aIndex, float b, int bIndex) {
      if (Float.isNaN(a) || Float.isNaN(b)) {
        return Float.isNaN(a) == Float.isNaN(b) ? aIndex < bIndex : Float.isNaN(b);
      }
      return a > b || (a == b && aIndex < bIndex);
    }
  }
}
