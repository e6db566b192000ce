package io.quern.internal.simd;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;

import io.quern.DType;
import io.quern.internal.cpu.HostStream;
import io.quern.internal.cpu.PonetTask;
import io.quern.internal.device.QueueStream;
import io.quern.internal.kernel.PonetPoolingKernel;
import io.quern.internal.scalar.CanonicalMath;
import io.quern.op.PonetPooling;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.Arrays;

/**
 * {@code out_t = (v + s_t) ∘ o_t + l_t} in three passes over memory: the queries; the keys;
 * segment, local and o, with the output. Work is cut by tokens, never by heads, so that whole rows
 * stream by: a pass over a quarter of the columns at a time takes three times as long. The chunks'
 * shares of the first two passes are in the workspace and combined in between, in ascending order.
 */
final class SimdPonetPooling implements PonetPoolingKernel {
  /** The most columns of a slice of heads. */
  private static final int COLUMNS = PonetPooling.MAX_HEAD_DIM;

  /** The most heads of a slice. */
  private static final int HEADS = 64;

  /** Widened rows of local that are kept: the widest window and one that is coming. */
  private static final int KEPT = PonetPooling.MAX_WINDOW + 1;

  private final PonetPooling.Spec spec;

  SimdPonetPooling(PonetPooling.Spec spec) {
    this.spec = spec;
  }

  @Override
  public long workspaceBytes(long sequences, long tokens) {
    long rows = places(sequences, tokens) + sequences;
    long floats = 2 * rows * spec.columns() + 2 * rows * spec.heads();
    return Math.ceilDiv(PonetTask.chainBytes(tokens) + floats * Float.BYTES, 16) * 16;
  }

  @Override
  public void run(QueueStream stream, PonetPooling.Operands operands) {
    HostStream host = (HostStream) stream;
    long sequences = operands.offsets().shape().dim(0) - 1;
    long tokens = operands.out().shape().dim(0);
    long rowBytes = (long) spec.columns() * spec.x().byteSize();
    long places = places(sequences, tokens);
    run(host, operands, Pass.QUERIES, places, PonetTask.CHUNK * rowBytes);
    run(host, operands, Pass.MEAN, sequences, places / Math.max(1, sequences) * rowBytes);
    run(host, operands, Pass.KEYS, places, PonetTask.CHUNK * rowBytes);
    run(host, operands, Pass.VALUE, sequences, places / Math.max(1, sequences) * rowBytes);
    run(host, operands, Pass.FUSION, tokens, 4 * rowBytes);
  }

  private void run(
      HostStream host, PonetPooling.Operands operands, Pass pass, long rows, long bytesPerRow) {
    Task task = host.task(Task.class, workers -> new Task());
    task.scratches = host.kept(Scratch[].class, Scratch::ofEach);
    task.widened = spec.x() == DType.F32 ? null : host.kept(Widened[].class, Widened::ofEach);
    task.pool(spec, operands);
    task.pass = pass;
    task.lay(operands.offsets().shape().dim(0) - 1);
    host.run(task, rows, bytesPerRow);
  }

  /** What is done, and what its rows of work are. */
  private enum Pass {
    /** Chunks: their sums of queries. */
    QUERIES,
    /** Sequences: their mean queries, and the chains of their segments. */
    MEAN,
    /** Chunks: their states of the softmax. */
    KEYS,
    /** Sequences: v. */
    VALUE,
    /** Tokens: the output, by the first token of each segment. */
    FUSION
  }

  /**
   * Room for all chunks: chunk c of a sequence s is in place {@code offset(s) / 64 + s + c}, so
   * that no two share one.
   */
  private static long places(long sequences, long tokens) {
    return tokens / PonetTask.CHUNK + sequences;
  }

