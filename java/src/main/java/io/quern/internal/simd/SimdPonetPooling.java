package io.quern.internal.simd;

import io.quern.DType;
import io.quern.Device;
import io.quern.internal.cpu.HostDevice;
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
 * segment, local and o, with the output. As many heads at a time as fit into {@link #COLUMNS} are
 * computed together, so that whole rows stream by and all state stays in the first-level cache.
 */
final class SimdPonetPooling implements PonetPoolingKernel {
  /** The most columns of a slice of heads. */
  private static final int COLUMNS = PonetPooling.MAX_HEAD_DIM;

  /** The most heads of a slice. */
  private static final int HEADS = 64;

  /** Widened rows of local that are kept: the widest window and one that is coming. */
  private static final int KEPT = PonetPooling.MAX_WINDOW + 1;

  private final int workers;
  private final PonetPooling.Spec spec;

  SimdPonetPooling(Device device, PonetPooling.Spec spec) {
    this.workers = ((HostDevice) device).parallelism();
    this.spec = spec;
  }

  @Override
  public long workspaceBytes(long sequences, long tokens) {
    return PonetTask.workspaceBytes(workers, tokens);
  }

  @Override
  public void run(QueueStream stream, PonetPooling.Operands operands) {
    HostStream host = (HostStream) stream;
    Task task = host.task(Task.class, workers -> new Task());
    task.scratches = host.kept(Scratch[].class, Scratch::ofEach);
    task.widened = spec.x() == DType.F32 ? null : host.kept(Widened[].class, Widened::ofEach);
    task.pool(spec, operands);
    long sequences = operands.offsets().shape().dim(0) - 1;
    long tokens = operands.out().shape().dim(0);
    host.run(
        task,
        sequences * spec.heads(),
        6 * tokens / Math.max(1, sequences) * spec.headDim() * spec.x().byteSize());
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
    private final float[] max = new float[HEADS];
    private final float[] sum = new float[HEADS];
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

    @Override
    protected void pool(int worker, long begin, long length, int head, int headEnd) {
      int most = Math.min(HEADS, COLUMNS / spec.headDim());
      for (int first = head; first < headEnd; first += most) {
        poolSlice(worker, begin, length, first, Math.min(most, headEnd - first));
      }
    }

    private void poolSlice(int worker, long begin, long length, int head, int heads) {
      long valid = meanOfQueries(worker, begin, length, head, heads);
      aggregate(worker, begin, length, head, heads);
      if (probabilities != null) {
        normalise(scratches[worker], begin, length, head, heads, valid);
      }
      fuse(worker, begin, length, head, heads);
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

    /** The mean query of each head; the number of valid tokens. */
    private long meanOfQueries(int worker, long begin, long length, int head, int heads) {
      Scratch scratch = scratches[worker];
      int dim = heads * spec.headDim();
      Arrays.fill(scratch.query, 0, dim, 0);
      long valid = 0;
      for (long chunk = 0; chunk < length; chunk += CHUNK) {
        int n = list(scratch, begin, chunk, length);
        locate(worker, q, strideQ, begin, n, head, heads);
        Arrays.fill(scratch.chunk, 0, dim, 0);
        PonetRows.add(scratch.rows, scratch.at, n, scratch.chunk, dim);
        TileReduce.add(scratch.query, scratch.chunk, dim);
        valid += n;
      }
      TileReduce.divide(scratch.query, (float) valid, dim);
      return valid;
    }

    /** The online softmax over the keys of each head, down to v. */
    private void aggregate(int worker, long begin, long length, int head, int heads) {
      Scratch scratch = scratches[worker];
      int headDim = spec.headDim();
      Arrays.fill(scratch.value, 0, heads * headDim, 0);
      Arrays.fill(scratch.max, 0, heads, Float.NEGATIVE_INFINITY);
      Arrays.fill(scratch.sum, 0, heads, 0);
      for (long chunk = 0; chunk < length; chunk += CHUNK) {
        int n = list(scratch, begin, chunk, length);
        locate(worker, k, strideK, begin, n, head, heads);
        Arrays.fill(scratch.scores, 0, heads * CHUNK, Float.NEGATIVE_INFINITY);
        for (int i = 0; i < n; i++) {
          score(scratch, i, scratch.tokens[i] - (int) chunk, heads);
        }
        if (probabilities != null) {
          keepScores(scratch, begin + chunk, n, (int) chunk, head, heads);
        }
        for (int h = 0; h < heads; h++) {
          add(scratch, n, (int) chunk, h);
        }
      }
      for (int h = 0; h < heads; h++) {
        divide(scratch.value, h * headDim, headDim, scratch.sum[h]);
      }
    }

    private static void divide(float[] x, int at, int n, float divisor) {
      for (int i = at; i < at + n; i++) {
        x[i] /= divisor;
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

    /** Merges a chunk into the state of a head. */
    private void add(Scratch scratch, int n, int chunk, int h) {
      int scores = h * CHUNK;
      float max = RowReduction.max(scratch.scores, scores, CHUNK);
      if (max == Float.NEGATIVE_INFINITY) {
        return;
      }
      RowReduction.exp(scratch.scores, scores, CHUNK, max);
      float sum = scratch.reduction.sum(scratch.scores, scores, CHUNK);
      for (int i = 0; i < n; i++) {
        scratch.weights[i] = scratch.scores[scores + scratch.tokens[i] - chunk];
      }
      int headDim = spec.headDim();
      long skip = (long) h * headDim * Float.BYTES;
      PonetRows.weightedSum(
          scratch.rows, scratch.at, n, skip, scratch.weights, scratch.chunk, headDim);
      if (scratch.max[h] == Float.NEGATIVE_INFINITY) {
        scratch.max[h] = max;
        scratch.sum[h] = sum;
        System.arraycopy(scratch.chunk, 0, scratch.value, h * headDim, headDim);
        return;
      }
      float merged = Math.max(scratch.max[h], max) + 0.0f;
      float a = CanonicalMath.exp(scratch.max[h] - merged);
      float b = CanonicalMath.exp(max - merged);
      scratch.max[h] = merged;
      scratch.sum[h] = Math.fma(sum, b, scratch.sum[h] * a);
      PonetRows.merge(scratch.value, h * headDim, a, scratch.chunk, b, headDim);
    }

    private void normalise(
        Scratch scratch, long begin, long length, int head, int heads, long valid) {
      for (long token = begin; token < begin + length; token++) {
        for (int h = 0; h < heads; h++) {
          float p;
          if (valid == 0) {
            p = probabilityOfNone(length);
          } else if (isValid(token)) {
            p = CanonicalMath.exp(probability(token, head + h) - scratch.max[h]) / scratch.sum[h];
          } else {
            p = 0;
          }
          setProbability(token, head + h, p);
        }
      }
    }

    private void fuse(int worker, long begin, long length, int head, int heads) {
      Scratch scratch = scratches[worker];
      int dim = heads * spec.headDim();
      System.arraycopy(scratch.value, 0, scratch.alone, 0, dim);
      TileReduce.add(scratch.alone, 0f, dim);
      if (widened != null) {
        Arrays.fill(widened[worker].keeps, -1);
      }
      for (long id = 0; id < length; id++) {
        int first = first(worker, id);
        if (first >= 0) {
          segmentMax(worker, begin, first, head, heads);
          for (int t = first; t >= 0; ) {
            t = fuseBatch(worker, begin, length, t, head, heads);
          }
        }
      }
      for (long t = 0; t < length; t++) {
        if (!isValid(begin + t) || !hasSegment(begin + t, length)) {
          long skip = (long) head * spec.headDim() * spec.out().byteSize();
          Tile.storeZeros(out, (begin + t) * strideOut + skip, (long) dim * spec.out().byteSize());
        }
      }
    }

    /** Lists up to a chunk of valid tokens of a segment from {@code t} on; the next one, or −1. */
    private int listSegment(int worker, long begin, int t) {
      Scratch scratch = scratches[worker];
      int n = 0;
      int next = t;
      for (; next >= 0 && n < CHUNK; next = next(worker, next)) {
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
