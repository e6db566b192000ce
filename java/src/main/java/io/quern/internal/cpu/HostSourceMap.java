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
  private static final int CHUNK = 2048;

  private final SourceMap.Spec spec;

  public HostSourceMap(SourceMap.Spec spec) {
    this.spec = spec;
  }

  @Override
  public void run(QueueStream stream, SourceMap.Operands operands) {
    HostStream host = (HostStream) stream;
    Task task = host.task(Task.class, workers -> new Task());
    task.chunks = host.kept(int[][].class, workers -> new int[workers][CHUNK]);
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

    private int[][] chunks;
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
        for (long n = 0; n < spec.sources(); n += CHUNK) {
          group(chunks[worker], batch, n, (int) Math.min(CHUNK, spec.sources() - n));
        }
      }
    }

    /** The groups of {@code count} sources from the {@code first} of a batch row on. */
    private void group(int[] chunk, long batch, long first, int count) {
      long at = (batch * spec.sources() + first) * Integer.BYTES;
      if (source == null) {
        for (int i = 0; i < count; i++) {
          chunk[i] = (int) first + i;
        }
      } else {
        MemorySegment.copy(source, JAVA_INT, at, chunk, 0, count);
      }
      look(
          slot,
          batch * spec.tokens() * Integer.BYTES,
          (int) spec.tokens(),
          (int) spec.merged(),
          chunk,
          count);
      MemorySegment.copy(chunk, 0, groups, JAVA_INT, at, count);
      for (int i = 0; matrix != null && i < count; i++) {
        if (chunk[i] >= 0) {
          setOne((batch * spec.merged() + chunk[i]) * spec.sources() + first + i);
        }
      }
    }

    /** Makes groups of tokens. */
    private static void look(
        MemorySegment slot, long row, int tokens, int merged, int[] chunk, int count) {
      MemorySegment slots = NativeRows.known(slot);
      for (int i = 0; i < count; i++) {
        int group = -1;
        if (chunk[i] >= 0 && chunk[i] < tokens) {
          group = slots.get(JAVA_INT, row + (long) chunk[i] * Integer.BYTES);
        }
        chunk[i] = group >= 0 && group < merged ? group : -1;
      }
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
