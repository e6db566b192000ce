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
import java.util.stream.Stream;

/**
 * {@code SourceMap} of both CPU back ends, which look up in ways of their own: a batch row's slots
 * in an array, unless they are too many for it.
 */
public final class HostSourceMap implements SourceMapKernel {
  private static final int CHUNK = 2048;

  /** Slots of a batch row that are copied into an array first: 64 KiB of them. */
  private static final int MOST_COPIED = 1 << 14;

  private final SourceMap.Spec spec;
  private final Lookup lookup;

  /** Makes groups of tokens, in place: their slots, −1 for what is no token or has no slot. */
  @FunctionalInterface
  public interface Lookup {
    /**
     * Looks the first {@code count} tokens up.
     *
     * @param slots of {@code tokens} tokens, below {@code merged} where they are slots
     */
    void look(int[] slots, int tokens, int merged, int[] chunk, int count);
  }

  public HostSourceMap(SourceMap.Spec spec, Lookup lookup) {
    this.spec = spec;
    this.lookup = lookup;
  }

  /** Tokens {@code [from, to)} one by one. */
  public static void lookEach(int[] slots, int tokens, int merged, int[] chunk, int from, int to) {
    for (int i = from; i < to; i++) {
      int token = chunk[i];
      int group = Integer.compareUnsigned(token, tokens) < 0 ? slots[token] : -1;
      chunk[i] = Integer.compareUnsigned(group, merged) < 0 ? group : -1;
    }
  }

  @Override
  public void run(QueueStream stream, SourceMap.Operands operands) {
    HostStream host = (HostStream) stream;
    Task task = host.task(Task.class, workers -> new Task());
    task.scratches = host.kept(Scratch[].class, Scratch::ofEach);
    task.spec = spec;
    task.lookup = lookup;
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

  /** What one worker looks up with. */
  private static final class Scratch {
    private final int[] chunk = new int[CHUNK];
    private final int[] slots = new int[MOST_COPIED];

    private static Scratch[] ofEach(int workers) {
      return Stream.generate(Scratch::new).limit(workers).toArray(Scratch[]::new);
    }
  }

  private static final class Task extends RowTask {
    private static final short F16_ONE = 0x3c00;
    private static final short BF16_ONE = 0x3f80;

    private Scratch[] scratches;
    private SourceMap.Spec spec;
    private Lookup lookup;
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
        int[] slots = scratches[worker].slots;
        if (spec.tokens() <= MOST_COPIED) {
          long row = batch * spec.tokens() * Integer.BYTES;
          NativeRows.copy(slot, JAVA_INT, row, slots, 0, (int) spec.tokens());
        }
        for (long n = 0; n < spec.sources(); n += CHUNK) {
          int count = (int) Math.min(CHUNK, spec.sources() - n);
          group(slots, scratches[worker].chunk, batch, n, count);
        }
      }
    }

    /** The groups of {@code count} sources from the {@code first} of a batch row on. */
    private void group(int[] slots, int[] chunk, long batch, long first, int count) {
      long at = (batch * spec.sources() + first) * Integer.BYTES;
      if (source == null) {
        for (int i = 0; i < count; i++) {
          chunk[i] = (int) first + i;
        }
      } else {
        MemorySegment.copy(source, JAVA_INT, at, chunk, 0, count);
      }
      int tokens = (int) spec.tokens();
      int merged = (int) spec.merged();
      if (tokens <= MOST_COPIED) {
        lookup.look(slots, tokens, merged, chunk, count);
      } else {
        look(slot, (long) batch * tokens * Integer.BYTES, tokens, merged, chunk, count);
      }
      MemorySegment.copy(chunk, 0, groups, JAVA_INT, at, count);
      for (int i = 0; matrix != null && i < count; i++) {
        if (chunk[i] >= 0) {
          setOne((batch * spec.merged() + chunk[i]) * spec.sources() + first + i);
        }
      }
    }

    /** The same from memory. */
    private static void look(
        MemorySegment slot, long row, int tokens, int merged, int[] chunk, int count) {
      MemorySegment slots = NativeRows.known(slot);
      for (int i = 0; i < count; i++) {
        int group = -1;
        if (Integer.compareUnsigned(chunk[i], tokens) < 0) {
          group = slots.get(JAVA_INT, row + (long) chunk[i] * Integer.BYTES);
        }
        chunk[i] = Integer.compareUnsigned(group, merged) < 0 ? group : -1;
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
