package io.quern.internal.simd;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;

import io.quern.DType;
import io.quern.internal.cpu.HostStream;
import io.quern.internal.cpu.PonetTask;
import io.quern.internal.scalar.CanonicalMath;
import io.quern.op.PonetPooling;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.Arrays;

/**
 * The half of PoNet's pooling that makes v: mean queries, scores, and the softmax of a chunk and
 * over chunks, whose states are in the workspace. Columns are cut into slices of whole heads.
 */
abstract class PonetSoftmax extends PonetTask {
  /** The most columns of a slice of heads. */
  static final int COLUMNS = PonetPooling.MAX_HEAD_DIM;

  /** The most heads of a slice. */
  static final int HEADS = 64;

  /** Widened rows of local that are kept: the widest window and one that is coming. */
  static final int KEPT = PonetPooling.MAX_WINDOW + 1;

  /**
   * Room for all chunks: chunk c of a sequence s is in place {@code offset(s) / 64 + s + c}, so
   * that no two share one.
   */
  static long places(long sequences, long tokens) {
    return tokens / PonetTask.CHUNK + sequences;
  }

  /** Bytes of what chunks and sequences leave in the workspace. */
  static long shareBytes(PonetPooling.Spec spec, long sequences, long tokens) {
    long rows = places(sequences, tokens) + sequences;
    long floats = 2 * rows * spec.columns() + 2 * rows * spec.heads();
    return Math.ceilDiv(floats * Float.BYTES, 16) * 16;
  }

  /** What one worker computes in. */
  static final class Scratch {
    final Tile tile = new Tile();
    final RowReduction reduction = new RowReduction();
    final float[] query = new float[COLUMNS];
    final float[] value = new float[COLUMNS];
    final float[] chunk = new float[COLUMNS];
    final float[] lift = new float[COLUMNS];
    final float[] alone = new float[COLUMNS];
    final float[] row = new float[COLUMNS];
    final float[] scores = new float[HEADS * PonetTask.CHUNK];
    final float[] weights = new float[PonetTask.CHUNK];
    final float[] sums = new float[PonetTask.CHUNK * PonetScores.LEFT];
    final float[] maxima = new float[HEADS];
    final float[] totals = new float[HEADS];

    /** Tokens of a batch, counted in their sequence, and where their rows are in {@code rows}. */
    final int[] tokens = new int[PonetTask.CHUNK];

    final long[] at = new long[PonetTask.CHUNK];
    MemorySegment rows;
    int listed;

    /** A state of the softmax, with {@code value}. */
    float max;

    float sum;

    /** Whether padding was among what was listed. */
    boolean padded;

    private static Scratch[] ofEach(int workers) {
      Scratch[] scratches = new Scratch[workers];
      Arrays.setAll(scratches, i -> new Scratch());
      return scratches;
    }
  }

  /** Where one worker widens rows of F16 and BF16. */
  static final class Widened {
    final MemorySegment rows =
        Arena.ofAuto().allocate((long) PonetTask.CHUNK * COLUMNS * Float.BYTES, 64);
    final MemorySegment kept = Arena.ofAuto().allocate((long) KEPT * COLUMNS * Float.BYTES, 64);

    /** Which row is in each place of {@code kept}, counted over all sequences, or none. */
    final long[] keeps = new long[KEPT];

    private static Widened[] ofEach(int workers) {
      Widened[] widened = new Widened[workers];
      Arrays.setAll(widened, i -> new Widened());
      return widened;
    }
  }

  Scratch[] scratches;
  Widened[] widened;

  // Where things are in the workspace, in bytes.
  private long querySums;
  long chunkMax;
  long chunkSum;
  long max;
  long sum;

  /** Mean queries and v, a row for each sequence; sums of values, as wide as keys are. */
  long queries;

  long values;
  long valueSums;

  /** Lays the workspace out from a byte on, behind the operands. */
  final void lay(HostStream host, long first) {
    scratches = host.kept(Scratch[].class, Scratch::ofEach);
    widened =
        keyType == DType.F32 && rowType == DType.F32
            ? null
            : host.kept(Widened[].class, Widened::ofEach);
    long sequences = sequences();
    long places = places(sequences, tokens);
    long columns = (long) spec.columns() * Float.BYTES;
    long heads = (long) spec.heads() * Float.BYTES;
    querySums = first;
    queries = querySums + places * columns;
    values = queries + sequences * columns;
    chunkMax = values + sequences * columns;
    chunkSum = chunkMax + places * heads;
    max = chunkSum + places * heads;
    sum = max + sequences * heads;
    valueSums = sum + sequences * heads;
  }

  private long columnBytes(int head) {
    return (long) head * spec.headDim() * Float.BYTES;
  }

  /** The address in the workspace of a row of all columns, from the slice's first one on. */
  final long row(long first, long number, int head) {
    return first + number * spec.columns() * Float.BYTES + columnBytes(head);
  }

  final void setHead(long first, long number, int head, float value) {
    workspace.set(JAVA_FLOAT, first + (number * spec.heads() + head) * Float.BYTES, value);
  }

