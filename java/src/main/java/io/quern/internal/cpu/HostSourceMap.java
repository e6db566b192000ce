package io.quern.internal.cpu;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_SHORT;

import io.quern.Buffer;
import io.quern.DType;
import io.quern.internal.device.QueueStream;
import io.quern.internal.device.TypedMemory;
import io.quern.internal.kernel.Operator;
import io.quern.internal.kernel.SourceMapKernel;
import io.quern.op.SourceMap;
import java.lang.foreign.MemorySegment;

/** {@code SourceMap} of both CPU back ends: it looks up and writes, and computes nothing. */
public final class HostSourceMap implements SourceMapKernel {
  private final SourceMap.Spec spec;

  public HostSourceMap(SourceMap.Spec spec) {
    this.spec = spec;
  }

  @Override
  public void run(QueueStream stream, SourceMap.Operands operands) {
    HostStream host = (HostStream) stream;
    Task task = host.task(Task.class, workers -> new Task());
    task.spec = spec;
    task.slot = HostDevice.segment(TypedMemory.of(operands.slot()));
    task.source = segment(operands.source());
    task.groups = HostDevice.segment(TypedMemory.of(operands.groups()));
    task.matrix = segment(operands.matrix());
    long rowsOfMatrix = operands.matrix() == null ? 0 : spec.merged();
    host.run(
        task,
        operands.groups().shape().dim(0),
        spec.sources() * (Integer.BYTES + rowsOfMatrix * spec.matrix().byteSize()));
  }

  private static MemorySegment segment(Buffer buffer) {
    return buffer == null ? null : HostDevice.segment(TypedMemory.of(buffer));
  }

  private static final class Task extends RowTask {
    private static final short F16_ONE = 0x3c00;
    private static final short BF16_ONE = 0x3f80;

    private SourceMap.Spec spec;
    private MemorySegment slot;
    private MemorySegment source;
    private MemorySegment groups;
    private MemorySegment matrix;

    @Override
    protected Operator operator() {
      return Operator.SOURCE_MAP;
    }

    @Override
    protected void clear() {
      slot = null;
      source = null;
      groups = null;
      matrix = null;
    }

    @Override
    protected void run(int worker, long from, long to) {
      for (long batch = from; batch < to; batch++) {
        if (matrix != null) {
          zero(batch);
        }
        for (long n = 0; n < spec.sources(); n++) {
          long at = (batch * spec.sources() + n) * Integer.BYTES;
          int group = group(batch, source == null ? n : source.get(JAVA_INT, at));
          groups.set(JAVA_INT, at, group);
          if (matrix != null && group >= 0) {
            setOne((batch * spec.merged() + group) * spec.sources() + n);
          }
        }
      }
    }

    private int group(long batch, long token) {
      if (token < 0 || token >= spec.tokens()) {
        return -1;
      }
      int row = slot.get(JAVA_INT, (batch * spec.tokens() + token) * Integer.BYTES);
      return row >= 0 && row < spec.merged() ? row : -1;
    }

    private void zero(long batch) {
      long elements = spec.merged() * spec.sources();
      if (spec.matrix() == DType.F32) {
        for (long i = batch * elements; i < (batch + 1) * elements; i++) {
          matrix.set(JAVA_FLOAT, i * Float.BYTES, 0);
        }
      } else {
        for (long i = batch * elements; i < (batch + 1) * elements; i++) {
          matrix.set(JAVA_SHORT, i * Short.BYTES, (short) 0);
        }
      }
    }

    private void setOne(long element) {
      switch (spec.matrix()) {
        case F32 -> matrix.set(JAVA_FLOAT, element * Float.BYTES, 1);
        case F16 -> matrix.set(JAVA_SHORT, element * Short.BYTES, F16_ONE);
        default -> matrix.set(JAVA_SHORT, element * Short.BYTES, BF16_ONE);
      }
    }
  }
}