  /** What one worker computes in. */
  private static final class Scratch {
    private final Tile tile = new Tile();
    private final RowReduction reduction = new RowReduction();
    private final float[] query = new float[COLUMNS];
    private final float[] value = new float[COLUMNS];
    private final float[] chunk = new float[COLUMNS];
    private final float[] lift = new float[COLUMNS];
    private final float[] alone = new float[COLUMNS];
    private final float[] row = new float[COLUMNS];
    private final float[] scores = new float[HEADS * PonetTask.CHUNK];
    private final float[] weights = new float[PonetTask.CHUNK];
    private final float[] partials = new float[PonetRows.PARTIALS];

    /** Tokens of a batch, counted in their sequence, and where their rows are in {@code rows}. */
    private final int[] tokens = new int[PonetTask.CHUNK];

    private final long[] at = new long[PonetTask.CHUNK];
    private MemorySegment rows;
    private int listed;

    /** Whether padding was among what was listed. */
    private boolean padded;

    private static Scratch[] ofEach(int workers) {
      Scratch[] scratches = new Scratch[workers];
      Arrays.setAll(scratches, i -> new Scratch());
      return scratches;
    }
  }

  /** Where one worker widens rows of F16 and BF16. */
  private static final class Widened {
    private final MemorySegment rows =
        Arena.ofAuto().allocate((long) PonetTask.CHUNK * COLUMNS * Float.BYTES, 64);
    private final MemorySegment kept =
        Arena.ofAuto().allocate((long) KEPT * COLUMNS * Float.BYTES, 64);

    /** Which row is in each place of {@code kept}, counted over all sequences; −1: none. */
    private final long[] keeps = new long[KEPT];

    private static Widened[] ofEach(int workers) {
      Widened[] widened = new Widened[workers];
      Arrays.setAll(widened, i -> new Widened());
      return widened;
    }
  }

  private static final class Task extends PonetTask {
    private Scratch[] scratches;
    private Widened[] widened;
    private Pass pass;

    // Where things are in the workspace, in bytes.
    private long querySums;
    private long queries;
    private long valueSums;
    private long values;
    private long chunkMax;
    private long chunkSum;
    private long max;
    private long sum;

    /** Lays the workspace out. */
    private void lay(long sequences) {
      long places = places(sequences, tokens);
      long columns = (long) spec.columns() * Float.BYTES;
      long heads = (long) spec.heads() * Float.BYTES;
      querySums = chainBytes(tokens);
      queries = querySums + places * columns;
      valueSums = queries + sequences * columns;
      values = valueSums + places * columns;
      chunkMax = values + sequences * columns;
      chunkSum = chunkMax + places * heads;
      max = chunkSum + places * heads;
      sum = max + sequences * heads;
    }

    @Override
    protected void run(int worker, long from, long to) {
      if (refuses()) {
        return;
      }
      int most = Math.min(HEADS, COLUMNS / spec.headDim());
      for (int head = 0; head < spec.heads(); head += most) {
        int heads = Math.min(most, spec.heads() - head);
        switch (pass) {
          case QUERIES, KEYS -> chunks(worker, from, to, head, heads);
          case MEAN, VALUE -> {
            for (long s = from; s < to; s++) {
              if (pass == Pass.VALUE) {
                mergeStates(worker, s, head, heads);
              } else {
                meanOfQueries(worker, s, head, heads);
              }
            }
          }
          case FUSION -> fuse(worker, from, to, head, heads);
        }
      }
    }

    /** The last sequence that begins at or before a token, or whose chunks begin so. */
    private long sequenceAt(long at, boolean places) {
      long low = 0;
      long high = sequences() - 1;
      while (low < high) {
        long middle = (low + high + 1) >>> 1;
        long start = places ? offset(middle) / CHUNK + middle : offset(middle);
        if (start <= at) {
          low = middle;
        } else {
          high = middle - 1;
        }
      }
      return low;
    }

    /** Computes the chunks that are in a range of places. */
    private void chunks(int worker, long from, long to, int head, int heads) {
      long s = sequenceAt(from, true);
      for (long place = from; place < to; place++) {
        while (s + 1 < sequences() && offset(s + 1) / CHUNK + s + 1 <= place) {
          s++;
        }
        long begin = offset(s);
        long length = offset(s + 1) - begin;
        long chunk = (place - begin / CHUNK - s) * CHUNK;
        if (chunk < 0 || chunk >= length) {
          continue;
        }
        int n = list(scratches[worker], begin, chunk, length);
        if (pass == Pass.QUERIES) {
          sumQueries(worker, begin, n, place, head, heads);
        } else {
          addKeys(worker, s, begin, (int) chunk, n, place, head, heads);
        }
      }
    }