  final float head(long first, long number, int head) {
    return workspace.get(JAVA_FLOAT, first + (number * spec.heads() + head) * Float.BYTES);
  }

  final float stateHead(long first, int head) {
    return state.get(JAVA_FLOAT, first + (long) head * Float.BYTES);
  }

  /** Lists the valid tokens of a chunk; their number. */
  final int list(Scratch scratch, long begin, long chunk, long length) {
    int n = 0;
    for (int i = 0; i < Math.min(CHUNK, length - chunk); i++) {
      if (isValid(begin + chunk + i)) {
        scratch.tokens[n++] = (int) chunk + i;
      }
    }
    return n;
  }

  /** Finds, or widens, {@code dim} columns of the listed tokens' rows, which begin at a byte. */
  final void locate(
      int worker, DType dtype, MemorySegment x, long first, long stride, int n, int dim) {
    Scratch scratch = scratches[worker];
    for (int k = 0; k < n; k++) {
      scratch.at[k] = first + scratch.tokens[k] * stride;
    }
    scratch.rows = x;
    if (dtype != DType.F32) {
      for (int k = 0; k < n; k++) {
        long to = (long) k * dim * Float.BYTES;
        scratch.tile.load(dtype, x, scratch.at[k], 0, dim);
        scratch.tile.storeWidened(dtype, 0, widened[worker].rows, to, dim);
        scratch.at[k] = to;
      }
      scratch.rows = widened[worker].rows;
    }
  }

  /** Bytes of the columns before a head. */
  final long skipped(DType dtype, int head) {
    return (long) head * spec.headDim() * dtype.byteSize();
  }

  final void sumQueries(int worker, long begin, int n, long place, int head, int heads) {
    Scratch scratch = scratches[worker];
    int dim = heads * spec.headDim();
    locate(worker, keyType, q, begin * strideQ + skipped(keyType, head), strideQ, n, dim);
    Arrays.fill(scratch.chunk, 0, dim, 0);
    PonetRows.add(scratch.rows, scratch.at, n, scratch.chunk, dim);
    MemorySegment.copy(scratch.chunk, 0, workspace, JAVA_FLOAT, row(querySums, place, head), dim);
  }

  /** The mean query of each head of a sequence; with the first slice the chains. */
  void meanOfQueries(int worker, long s, int head, int heads) {
    Scratch scratch = scratches[worker];
    int dim = heads * spec.headDim();
    long begin = offset(s);
    long length = offset(s + 1) - begin;
    if (head == 0 && state == null) {
      chain(begin, length);
    } else if (head == 0) {
      count(countValid(begin, length));
    }
    long place = begin / CHUNK + s;
    long chunks = Math.ceilDiv(length, (long) CHUNK);
    if (state == null) {
      Arrays.fill(scratch.query, 0, dim, 0);
    } else {
      MemorySegment.copy(state, JAVA_FLOAT, row(STATE_TOTAL, 0, head), scratch.query, 0, dim);
    }
    for (long chunk = 0; chunk < chunks; chunk += CHUNK) {
      int n = (int) Math.min(CHUNK, chunks - chunk);
      for (int i = 0; i < n; i++) {
        scratch.at[i] = row(querySums, place + chunk + i, head);
      }
      PonetRows.add(workspace, scratch.at, n, scratch.query, dim);
    }
    if (state == null) {
      PonetRows.divide(scratch.query, (float) countValid(begin, length), dim);
      MemorySegment.copy(scratch.query, 0, workspace, JAVA_FLOAT, row(queries, s, head), dim);
    } else {
      MemorySegment.copy(scratch.query, 0, state, JAVA_FLOAT, row(STATE_TOTAL, 0, head), dim);
    }
  }

  /** The state of the softmax over a chunk's keys, head by head. */
  void addKeys(int worker, long s, long begin, int chunk, int n, long place, int head, int heads) {
    Scratch scratch = scratches[worker];
    int headDim = spec.headDim();
    if (state == null) {
      MemorySegment.copy(
          workspace, JAVA_FLOAT, row(queries, s, head), scratch.query, 0, heads * headDim);
    } else {
      MemorySegment.copy(
          state, JAVA_FLOAT, row(STATE_TOTAL, 0, head), scratch.query, 0, heads * headDim);
      PonetRows.divide(scratch.query, (float) stateValid(), heads * headDim);
    }
    locate(
        worker, keyType, k, begin * strideK + skipped(keyType, head), strideK, n, heads * headDim);
    score(scratch, n, heads);
    PonetScores.spread(scratch.scores, scratch.tokens, n, chunk, heads);
    if (probabilities != null) {
      keepScores(scratch, begin + chunk, n, chunk, head, heads);
    }
    weigh(scratch, n, chunk, place, head, heads);
    for (int h = 0; h < heads; h++) {
      if (scratch.maxima[h] != Float.NEGATIVE_INFINITY) {
        PonetRows.weightedSum(
            scratch.rows,
            scratch.at,
            n,
            columnBytes(h),
            scratch.scores,
            h * CHUNK,
            scratch.chunk,
            headDim);
        MemorySegment.copy(
            scratch.chunk, 0, workspace, JAVA_FLOAT, row(valueSums, place, head + h), headDim);
      }
    }
  }

