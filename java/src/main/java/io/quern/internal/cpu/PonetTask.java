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
 * tokens each segment has. The first 8 bytes of scratch per token chain them.
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

  /** Rows of the call, those outside every sequence included. */
  protected long tokens;

  /** The call's spec. */
  protected PonetPooling.Spec spec;

  protected MemorySegment q;
  protected MemorySegment k;
  protected MemorySegment o;
  protected MemorySegment local;
  protected MemorySegment segment;
  protected MemorySegment out;
  protected MemorySegment probabilities;
  protected MemorySegment workspace;

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

  /** Bytes of scratch for the chains, a multiple of 16. */
  public static long chainBytes(long tokens) {
    return Math.ceilDiv(2L * Integer.BYTES * tokens, 16) * 16;
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

  /** Whether any offsets are bad; the first ones are reported then. */
  protected final boolean refuses() {
    long bad = sequences.firstBad();
    if (bad >= 0) {
      report(Kind.OFFSETS, bad, sequences.badValue(bad), tokens);
    }
    return bad >= 0;
  }

  /** How many sequences there are. */
  protected final long sequences() {
    return sequences.count();
  }

  /** Where a sequence begins; where the last one ends. */
  protected final long offset(long sequence) {
    return sequences.offset(sequence);
  }

  /** Reports a token's id. */
  protected final void reportSegment(long token, long length) {
    report(Kind.INDEX, token, segmentId(token), length);
  }

  /** Chains the tokens of each segment of a sequence, in ascending order. */
  protected final void chain(long begin, long length) {
    for (long id = 0; id < length; id++) {
      setFirst(begin + id, -1);
    }
    for (long t = length - 1; t >= 0; t--) {
      if (hasSegment(begin + t, length)) {
        long id = begin + segmentId(begin + t);
        setNext(begin + t, first(id));
        setFirst(id, (int) t);
      }
    }
  }

  /** The first token of segment {@code id − begin}, relative to its sequence, or −1. */
  protected final int first(long id) {
    return workspace.get(JAVA_INT, Integer.BYTES * id);
  }

  /** The next token of a token's segment, relative to its sequence, or −1. */
  protected final int next(long token) {
    return workspace.get(JAVA_INT, Integer.BYTES * (tokens + token));
  }

  private void setFirst(long id, int t) {
    workspace.set(JAVA_INT, Integer.BYTES * id, t);
  }

  private void setNext(long token, int next) {
    workspace.set(JAVA_INT, Integer.BYTES * (tokens + token), next);
  }

  /** The segment of a token that has one. */
  protected final int segmentId(long token) {
    return segmentIds.get(JAVA_INT, token * Integer.BYTES);
  }

  /** Whether a token's segment id is usable. */
  protected final boolean hasSegment(long token, long length) {
    int id = segmentId(token);
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