    private long columnBytes(int head) {
      return (long) head * spec.headDim() * Float.BYTES;
    }

    /** The address in the workspace of a row of all columns, from the slice's first one on. */
    private long row(long first, long number, int head) {
      return first + number * spec.columns() * Float.BYTES + columnBytes(head);
    }

    private void setHead(long first, long number, int head, float value) {
      workspace.set(JAVA_FLOAT, first + (number * spec.heads() + head) * Float.BYTES, value);
    }

    private float head(long first, long number, int head) {
      return workspace.get(JAVA_FLOAT, first + (number * spec.heads() + head) * Float.BYTES);
    }

    /** Lists the valid tokens of a chunk; their number. */
    private int list(Scratch scratch, long begin, long chunk, long length) {
      int n = 0;
      for (int i = 0; i < Math.min(CHUNK, length - chunk); i++) {
        if (isValid(begin + chunk + i)) {
          scratch.tokens[n++] = (int) chunk + i;
        }
      }
      return n;
    }

    /** Finds, or widens, the rows of the listed tokens from the slice's first column on. */
    private void locate(
        int worker, MemorySegment x, long stride, long begin, int n, int head, int heads) {
      Scratch scratch = scratches[worker];
      long skip = (long) head * spec.headDim() * spec.x().byteSize();
      for (int k = 0; k < n; k++) {
        scratch.at[k] = (begin + scratch.tokens[k]) * stride + skip;
      }
      scratch.rows = x;
      if (widened != null) {
        int dim = heads * spec.headDim();
        for (int k = 0; k < n; k++) {
          long to = (long) k * dim * Float.BYTES;
          scratch.tile.load(spec.x(), x, scratch.at[k], 0, dim);
          scratch.tile.storeWidened(spec.x(), 0, widened[worker].rows, to, dim);
          scratch.at[k] = to;
        }
        scratch.rows = widened[worker].rows;
      }
    }

    private void sumQueries(int worker, long begin, int n, long place, int head, int heads) {
      Scratch scratch = scratches[worker];
      int dim = heads * spec.headDim();
      locate(worker, q, strideQ, begin, n, head, heads);
      Arrays.fill(scratch.chunk, 0, dim, 0);
      PonetRows.add(scratch.rows, scratch.at, n, scratch.chunk, dim);
      MemorySegment.copy(scratch.chunk, 0, workspace, JAVA_FLOAT, row(querySums, place, head), dim);
    }

    /** The mean query of each head of a sequence; with the first slice the chains. */
    private void meanOfQueries(int worker, long s, int head, int heads) {
      Scratch scratch = scratches[worker];
      int dim = heads * spec.headDim();
      long begin = offset(s);
      long length = offset(s + 1) - begin;
      if (head == 0) {
        chain(begin, length);
      }
      long place = begin / CHUNK + s;
      long chunks = Math.ceilDiv(length, (long) CHUNK);
      Arrays.fill(scratch.query, 0, dim, 0);
      for (long chunk = 0; chunk < chunks; chunk += CHUNK) {
        int n = (int) Math.min(CHUNK, chunks - chunk);
        for (int i = 0; i < n; i++) {
          scratch.at[i] = row(querySums, place + chunk + i, head);
        }
        PonetRows.add(workspace, scratch.at, n, scratch.query, dim);
      }
      TileReduce.divide(scratch.query, (float) countValid(begin, length), dim);
      MemorySegment.copy(scratch.query, 0, workspace, JAVA_FLOAT, row(queries, s, head), dim);
    }

    private long countValid(long begin, long length) {
      long valid = 0;
      for (long token = begin; token < begin + length; token++) {
        valid += isValid(token) ? 1 : 0;
      }
      return valid;
    }

