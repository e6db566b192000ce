package io.quern.internal.scalar;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;
import static java.lang.foreign.ValueLayout.JAVA_SHORT;

import io.quern.internal.cpu.HostStream;
import io.quern.internal.cpu.TreeMaskTask;
import io.quern.internal.device.QueueStream;
import io.quern.internal.kernel.TreeMaskKernel;
import io.quern.op.TreeMask;

/** Element by element: a column is visible if it is of the prefix, the node or an ancestor. */
final class ScalarTreeMask implements TreeMaskKernel {
  private final TreeMask.Spec spec;

  ScalarTreeMask(TreeMask.Spec spec) {
    this.spec = spec;
  }

  @Override
  public void run(QueueStream stream, TreeMask.Operands operands) {
    HostStream host = (HostStream) stream;
    host.task(Task.class, Task::new).run(host, spec, operands);
  }

  private static final class Task extends TreeMaskTask {
    Task(int workers) {
      super(workers);
    }

    private boolean sees(long first, int i, long prefix, long column) {
      return column < prefix || ScalarTreeOutputs.sees(parents, first, i, column - prefix);
    }

    @Override
    protected void writeRows(
        long first, int count, long prefix, long target, long stride, long columns, boolean good) {
      for (int i = 0; i < count; i++) {
        for (long column = 0; column < columns; column++) {
          long at = target + i * stride + column * elementBytes;
          long bits = good && sees(first, i, prefix, column) ? visible : hidden;
          switch (elementBytes) {
            case Byte.BYTES -> out.set(JAVA_BYTE, at, (byte) bits);
            case Short.BYTES -> out.set(JAVA_SHORT, at, (short) bits);
            case Integer.BYTES -> out.set(JAVA_INT, at, (int) bits);
            default -> out.set(JAVA_LONG, at, bits);
          }
        }
      }
    }

    @Override
    protected void writeBits(long first, int count, long target, long bytes, boolean good) {
      for (int i = 0; i < count; i++) {
        long row = target + i * strideBytes;
        if (good) {
          ScalarTreeOutputs.writeBits(parents, first, i, out, row, bytes);
        } else {
          for (long at = 0; at < bytes; at++) {
            out.set(JAVA_BYTE, row + at, (byte) 0);
          }
        }
      }
    }

    @Override
    protected void writePacked(
        int worker, long first, int count, long prefix, long target, long bytes, boolean good) {
      long width = prefix + count;
      for (long at = 0; at < bytes; at++) {
        int value = 0;
        for (int bit = 0; bit < Byte.SIZE; bit++) {
          long element = at * Byte.SIZE + bit;
          long i = element / width;
          boolean sees = good && i < count && sees(first, (int) i, prefix, element % width);
          value |= sees ? 1 << bit : 0;
        }
        out.set(JAVA_BYTE, target + at, (byte) value);
      }
    }
  }
}
