package io.quern.internal.cpu;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import io.quern.Buffer;
import io.quern.DType;
import io.quern.InvalidDataException.Kind;
import io.quern.internal.device.TypedMemory;
import io.quern.internal.kernel.Operator;
import io.quern.op.PonetChunks;
import io.quern.op.PonetMixer;
import io.quern.op.PonetPooling;
import java.lang.foreign.MemorySegment;

/**
 * The operands of a {@code PonetPooling}, {@code PonetMixer} or one pass of {@code PonetChunks},
 * and what does not depend on how rows are computed: which tokens each segment has. The first 8
 * bytes of scratch per token chain them, but in chunks, whose segments are in a table.
 */
public abstract class PonetTask extends RowTask {
  /** Consecutive tokens of a sequence whose rows are added in order before chunks are (rule 5). */
  public static final int CHUNK = 64;

  /** What padded and, locally, special tokens stand as in a maximum. */
  protected static final float FILL = -10000;

  private final Sequences sequences = new Sequences();
  private Operator operator;
  private long position;
  private long segments;
  private int lead;
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

  /** The layers of a mixer. */
  protected MemorySegment weight;

  protected MemorySegment bias;

  /** What is carried from chunk to chunk of a document, and its table of segment maxima. */
  protected MemorySegment state;

  protected MemorySegment table;

  /** Dtype of q and k. */
  protected DType keyType;

  /** Dtype of o, local and segment. */
  protected DType rowType;

  /** Where o, local and segment begin, in bytes. */
  protected long firstO;

  protected long firstLocal;
  protected long firstSegment;

  /** The tokens that windows reach: those of the sequences, or more at the ends of a chunk. */
  protected long contextBefore;

  protected long contextAfter;

  /** Bytes from one row to the next. */
  protected long strideQ;

  protected long strideK;
  protected long strideO;
  protected long strideLocal;
  protected long strideSegment;
  protected long strideOut;

  @Override
  protected final Operator operator() {
    return operator;
  }

  /** Bytes of scratch for the chains, a multiple of 16. */
  public static long chainBytes(long tokens) {
    return Math.ceilDiv(2L * Integer.BYTES * tokens, 16) * 16;
  }

  /** Bytes of scratch for rows of o, local and segment in F32, a multiple of 16. */
  public static long projectedBytes(PonetPooling.Spec spec, long tokens) {
    return Math.ceilDiv(3 * tokens * spec.columns() * Float.BYTES, 16) * 16;
  }