    /** The state of the softmax over a chunk's keys, head by head. */
    private void addKeys(
        int worker, long s, long begin, int chunk, int n, long place, int head, int heads) {
      Scratch scratch = scratches[worker];
      int headDim = spec.headDim();
      MemorySegment.copy(
          workspace, JAVA_FLOAT, row(queries, s, head), scratch.query, 0, heads * headDim);
      locate(worker, k, strideK, begin, n, head, heads);
      Arrays.fill(scratch.scores, 0, heads * CHUNK, Float.NEGATIVE_INFINITY);
      for (int i = 0; i < n; i++) {
        score(scratch, i, scratch.tokens[i] - chunk, heads);
      }
      if (probabilities != null) {
        keepScores(scratch, begin + chunk, n, chunk, head, heads);
      }
      for (int h = 0; h < heads; h++) {
        int scores = h * CHUNK;
        float max = RowReduction.max(scratch.scores, scores, CHUNK);
        setHead(chunkMax, place, head + h, max);
        if (max == Float.NEGATIVE_INFINITY) {
          continue;
        }
        RowReduction.exp(scratch.scores, scores, CHUNK, max);
        setHead(chunkSum, place, head + h, scratch.reduction.sum(scratch.scores, scores, CHUNK));
        for (int i = 0; i < n; i++) {
          scratch.weights[i] = scratch.scores[scores + scratch.tokens[i] - chunk];
        }
        PonetRows.weightedSum(
            scratch.rows, scratch.at, n, columnBytes(h), scratch.weights, scratch.chunk, headDim);
        MemorySegment.copy(
            scratch.chunk, 0, workspace, JAVA_FLOAT, row(valueSums, place, head + h), headDim);
      }
    }

    /** Merges the states of a sequence's chunks, in ascending order, down to v. */
    private void mergeStates(int worker, long s, int head, int heads) {
      Scratch scratch = scratches[worker];
      int headDim = spec.headDim();
      long place = offset(s) / CHUNK + s;
      long chunks = Math.ceilDiv(offset(s + 1) - offset(s), (long) CHUNK);
      for (int h = head; h < head + heads; h++) {
        Arrays.fill(scratch.value, 0, headDim, 0);
        float max = Float.NEGATIVE_INFINITY;
        float sum = 0;
        for (long at = place; at < place + chunks; at++) {
          float nextMax = head(chunkMax, at, h);
          if (nextMax == Float.NEGATIVE_INFINITY) {
            continue;
          }
          float nextSum = head(chunkSum, at, h);
          float[] next = max == Float.NEGATIVE_INFINITY ? scratch.value : scratch.chunk;
          MemorySegment.copy(workspace, JAVA_FLOAT, row(valueSums, at, h), next, 0, headDim);
          if (max == Float.NEGATIVE_INFINITY) {
            max = nextMax;
            sum = nextSum;
          } else {
            float merged = Math.max(max, nextMax) + 0.0f;
            float a = CanonicalMath.exp(max - merged);
            float b = CanonicalMath.exp(nextMax - merged);
            max = merged;
            sum = Math.fma(nextSum, b, sum * a);
            PonetRows.merge(scratch.value, a, next, b, headDim);
          }
        }
        TileReduce.divide(scratch.value, sum, headDim);
        MemorySegment.copy(scratch.value, 0, workspace, JAVA_FLOAT, row(values, s, h), headDim);
        setHead(this.max, s, h, max);
        setHead(this.sum, s, h, sum);
      }
    }

