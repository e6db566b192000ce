package io.quern.internal.simd;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;

import io.quern.internal.cpu.DynamicTreeTask;
import io.quern.internal.cpu.HostStream;
import io.quern.internal.device.QueueStream;
import io.quern.internal.kernel.DynamicTreeKernel;
import io.quern.op.DynamicTree;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.VectorOperators;

/**
 * Finds the lowest selected score bit by bit, counting the scores that reach it, and takes whatever
 * is above it and the first of those equal to it.
 */
final class SimdDynamicTree implements DynamicTreeKernel {
  private static final int LANES = Species.LANES;

  private final DynamicTree.Spec spec;

  SimdDynamicTree(DynamicTree.Spec spec) {
    this.spec = spec;
  }

  @Override
  public void run(QueueStream stream, DynamicTree.Operands operands) {
    HostStream host = (HostStream) stream;
    host.task(Task.class, Task::new)
        .run(host, spec, operands, host.kept(SimdTreeOutputs.class, SimdTreeOutputs::forWorkers));
  }

  private static final class Task extends DynamicTreeTask {
    /** The order of scores as that of ints, per worker; longer than the largest pool so far. */
    private final int[][] keys;

    Task(int workers) {
      keys = new int[workers][];
    }

    @Override
    protected boolean selectBest(int worker, long b, long row) {
      int[] keys = this.keys[worker];
      if (keys == null || keys.length < pool) {
        keys = new int[pool];
        this.keys[worker] = keys;
      }
      for (int f = 0; f < pool; f++) {
        keys[f] = key(scores.get(JAVA_FLOAT, row + (long) f * Float.BYTES));
      }
      int threshold = Integer.MIN_VALUE;
      int above = 0;
      for (int bit = Integer.MIN_VALUE; bit != 0; bit >>>= 1) {
        // Adding a bit to the order's unsigned form.
        int higher = threshold ^ bit;
        int reach = reach(keys, pool, higher);
        if (reach >= wanted) {
          threshold = higher;
        } else {
          above = reach; // of the last refused bit: those above what can still be reached
        }
      }
      int equal = wanted - above;
      int selected = 0;
      for (int f = 0; selected < wanted; f++) {
        if (keys[f] > threshold || (keys[f] == threshold && equal-- > 0)) {
          select(b, selected++, f);
        }
      }
      return threshold != Integer.MIN_VALUE;
    }

    /** NaN is the lowest, both zeros are one. */
    private static int key(float score) {
      int bits = Float.floatToRawIntBits(score + 0.0f);
      return Float.isNaN(score) ? Integer.MIN_VALUE : bits ^ (bits >> 31) >>> 1;
    }

    private static int reach(int[] keys, int count, int threshold) {
      int reach = 0;
      int i = 0;
      for (; i <= count - LANES; i += LANES) {
        reach +=
            IntVector.fromArray(Species.INT, keys, i)
                .compare(VectorOperators.GE, threshold)
                .trueCount();
      }
      for (; i < count; i++) {
        reach += keys[i] >= threshold ? 1 : 0;
      }
      return reach;
    }
  }
}