  /**
   * The softmax over a chunk's scores: maxima and sums are stored, the listed tokens' weights are
   * where their scores were, by their numbers. A head whose maximum is −∞ is passed over.
   */
  final void weigh(Scratch scratch, int n, int chunk, long place, int head, int heads) {
    for (int h = 0; h < heads; h++) {
      scratch.maxima[h] = RowReduction.max(scratch.scores, h * CHUNK, CHUNK);
    }
    PonetScores.exp(scratch.scores, scratch.maxima, heads);
    PonetScores.sum(scratch.scores, heads, scratch.sums, scratch.totals);
    for (int h = 0; h < heads; h++) {
      setHead(chunkMax, place, head + h, scratch.maxima[h]);
      setHead(chunkSum, place, head + h, scratch.totals[h]);
    }
    PonetScores.gather(scratch.scores, scratch.tokens, n, chunk, heads);
  }

  /** Merges the states of a sequence's chunks, in ascending order, down to v. */
  void mergeStates(int worker, long s, int head, int heads) {
    Scratch scratch = scratches[worker];
    int headDim = spec.headDim();
    long place = offset(s) / CHUNK + s;
    long chunks = Math.ceilDiv(offset(s + 1) - offset(s), (long) CHUNK);
    for (int h = head; h < head + heads; h++) {
      Arrays.fill(scratch.value, 0, headDim, 0);
      scratch.max = Float.NEGATIVE_INFINITY;
      scratch.sum = 0;
      if (state != null) {
        MemorySegment.copy(state, JAVA_FLOAT, row(stateValue(), 0, h), scratch.value, 0, headDim);
        scratch.max = stateHead(stateMax(), h);
        scratch.sum = stateHead(stateSum(), h);
      }
      merge(scratch, place, chunks, h, headDim);
      if (state != null) {
        MemorySegment.copy(scratch.value, 0, state, JAVA_FLOAT, row(stateValue(), 0, h), headDim);
        state.set(JAVA_FLOAT, stateMax() + (long) h * Float.BYTES, scratch.max);
        state.set(JAVA_FLOAT, stateSum() + (long) h * Float.BYTES, scratch.sum);
        continue;
      }
      PonetRows.divide(scratch.value, scratch.sum, headDim);
      MemorySegment.copy(scratch.value, 0, workspace, JAVA_FLOAT, row(values, s, h), headDim);
      setHead(max, s, h, scratch.max);
      setHead(sum, s, h, scratch.sum);
    }
  }

  /** Merges chunks' states of a head with values of {@code dim} columns into the scratch's. */
  final void merge(Scratch scratch, long place, long chunks, int h, int dim) {
    for (long at = place; at < place + chunks; at++) {
      float nextMax = head(chunkMax, at, h);
      if (nextMax == Float.NEGATIVE_INFINITY) {
        continue;
      }
      float nextSum = head(chunkSum, at, h);
      boolean first = scratch.max == Float.NEGATIVE_INFINITY;
      float[] next = first ? scratch.value : scratch.chunk;
      long value = valueSums + (at * spec.heads() + h) * dim * Float.BYTES;
      MemorySegment.copy(workspace, JAVA_FLOAT, value, next, 0, dim);
      if (first) {
        scratch.max = nextMax;
        scratch.sum = nextSum;
      } else {
        float merged = Math.max(scratch.max, nextMax) + 0.0f;
        float a = CanonicalMath.exp(scratch.max - merged);
        float b = CanonicalMath.exp(nextMax - merged);
        scratch.max = merged;
        scratch.sum = Math.fma(nextSum, b, scratch.sum * a);
        PonetRows.merge(scratch.value, a, next, b, dim);
      }
    }
  }

  /** The scores of the listed tokens of a chunk, by their numbers. */
  private void score(Scratch scratch, int n, int heads) {
    int headDim = spec.headDim();
    float scale = spec.scale();
    if (headDim % 64 == 0) {
      PonetScores.scores(
          scratch.rows,
          scratch.at,
          n,
          headDim,
          scratch.query,
          headDim,
          heads,
          scale,
          scratch.sums,
          scratch.scores);
      return;
    }
    float[] key = scratch.row;
    for (int i = 0; i < n; i++) {
      MemorySegment.copy(scratch.rows, JAVA_FLOAT, scratch.at[i], key, 0, heads * headDim);
      for (int h = 0; h < heads; h++) {
        int first = h * headDim;
        scratch.scores[h * CHUNK + i] =
            scratch.reduction.dot(scratch.query, first, key, first, headDim) * scale;
      }
    }
  }

  final void keepScores(Scratch scratch, long from, int n, int chunk, int head, int heads) {
    for (int i = 0; i < n; i++) {
      int place = scratch.tokens[i] - chunk;
      for (int h = 0; h < heads; h++) {
        setProbability(from + place, head + h, scratch.scores[h * CHUNK + place]);
      }
    }
  }
}