    /** The scores of the listed token {@code i}, which is at {@code place} of its chunk. */
    private void score(Scratch scratch, int i, int place, int heads) {
      int headDim = spec.headDim();
      float scale = spec.scale();
      if (headDim % 64 == 0) {
        for (int h = 0; h < heads; h++) {
          int first = h * headDim;
          PonetRows.products(
              scratch.rows,
              scratch.at[i] + (long) first * Float.BYTES,
              scratch.query,
              first,
              headDim,
              scratch.partials,
              0);
          scratch.scores[h * CHUNK + place] = PonetRows.halved(scratch.partials, 0) * scale;
        }
        return;
      }
      float[] key = scratch.row;
      scratch.tile.load(DType.F32, scratch.rows, scratch.at[i], 0, heads * headDim);
      System.arraycopy(scratch.tile.floats, 0, key, 0, heads * headDim);
      for (int h = 0; h < heads; h++) {
        int first = h * headDim;
        scratch.scores[h * CHUNK + place] =
            scratch.reduction.dot(scratch.query, first, key, first, headDim) * scale;
      }
    }

    private void keepScores(Scratch scratch, long from, int n, int chunk, int head, int heads) {
      for (int i = 0; i < n; i++) {
        int place = scratch.tokens[i] - chunk;
        for (int h = 0; h < heads; h++) {
          setProbability(from + place, head + h, scratch.scores[h * CHUNK + place]);
        }
      }
    }

    /** Scores become probabilities. */
    private void normalise(long s, long token, int head, int heads) {
      for (int h = head; h < head + heads; h++) {
        float p = 0;
        if (isValid(token)) {
          float score = probability(token, h);
          p = CanonicalMath.exp(score - head(max, s, h)) / head(sum, s, h);
        }
        setProbability(token, h, p);
      }
    }

    /** A sequence without a valid token. */
    private void normaliseNone(long token, long length, int head, int heads) {
      for (int h = head; h < head + heads; h++) {
        setProbability(token, h, probabilityOfNone(length));
      }
    }

    /** Writes the rows of the segments whose first tokens are in a range, and its other rows. */
    private void fuse(int worker, long from, long to, int head, int heads) {
      Scratch scratch = scratches[worker];
      int dim = heads * spec.headDim();
      long skip = (long) head * spec.headDim() * spec.out().byteSize();
      for (long s = sequenceAt(from, false); s < sequences() && offset(s) < to; s++) {
        long begin = offset(s);
        long length = offset(s + 1) - begin;
        if (begin + length <= from) {
          continue;
        }
        MemorySegment.copy(workspace, JAVA_FLOAT, row(values, s, head), scratch.value, 0, dim);
        System.arraycopy(scratch.value, 0, scratch.alone, 0, dim);
        TileReduce.add(scratch.alone, 0f, dim);
        if (widened != null) {
          Arrays.fill(widened[worker].keeps, -1);
        }
        boolean none = probabilities != null && countValid(begin, length) == 0;
        for (long token = Math.max(from, begin); token < Math.min(to, begin + length); token++) {
          boolean inside = hasSegment(token, length);
          if (inside && first(begin + segmentId(token)) == token - begin) {
            int first = (int) (token - begin);
            segmentMax(worker, begin, first, head, heads);
            for (int t = first; t >= 0; ) {
              t = fuseBatch(worker, begin, length, t, head, heads);
            }
          }
          if (!isValid(token) || !inside) {
            if (isValid(token)) {
              reportSegment(token, length);
            }
            Tile.storeZeros(out, token * strideOut + skip, (long) dim * spec.out().byteSize());
          }
          if (none) {
            normaliseNone(token, length, head, heads);
          } else if (probabilities != null) {
            normalise(s, token, head, heads);
          }
        }
      }
    }

    /** Lists up to a chunk of valid tokens of a segment from {@code t} on; the next one, or −1. */
    private int listSegment(int worker, long begin, int t) {
      Scratch scratch = scratches[worker];
      int n = 0;
      int next = t;
      for (; next >= 0 && n < CHUNK; next = next(begin + next)) {
        if (isValid(begin + next)) {
          scratch.tokens[n++] = next;
        } else {
          scratch.padded = true;
        }
      }
      scratch.listed = n;
      return next;
    }

