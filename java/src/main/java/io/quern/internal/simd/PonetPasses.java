package io.quern.internal.simd;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;

import io.quern.DType;
import io.quern.internal.cpu.HostStream;
import io.quern.internal.scalar.CanonicalMath;
import java.lang.foreign.MemorySegment;
import java.util.Arrays;

/**
 * The passes of PoNet's pooling: queries; keys; segment, local and o, with the output. Work is cut
 * by tokens, never by heads, so that whole rows stream by: a pass over a quarter of the columns at
 * a time takes three times as long. The chunks' shares of the first two passes are in the workspace
 * and combined in between, in ascending order.
 */
class PonetPasses extends PonetSoftmax {
  /** What is done, and what its rows of work are. */
  enum Pass {
    /** Chunks: their sums of queries. */
    QUERIES,
    /** Sequences: their mean queries, and the chains of their segments. */
    MEAN,
    /** Chunks: their states of the softmax. */
    KEYS,
    /** Sequences: v. */
    VALUE,
    /** Tokens: the output, by the first token of each segment. */
    FUSION,
    /** Tokens of a chunk: the maxima of the runs of one segment that begin there. */
    SEGMENTS,
    /** Tokens of a chunk: their rows of the output. */
    ROWS
  }

  private Pass pass;

  /** Whether the segment ids of a chunk do not descend. */
  private boolean ascending;

  /**
   * Lays the workspace out from a byte on, behind the operands.
   *
   * @param pass what is to be done
   */
  final void lay(Pass pass, HostStream host, long first) {
    this.pass = pass;
    lay(host, first);
  }

