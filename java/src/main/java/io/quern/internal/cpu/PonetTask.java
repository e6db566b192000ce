package io.quern.internal.cpu;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static java.lang.foreign.ValueLayout.JAVA_INT;

import io.quern.Buffer;
import io.quern.InvalidDataException.Kind;
import io.quern.internal.device.TypedMemory;
import io.quern.internal.kernel.Operator;
import io.quern.op.PonetPooling;
import java.lang.foreign.MemorySegment;

/**
 * The operands of a {@code PonetPooling}, and what does not depend on how rows are computed: which
 * heads of which sequence a range of work is, and which tokens each segment has.
 *
 * <p>Work is counted in heads of sequences. Whoever has a sequence's first head reports its bad
 * ids.
 */
public abstract class PonetTask extends RowTask {
  /** Consecutive tokens of a sequence whose rows are added in order before chunks are (rule 5). */
  public static final int CHUNK = 64;

  /** What padded and, locally, special tokens stand as in a maximum. */
  protected static final float FILL = -10000;

  private final Sequences sequences = new Sequences();
  private MemorySegment segmentIds;
  private MemorySegment valid;
  private MemorySegment special;
  private MemorySegment workspace;
  private long tokens;

  /** The call's spec. */
  protected PonetPooling.Spec spec;

  protected MemorySegment q;
  protected MemorySegment k;
  protected MemorySegment o;
  protected MemorySegment local;
  protected MemorySegment segment;
  protected MemorySegment out;
  protected MemorySegment probabilities;

  /** Bytes from one row to the next. */
  protected long strideQ;

  protected long strideK;
  protected long strideO;
  protected long strideLocal;
  protected long strideSegment;
  protected long strideOut;

  @Override
  protected final Operator operator() {
    return Operator.PONET_POOLING;
  }

  /** Bytes of scratch: for each worker the first token of each segment, and each token's next. */
  public static long workspaceBytes(int workers, long tokens) {
    return 2L * Integer.BYTES * workers * tokens;
  }

  /** Takes the operands of a call. */
  public final void pool(PonetPooling.Spec spec, PonetPooling.Operands operands) {
    this.spec = spec;
    tokens = operands.out().shape().dim(0);
    sequences.take(operands.offsets(), tokens);
    q = segment(operands.q());
    k = segment(operands.k());
    o = segment(operands.o());
    local = segment(operands.local());
    segment = segment(operands.segment());
    segmentIds = segment(operands.segmentIds());
    valid = segment(operands.valid());
    special = segment(operands.special());
    out = segment(operands.out());
    probabilities = segment(operands.probabilities());
    workspace = segment(operands.workspace());
    strideQ = strideBytes(operands.q());
    strideK = strideBytes(operands.k());
    strideO = strideBytes(operands.o());
    strideLocal = strideBytes(operands.local());
    strideSegment = strideBytes(operands.segment());
    strideOut = strideBytes(operands.out());
  }

  private static MemorySegment segment(Buffer buffer) {
    return buffer == null ? null : HostDevice.segment(TypedMemory.of(buffer));
  }

  private static long strideBytes(Buffer rows) {
    return rows.rowStride() * rows.dtype().byteSize();
  }

  @Override
  protected void clear() {
    sequences.clear();
    q = null;
    k = null;
    o = null;
    local = null;
    segment = null;
    segmentIds = null;
    valid = null;
    special = null;
    out = null;
    probabilities = null;
    workspace = null;
  }

  @Override
  protected final void run(int worker, long from, long to) {
    long bad = sequences.firstBad();
    if (bad >= 0) {
      report(Kind.OFFSETS, bad, sequences.badValue(bad), tokens);
      return;
    }
    int heads = spec.heads();
    for (long at = from; at < to; ) {
      long s = at / heads;
      int head = (int) (at % heads);
      int end = (int) Math.min(heads, head + (to - at));
      long begin = sequences.offset(s);
      long length = sequences.offset(s + 1) - begin;
      if (length > 0) {
        chain(worker, begin, length, head == 0);
        pool(worker, begin, length, head, end);
      }
      at += end - head;
    }
  }

  /** Pools heads {@code head} to {@code headEnd} of the tokens from {@code begin} on. */
  protected abstract void pool(int worker, long begin, long length, int head, int headEnd);

  /** Chains the tokens of each segment, in ascending order, and reports bad ids. */
  private void chain(int worker, long begin, long length, boolean report) {
    for (long id = 0; id < length; id++) {
      setFirst(worker, id, -1);
    }
    for (long t = length - 1; t >= 0; t--) {
      int id = segmentIds.get(JAVA_INT, (begin + t) * Integer.BYTES);
      if (id >= 0 && id < length) {
        setNext(worker, t, first(worker, id));
        setFirst(worker, id, (int) t);
      } else if (report && isValid(begin + t)) {
        report(Kind.INDEX, begin + t, id, length);
      }
    }
  }

  /** The first token of a segment, relative to its sequence, or −1. */
  protected final int first(int worker, long id) {
    return workspace.get(JAVA_INT, Integer.BYTES * (2 * worker * tokens + id));
  }

  /** The next token of a token's segment, or −1. */
  protected final int next(int worker, long t) {
    return workspace.get(JAVA_INT, Integer.BYTES * ((2 * worker + 1) * tokens + t));
  }

  private void setFirst(int worker, long id, int t) {
    workspace.set(JAVA_INT, Integer.BYTES * (2 * worker * tokens + id), t);
  }

  private void setNext(int worker, long t, int next) {
    workspace.set(JAVA_INT, Integer.BYTES * ((2 * worker + 1) * tokens + t), next);
  }

  /** Whether a token's segment id is usable. */
  protected final boolean hasSegment(long token, long length) {
    int id = segmentIds.get(JAVA_INT, token * Integer.BYTES);
    return id >= 0 && id < length;
  }

  /** Whether a token, counted over all sequences, is no padding. */
  protected final boolean isValid(long token) {
    return valid == null || valid.get(JAVA_BYTE, token) != 0;
  }

  /** Whether the CLS/SEP rule holds for a token. */
  protected final boolean isSpecial(long token) {
    return special != null && special.get(JAVA_BYTE, token) != 0;
  }

  /** Stores a probability, or a score on its way to one. */
  protected final void setProbability(long token, int head, float value) {
    probabilities.set(JAVA_FLOAT, (token * spec.heads() + head) * Float.BYTES, value);
  }

  /** What {@link #setProbability} stored. */
  protected final float probability(long token, int head) {
    return probabilities.get(JAVA_FLOAT, (token * spec.heads() + head) * Float.BYTES);
  }

  /** The probabilities of a sequence without a valid token. */
  protected final float probabilityOfNone(long length) {
    return spec.flavour() == PonetPooling.Flavour.BERT ? Float.NaN : 1f / length;
  }
}
