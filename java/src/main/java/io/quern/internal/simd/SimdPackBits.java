package io.quern.internal.simd;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;

import io.quern.internal.cpu.HostStream;
import io.quern.internal.cpu.PackBitsTask;
import io.quern.internal.device.QueueStream;
import io.quern.internal.kernel.PackBitsKernel;
import io.quern.op.PackBits;
import java.lang.foreign.MemorySegment;
import jdk.incubator.vector.ByteVector;
import jdk.incubator.vector.VectorOperators;

/** A vector's comparison with 0 is the bits of its elements. */
final class SimdPackBits implements PackBitsKernel {
  private static final int LANES = Species.BYTE.length();

  private final PackBits.Spec spec;

  SimdPackBits(PackBits.Spec spec) {
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
      long at = 0;
      for (; at <= elements - LANES; at += LANES) {
        long ones =
            ByteVector.fromMemorySegment(Species.BYTE, x, from + at, Species.ORDER)
                .compare(VectorOperators.NE, (byte) 0)
                .toLong();
        store(out, target + at / Byte.SIZE, ones, LANES, big);
      }
      for (; at < elements; at += Byte.SIZE) {
        int n = (int) Math.min(Byte.SIZE, elements - at);
        long ones = 0;
        for (int bit = 0; bit < n; bit++) {
          ones |= x.get(JAVA_BYTE, from + at + bit) != 0 ? 1L << bit : 0;
        }
        store(out, target + at / Byte.SIZE, ones, n, big);
      }
    }

    private static void store(
        MemorySegment out, long target, long ones, int elements, boolean big) {
      long bytes = big ? Long.reverseBytes(Long.reverse(ones)) : ones;
      for (int bit = 0; bit < elements; bit += Byte.SIZE) {
        out.set(JAVA_BYTE, target + bit / Byte.SIZE, (byte) (bytes >>> bit));
      }
    }
  }
}