  @Override
  protected void begin() {
    ascending = true;
    for (long t = 1; pass == Pass.SEGMENTS && t < tokens; t++) {
      ascending &= segmentId(t - 1) <= segmentId(t);
    }
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
        case SEGMENTS -> raise(worker, from, to, head, heads);
        case ROWS -> fuseRows(worker, from, to, head, heads);
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

  /** Scores become probabilities. */
  private void normalise(long s, long token, int head, int heads) {
    for (int h = head; h < head + heads; h++) {
      float p = 0;
      if (isValid(token)) {
        float score = probability(token, h);
        float most = state == null ? head(max, s, h) : stateHead(stateMax(), h);
        float all = state == null ? head(sum, s, h) : stateHead(stateSum(), h);
        p = CanonicalMath.exp(score - most) / all;
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
      PonetRows.add(scratch.alone, 0f, dim);
      forgetKept(worker);
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
    Arrays.fill(scratch.lift, 0, dim, Float.NEGATIVE_INFINITY);
    scratch.padded = false;
    for (int t = first; t >= 0; ) {
      t = listSegment(worker, begin, t);
      raiseListed(worker, begin, head, heads);
    }
    PonetRows.add(scratch.lift, scratch.value, dim);
  }

  /** Takes the listed tokens into the maximum {@code scratch.lift}. */
  private void raiseListed(int worker, long begin, int head, int heads) {
    Scratch scratch = scratches[worker];
    int dim = heads * spec.headDim();
    float[] best = scratch.lift;
    int n = scratch.listed;
    long at = firstSegment + begin * strideSegment + skipped(rowType, head);
    locate(worker, rowType, segment, at, strideSegment, n, dim);
    int i = 0;
    for (; i <= n - 2; i += 2) {
      PonetRows.max(scratch.rows, scratch.at[i], scratch.at[i + 1], best, dim);
    }
    if (i < n) {
      PonetRows.max(scratch.rows, scratch.at[i], best, dim);
    }
    if (scratch.padded) {
      for (int d = 0; d < dim; d++) {
        best[d] = Math.max(best[d], FILL);
      }
    }
    PonetRows.add(best, 0f, dim);
  }

  /**
   * Takes the runs that begin in a range of a chunk's tokens into the table. Where ids descend two
   * runs may be of one segment, and one thread does it all.
   */
  private void raise(int worker, long from, long to, int head, int heads) {
    if (!ascending && from > 0) {
      return;
    }
    Scratch scratch = scratches[worker];
    int dim = heads * spec.headDim();
    long end = ascending ? to : tokens;
    for (long token = from; token < end; ) {
      int id = segmentId(token);
      if (!hasSegment(token, tokens) || (token == from && from > 0 && segmentId(from - 1) == id)) {
        token++;
        while (token < end && segmentId(token) == id) {
          token++;
        }
        continue;
      }
      MemorySegment.copy(table, JAVA_FLOAT, row(0, id, head), scratch.lift, 0, dim);
      while (token < tokens && segmentId(token) == id) {
        scratch.padded = false;
        scratch.listed = 0;
        for (; token < tokens && segmentId(token) == id && scratch.listed < CHUNK; token++) {
          if (isValid(token)) {
            scratch.tokens[scratch.listed++] = (int) token;
          } else {
            scratch.padded = true;
          }
        }
        raiseListed(worker, 0, head, heads);
      }
      MemorySegment.copy(scratch.lift, 0, table, JAVA_FLOAT, row(0, id, head), dim);
    }
  }

  /** Writes a range of a chunk's rows. */
  private void fuseRows(int worker, long from, long to, int head, int heads) {
    Scratch scratch = scratches[worker];
    int dim = heads * spec.headDim();
    long skip = (long) head * spec.headDim() * spec.out().byteSize();
    MemorySegment.copy(state, JAVA_FLOAT, row(stateValue(), 0, head), scratch.value, 0, dim);
    for (int h = 0; h < heads; h++) {
      float weight = stateHead(stateSum(), head + h);
      System.arraycopy(scratch.value, h * spec.headDim(), scratch.chunk, 0, spec.headDim());
      PonetRows.divide(scratch.chunk, weight, spec.headDim());
      System.arraycopy(scratch.chunk, 0, scratch.value, h * spec.headDim(), spec.headDim());
    }
    System.arraycopy(scratch.value, 0, scratch.alone, 0, dim);
    PonetRows.add(scratch.alone, 0f, dim);
    forgetKept(worker);
    int open = -1;
    for (long token = from; token < to; ) {
      long first = token;
      scratch.listed = 0;
      for (; token < to && token < first + CHUNK; token++) {
        if (isValid(token) && hasSegment(token, tokens)) {
          scratch.tokens[scratch.listed++] = (int) token;
        } else {
          if (isValid(token)) {
            reportSegment(token, tokens);
          }
          Tile.storeZeros(out, token * strideOut + skip, (long) dim * spec.out().byteSize());
        }
        if (probabilities != null && stateValid() == 0) {
          normaliseNone(token, stateTokens(), head, heads);
        } else if (probabilities != null) {
          normalise(0, token, head, heads);
        }
      }
      locate(worker, rowType, o, firstO + skipped(rowType, head), strideO, scratch.listed, dim);
      for (int i = 0; i < scratch.listed; ) {
        int id = segmentId(scratch.tokens[i]);
        if (id != open) {
          MemorySegment.copy(table, JAVA_FLOAT, row(0, id, head), scratch.lift, 0, dim);
          PonetRows.add(scratch.lift, scratch.value, dim);
          open = id;
        }
        boolean alone = i + 1 == scratch.listed || segmentId(scratch.tokens[i + 1]) != id;
        i += fuseNext(worker, 0, tokens, i, alone ? i + 1 : scratch.listed, head, heads);
      }
    }
  }

  /** Writes up to a chunk of rows of a segment from token {@code t} on; the next one, or −1. */
  private int fuseBatch(int worker, long begin, long length, int t, int head, int heads) {
    Scratch scratch = scratches[worker];
    int next = listSegment(worker, begin, t);
    long at = firstO + begin * strideO + skipped(rowType, head);
    locate(worker, rowType, o, at, strideO, scratch.listed, heads * spec.headDim());
    for (int i = 0; i < scratch.listed; ) {
      i += fuseNext(worker, begin, begin + length, i, scratch.listed, head, heads);
    }
    return next;
  }

  /**
   * Writes the row of the listed token {@code i}, or this one and the next, which is of the same
   * segment if it is before {@code last}; how many it wrote.
   */
  private int fuseNext(int worker, long begin, long end, int i, int last, int head, int heads) {
    Scratch scratch = scratches[worker];
    int dim = heads * spec.headDim();
    long token = begin + scratch.tokens[i];
    long target = token * strideOut + (long) head * spec.headDim() * spec.out().byteSize();
    boolean plain = spec.window() == 3 && rowType == DType.F32 && spec.out() == DType.F32;
    if (!plain || isSpecial(token) || fills(begin, end, token - 1, token + 2)) {
      fuseAny(worker, begin, end, i, target, head, heads);
      return 1;
    }
    long low = Math.max(begin - contextBefore, token - 1);
    long high = Math.min(end + contextAfter - 1, token + 1);
    long local0 = localRow(worker, low, head, dim);
    if (i + 1 < last
        && scratch.tokens[i + 1] == scratch.tokens[i] + 1
        && low < token
        && token + 2 < end + contextAfter
        && !isFilled(token + 2)) {
      long next = target + strideOut;
      PonetRows.fuseTwo(
          scratch.lift,
          scratch.rows,
          scratch.at[i],
          scratch.at[i + 1],
          local,
          local0,
          strideLocal,
          out,
          target,
          next,
          dim);
      return 2;
    }
    PonetRows.fuse(
        scratch.lift,
        scratch.rows,
        scratch.at[i],
        local,
        local0,
        localRow(worker, token, head, dim),
        localRow(worker, high, head, dim),
        out,
        target,
        dim);
    return 1;
  }

  /** Whether any token of a range, as far as windows reach, stands as {@link #FILL}. */
  private boolean fills(long begin, long end, long from, long to) {
    boolean filled = false;
    long low = Math.max(begin - contextBefore, from);
    long high = Math.min(end + contextAfter, to);
    for (long i = low; i < high; i++) {
      filled |= isFilled(i);
    }
    return filled;
  }

  /** Writes the row of the listed token {@code i}, whatever it and its window are. */
  private void fuseAny(int worker, long begin, long end, int i, long target, int head, int heads) {
    Scratch scratch = scratches[worker];
    int dim = heads * spec.headDim();
    long token = begin + scratch.tokens[i];
    float[] row = scratch.row;
    if (isSpecial(token)) {
      Arrays.fill(row, 0, dim, 0);
      PonetRows.fuse(scratch.alone, scratch.rows, scratch.at[i], row, dim);
    } else {
      fuseWithLocal(worker, begin, end, token, scratch.at[i], head, heads);
    }
    scratch.tile.round(spec.out(), row, dim);
    scratch.tile.store(spec.out(), row, 0, out, target, dim);
  }

  /** {@code scratch.row = fma(v + s, row of o, l)} of one token. */
  private void fuseWithLocal(
      int worker, long begin, long end, long token, long at, int head, int heads) {
    Scratch scratch = scratches[worker];
    int dim = heads * spec.headDim();
    int reach = spec.window() / 2;
    long low = Math.max(begin - contextBefore, token - reach);
    long high = Math.min(end + contextAfter - 1, token + reach);
    MemorySegment rows = rowType == DType.F32 ? local : widened[worker].kept;
    float[] row = scratch.row;
    boolean filled = fills(begin, end, low, high + 1);
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

  private void forgetKept(int worker) {
    if (widened != null) {
      Arrays.fill(widened[worker].keeps, Long.MIN_VALUE);
    }
  }

  /** Where a row of local is, which is widened if it was not yet. */
  private long localRow(int worker, long token, int head, int dim) {
    long at = firstLocal + token * strideLocal + (long) head * spec.headDim() * rowType.byteSize();
    if (rowType == DType.F32) {
      return at;
    }
    int place = (int) Math.floorMod(token, (long) KEPT);
    long to = (long) place * COLUMNS * Float.BYTES;
    if (widened[worker].keeps[place] != token) {
      Tile tile = scratches[worker].tile;
      tile.load(rowType, local, at, 0, dim);
      tile.storeWidened(rowType, 0, widened[worker].kept, to, dim);
      widened[worker].keeps[place] = token;
    }
    return to;
  }
}