  /** Takes the operands of a pooling. */
  public final void pool(PonetPooling.Spec spec, PonetPooling.Operands operands) {
    begin(Operator.PONET_POOLING, spec, spec.x(), operands.out().shape().dim(0));
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

  /**
   * Takes the operands of a mixer: x stands for queries and keys.
   *
   * @param projected where in the workspace the rows of o, local and segment are, one after the
   *     other, in F32
   */
  public final void mix(PonetPooling.Spec spec, PonetMixer.Operands operands, long projected) {
    begin(Operator.PONET_MIXER, spec, DType.F32, operands.out().shape().dim(0));
    sequences.take(operands.offsets(), tokens);
    q = segment(operands.x());
    k = q;
    weight = segment(operands.weight());
    bias = segment(operands.bias());
    segmentIds = segment(operands.segmentIds());
    valid = segment(operands.valid());
    special = segment(operands.special());
    out = segment(operands.out());
    probabilities = segment(operands.probabilities());
    workspace = segment(operands.workspace());
    o = workspace;
    local = workspace;
    segment = workspace;
    strideQ = strideBytes(operands.x());
    strideK = strideQ;
    strideO = (long) spec.columns() * Float.BYTES;
    strideLocal = strideO;
    strideSegment = strideO;
    strideOut = strideBytes(operands.out());
    firstO = projected;
    firstLocal = firstO + tokens * strideO;
    firstSegment = firstLocal + tokens * strideO;
  }

  /** Takes the operands of the first pass over a chunk. */
  public final void chunk(PonetPooling.Spec spec, PonetChunks.Queries operands) {
    begin(Operator.PONET_CHUNKS, spec, spec.x(), operands.q().shape().dim(0));
    sequences.takeOne(tokens);
    q = segment(operands.q());
    valid = segment(operands.valid());
    state = segment(operands.state());
    workspace = segment(operands.workspace());
    strideQ = strideBytes(operands.q());
  }

  /** Takes the operands of the second pass over a chunk. */
  public final void chunk(PonetPooling.Spec spec, PonetChunks.Keys operands) {
    begin(Operator.PONET_CHUNKS, spec, spec.x(), operands.k().shape().dim(0));
    sequences.takeOne(tokens);
    position = operands.position();
    segments = operands.segmentMax().shape().dim(0);
    k = segment(operands.k());
    segment = segment(operands.segment());
    segmentIds = segment(operands.segmentIds());
    valid = segment(operands.valid());
    probabilities = segment(operands.probabilities());
    state = segment(operands.state());
    table = segment(operands.segmentMax());
    workspace = segment(operands.workspace());
    strideK = strideBytes(operands.k());
    strideSegment = strideBytes(operands.segment());
  }

  /** Takes the operands of the third pass over a chunk. */
  public final void chunk(PonetPooling.Spec spec, PonetChunks.Fusion operands) {
    begin(Operator.PONET_CHUNKS, spec, spec.x(), operands.out().shape().dim(0));
    sequences.takeOne(tokens);
    position = operands.position();
    lead = operands.before();
    contextBefore = lead;
    contextAfter = operands.local().shape().dim(0) - lead - tokens;
    segments = operands.segmentMax().shape().dim(0);
    o = segment(operands.o());
    local = segment(operands.local());
    segmentIds = segment(operands.segmentIds());
    valid = segment(operands.valid());
    special = segment(operands.special());
    out = segment(operands.out());
    probabilities = segment(operands.probabilities());
    state = segment(operands.state());
    table = segment(operands.segmentMax());
    strideO = strideBytes(operands.o());
    strideLocal = strideBytes(operands.local());
    strideOut = strideBytes(operands.out());
    firstLocal = lead * strideLocal;
  }

  private void begin(Operator operator, PonetPooling.Spec spec, DType rowType, long tokens) {
    this.operator = operator;
    this.spec = spec;
    this.tokens = tokens;
    this.keyType = spec.x();
    this.rowType = rowType;
    position = 0;
    segments = -1;
    lead = 0;
    contextBefore = 0;
    contextAfter = 0;
    firstO = 0;
    firstLocal = 0;
    firstSegment = 0;
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
    weight = null;
    bias = null;
    state = null;
    table = null;
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
    report(Kind.INDEX, position + token, segmentId(token), segmentsOf(length));
  }

  private long segmentsOf(long length) {
    return segments < 0 ? length : segments;
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
    return id >= 0 && id < segmentsOf(length);
  }

  /** Whether a token, counted over all sequences, is no padding. */
  protected final boolean isValid(long token) {
    return valid == null || valid.get(JAVA_BYTE, lead + token) != 0;
  }

  /** Whether the CLS/SEP rule holds for a token. */
  protected final boolean isSpecial(long token) {
    return special != null && special.get(JAVA_BYTE, lead + token) != 0;
  }

  /** Where the sums of queries are in the state of a document, behind its two counts. */
  protected static final long STATE_TOTAL = 2 * Long.BYTES;

  /** Where the weighted sums of keys are in it. */
  protected final long stateValue() {
    return STATE_TOTAL + (long) spec.columns() * Float.BYTES;
  }

  /** Where the heads' maxima are in it, and behind them their sums. */
  protected final long stateMax() {
    return STATE_TOTAL + 2L * spec.columns() * Float.BYTES;
  }

  protected final long stateSum() {
    return stateMax() + (long) spec.heads() * Float.BYTES;
  }

  /** Valid tokens of a document so far. */
  protected final long stateValid() {
    return state.get(JAVA_LONG, 0);
  }

  /** All its tokens so far. */
  protected final long stateTokens() {
    return state.get(JAVA_LONG, Long.BYTES);
  }

  /** Counts a chunk. */
  protected final void count(long valid) {
    state.set(JAVA_LONG, 0, stateValid() + valid);
    state.set(JAVA_LONG, Long.BYTES, stateTokens() + tokens);
  }

  /** How many of the sequence's tokens are no padding. */
  protected final long countValid(long begin, long length) {
    long count = 0;
    for (long token = begin; token < begin + length; token++) {
      count += isValid(token) ? 1 : 0;
    }
    return count;
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
