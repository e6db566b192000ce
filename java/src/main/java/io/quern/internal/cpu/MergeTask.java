package io.quern.internal.cpu;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static java.lang.foreign.ValueLayout.JAVA_INT;

import io.quern.internal.device.TypedMemory;
import io.quern.internal.kernel.Operator;
import io.quern.op.TokenMerge;
import java.lang.foreign.MemorySegment;
import java.util.Arrays;

/**
 * A call of TokenMerge. Lists the tokens of each output row, in ascending order; a back end
 * combines them.
 */
public abstract class MergeTask extends RowTask {
  /** Tokens of a row that are added in order before the results of so many are (rule 5). */
  public static final int CHUNK = 64;

  /**
   * The tokens of one batch row by output row: those of row m are from starts[m] to starts[m + 1].
   */
  public static final class Lists {
    private int[] starts = {};
    private int[] tokens = {};

    /** One for each worker. */
    public static Lists[] ofEach(int workers) {
      Lists[] lists = new Lists[workers];
      Arrays.setAll(lists, i -> new Lists());
      return lists;
    }

    private void reserve(int tokens, int merged) {
      if (this.tokens.length < tokens) {
        this.tokens = new int[tokens];
      }
      if (starts.length < merged + 2) {
        starts = new int[merged + 2];
      }
    }
  }

  private Lists[] lists;
  private MemorySegment slot;
  private MemorySegment size;
  private MemorySegment scale;
  private MemorySegment sizeOut;
  private int merged;
  private float leastSize;

  /** Tokens of a batch row. */
  protected int tokens;

  /** What is merged, and what it becomes. */
  protected MemorySegment x;

  protected MemorySegment out;

  /** Bytes from one row to the next. */
  protected long stride;

  protected long outStride;

  @Override
  protected final Operator operator() {
    return Operator.TOKEN_MERGE;
  }

  /** Takes the operands of a call. */
  public final void take(TokenMerge.Spec spec, TokenMerge.Operands operands, Lists[] lists) {
    this.lists = lists;
    slot = HostDevice.segment(TypedMemory.of(operands.slot()));
    size = operands.size() == null ? null : HostDevice.segment(TypedMemory.of(operands.size()));
    scale = operands.scale() == null ? null : HostDevice.segment(TypedMemory.of(operands.scale()));
    sizeOut =
        operands.sizeOut() == null ? null : HostDevice.segment(TypedMemory.of(operands.sizeOut()));
    x = HostDevice.segment(TypedMemory.of(operands.x()));
    out = HostDevice.segment(TypedMemory.of(operands.out()));
    stride = operands.x().rowStride() * spec.dtype().byteSize();
    outStride = operands.out().rowStride() * spec.dtype().byteSize();
    tokens = (int) spec.tokens();
    merged = (int) spec.merged();
    leastSize = spec.leastSize();
    for (Lists each : lists) {
      each.reserve(tokens, merged);
    }
  }

  @Override
  protected void clear() {
    slot = null;
    size = null;
    scale = null;
    sizeOut = null;
    x = null;
    out = null;
  }

  @Override
  protected final void run(int worker, long from, long to) {
    Lists mine = lists[worker];
    for (long row = from; row < to; ) {
      long batch = row / merged;
      list(mine, batch);
      long end = Math.min(to, (batch + 1) * merged);
      for (; row < end; row++) {
        int m = (int) (row - batch * merged);
        int start = mine.starts[m];
        int count = mine.starts[m + 1] - start;
        float total = sizes(mine.tokens, start, count, batch);
        if (sizeOut != null) {
          float least = total < leastSize ? leastSize : total;
          sizeOut.set(JAVA_FLOAT, row * Float.BYTES, count == 0 ? 0 : least);
        }
        combine(worker, mine.tokens, start, count, batch * tokens, total, row * outStride);
      }
    }
  }

  /** Sorts the tokens of a batch row by the row they go into, stably. */
  private void list(Lists mine, long batch) {
    long row = batch * tokens * Integer.BYTES;
    int[] starts = mine.starts;
    // Counts are two places on, so that places, which are one on, end as the starts.
    Arrays.fill(starts, 0, merged + 2, 0);
    for (int n = 0; n < tokens; n++) {
      int m = slot.get(JAVA_INT, row + (long) n * Integer.BYTES);
      if (m >= 0 && m < merged) {
        starts[m + 2]++;
      }
    }
    for (int m = 2; m < merged + 2; m++) {
      starts[m] += starts[m - 1];
    }
    for (int n = 0; n < tokens; n++) {
      int m = slot.get(JAVA_INT, row + (long) n * Integer.BYTES);
      if (m >= 0 && m < merged) {
        mine.tokens[starts[m + 1]++] = n;
      }
    }
  }

  /** The sum of the sizes of a row's tokens. */
  private float sizes(int[] list, int start, int count, long batch) {
    if (count == 1) {
      return size(batch * tokens + list[start]);
    }
    float total = 0;
    for (int chunk = 0; chunk < count; chunk += CHUNK) {
      float partial = 0;
      for (int i = chunk; i < Math.min(count, chunk + CHUNK); i++) {
        partial += size(batch * tokens + list[start + i]);
      }
      total += partial;
    }
    return total;
  }

  /** The size of a token, counted over the whole batch. */
  protected final float size(long token) {
    float value = size == null ? 1 : size.get(JAVA_FLOAT, token * Float.BYTES);
    return scale == null ? value : value * scale.get(JAVA_FLOAT, token * Float.BYTES);
  }

  /**
   * Combines tokens into the output row at byte {@code target}.
   *
   * @param list the tokens are {@code count} elements of it from {@code start} on
   * @param first the number, over the whole batch, of token 0
   * @param total the sum of their sizes
   */
  protected abstract void combine(
      int worker, int[] list, int start, int count, long first, float total, long target);
}
