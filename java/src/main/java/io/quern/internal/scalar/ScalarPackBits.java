package io.quern.internal.scalar;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;

import io.quern.internal.cpu.HostStream;
import io.quern.internal.cpu.PackBitsTask;
import io.quern.internal.device.QueueStream;
import io.quern.internal.kernel.PackBitsKernel;
import io.quern.op.PackBits;
import java.lang.foreign.MemorySegment;

/** Bit by bit. */
final class ScalarPackBits implements PackBitsKernel {
  private final PackBits.Spec spec;

  ScalarPackBits(PackBits.Spec spec) {
    this.spec = spec;
  }

  @Override
  public void run(QueueStream stream, PackBits.Operands operands) {
    HostStream host = (HostStream) stream;
    host.task(Task.class, workers -> new Task()).run(host, spec, operands);
  }

  private static final class Task extends PackBitsTask {
    @Override
    protected void pack(
        MemorySegment x, long from, long elements, MemorySegment out, long target, boolean big) {
      for (long at = 0; at < elements; at += Byte.SIZE) {
        int value = 0;
        for (int bit = 0; bit < Byte.SIZE && at + bit < elements; bit++) {
          boolean one = x.get(JAVA_BYTE, from + at + bit) != 0;
          value |= one ? big ? 0x80 >> bit : 1 << bit : 0;
        }
        out.set(JAVA_BYTE, target + at / Byte.SIZE, (byte) value);
      }
    }
  }
}