    /** {@code scratch.lift = v + s} of the segment that begins with token {@code first}. */
    private void segmentMax(int worker, long begin, int first, int head, int heads) {
      Scratch scratch = scratches[worker];
      int dim = heads * spec.headDim();
      float[] best = scratch.lift;
      Arrays.fill(best, 0, dim, Float.NEGATIVE_INFINITY);
      scratch.padded = false;
      for (int t = first; t >= 0; ) {
        t = listSegment(worker, begin, t);
        int n = scratch.listed;
        locate(worker, segment, strideSegment, begin, n, head, heads);
        int i = 0;
        for (; i <= n - 2; i += 2) {
          PonetRows.max(scratch.rows, scratch.at[i], scratch.at[i + 1], best, dim);
        }
        if (i < n) {
          PonetRows.max(scratch.rows, scratch.at[i], best, dim);
        }
      }
      if (scratch.padded) {
        for (int d = 0; d < dim; d++) {
          best[d] = Math.max(best[d], FILL);
        }
      }
      TileReduce.add(best, 0f, dim);
      TileReduce.add(best, scratch.value, dim);
    }

    /** Writes up to a chunk of rows of a segment from token {@code t} on; the next one, or −1. */
    private int fuseBatch(int worker, long begin, long length, int t, int head, int heads) {
      Scratch scratch = scratches[worker];
      int dim = heads * spec.headDim();
      int next = listSegment(worker, begin, t);
      locate(worker, o, strideO, begin, scratch.listed, head, heads);
      long skip = (long) head * spec.headDim() * spec.out().byteSize();
      for (int i = 0; i < scratch.listed; i++) {
        long token = begin + scratch.tokens[i];
        float[] row = scratch.row;
        if (isSpecial(token)) {
          Arrays.fill(row, 0, dim, 0);
          PonetRows.fuse(scratch.alone, scratch.rows, scratch.at[i], row, dim);
        } else {
          fuseWithLocal(worker, begin, begin + length, token, scratch.at[i], head, heads);
        }
        scratch.tile.round(spec.out(), row, dim);
        scratch.tile.store(spec.out(), row, 0, out, token * strideOut + skip, dim);
      }
      return next;
    }

    /** {@code scratch.row = fma(v + s, row of o, l)} of one token. */
    private void fuseWithLocal(
        int worker, long begin, long end, long token, long at, int head, int heads) {
      Scratch scratch = scratches[worker];
      int dim = heads * spec.headDim();
      int reach = spec.window() / 2;
      long low = Math.max(begin, token - reach);
      long high = Math.min(end - 1, token + reach);
      boolean filled = false;
      for (long i = low; i <= high; i++) {
        filled |= isFilled(i);
      }
      MemorySegment rows = widened == null ? local : widened[worker].kept;
      float[] row = scratch.row;
      if (reach == 1 && !filled) {
        long l0 = localRow(worker, low, head, dim);
        long l1 = localRow(worker, token, head, dim);
        long l2 = localRow(worker, high, head, dim);
        PonetRows.fuse(scratch.lift, scratch.rows, at, rows, l0, l1, l2, row, dim);
        return;
      }
      Arrays.fill(row, 0, dim, filled ? FILL : Float.NEGATIVE_INFINITY);
      for (long i = low; i <= high; i++) {
        if (!isFilled(i)) {
          PonetRows.max(rows, localRow(worker, i, head, dim), row, dim);
        }
      }
      PonetRows.fuse(scratch.lift, scratch.rows, at, row, dim);
    }

    private boolean isFilled(long token) {
      return !isValid(token) || isSpecial(token);
    }

    /** Where a row of local is, which is widened if it was not yet. */
    private long localRow(int worker, long token, int head, int dim) {
      long at = token * strideLocal + (long) head * spec.headDim() * spec.x().byteSize();
      if (widened == null) {
        return at;
      }
      int place = (int) (token % KEPT);
      long to = (long) place * COLUMNS * Float.BYTES;
      if (widened[worker].keeps[place] != token) {
        Tile tile = scratches[worker].tile;
        tile.load(spec.x(), local, at, 0, dim);
        tile.storeWidened(spec.x(), 0, widened[worker].kept, to, dim);
        widened[worker].keeps[place] = token;
      }
      return to;
    }
  }
}
