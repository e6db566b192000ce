package io.quern.internal.cpu;

import static java.lang.foreign.ValueLayout.JAVA_INT;

import io.quern.internal.device.TypedMemory;
import io.quern.internal.kernel.Operator;
import io.quern.op.TokenPrune;
import java.lang.foreign.MemorySegment;
import java.util.Arrays;

/** A call of TokenPrune: a back end adds up the heads, here the tokens are ordered. */
public abstract class PruneTask extends RowTask {
  /** Heads that are added in order before the sums of so many are (rule 5). */
  protected static final int CHUNK = 64;

  /** What one worker computes in. */
  public static final class Scratch {
    private final DescendingOrder descending = new DescendingOrder();
    private float[] importance = {};
    private float[] partial = {};
    private int[] places = {};

    /** One for each worker. */
    public static Scratch[] ofEach(int workers) {
      Scratch[] scratches = new Scratch[workers];
      Arrays.setAll(scratches, i -> new Scratch());
      return scratches;
    }

    private void reserve(int tokens) {
      if (importance.length < tokens) {
        descending.reserve(tokens);
        importance = new float[tokens];
        partial = new float[tokens];
        places = new int[tokens];
      }
    }
  }

  private Scratch[] scratches;
  private MemorySegment order;
  private MemorySegment slot;
  private long keep;
  private boolean classToken;

  /** The operand, and bytes from one head to the next. */
  protected MemorySegment attention;

  protected long stride;
  protected int heads;
  protected int tokens;

  @Override
  protected final Operator operator() {
    return Operator.TOKEN_PRUNE;
  }

  /** Takes the operands of a call. */
  public final void take(TokenPrune.Spec spec, TokenPrune.Operands operands, Scratch[] scratches) {
    this.scratches = scratches;
    order = HostDevice.segment(TypedMemory.of(operands.order()));
    slot = operands.slot() == null ? null : HostDevice.segment(TypedMemory.of(operands.slot()));
    attention = HostDevice.segment(TypedMemory.of(operands.attention()));
    stride = operands.attention().rowStride() * Float.BYTES;
    heads = Math.toIntExact(spec.heads());
    tokens = (int) spec.tokens();
    keep = spec.keep();
    classToken = spec.classToken();
    for (Scratch each : scratches) {
      each.reserve(tokens);
    }
  }

  @Override
  protected void clear() {
    order = null;
    slot = null;
    attention = null;
  }

  @Override
  protected final void run(int worker, long from, long to) {
    Scratch scratch = scratches[worker];
    int first = classToken ? 1 : 0; // of the tokens that are ordered
    for (long batch = from; batch < to; batch++) {
      add(batch, scratch.importance, scratch.partial);
      int[] descending = scratch.descending.of(scratch.importance, first, tokens - first);
      for (int i = tokens - 1; i >= first; i--) {
        descending[i] = descending[i - first] + first;
      }
      if (classToken) {
        descending[0] = 0;
      }
      long row = batch * tokens * Integer.BYTES;
      MemorySegment.copy(descending, 0, order, JAVA_INT, row, tokens);
      if (slot != null) {
        for (int i = 0; i < tokens; i++) {
          scratch.places[descending[i]] = i < keep ? i : -1;
        }
        MemorySegment.copy(scratch.places, 0, slot, JAVA_INT, row, tokens);
      }
    }
  }

  /** Puts the mean over heads of each token into {@code importance}; {@code partial} is scratch. */
  protected abstract void add(long batch, float[] importance, float[] partial);
}
