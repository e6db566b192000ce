package io.quern.internal.scalar;

import io.quern.DType;
import io.quern.internal.cpu.PonetTask;
import io.quern.op.PonetMixer;
import java.lang.foreign.MemorySegment;
import java.util.Arrays;

/**
 * Works on heads of sequences, one after the other: mean query, softmax over keys, fusion. The
 * mixer's keys are whole rows of x, of which every head has its own query.
 */
class PonetHeads extends PonetTask {
  final Head[] heads;

  PonetHeads(int workers) {
    heads = new Head[workers];
    for (int i = 0; i < workers; i++) {
      heads[i] = new Head();
    }
  }

  @Override
  protected void run(int worker, long from, long to) {
    if (refuses()) {
      return; // a graph goes on after the chains have refused
    }
    Head one = heads[worker];
    for (long at = from; at < to; at++) {
      long s = at / spec.heads();
      one.h = (int) (at % spec.heads());
      one.begin = offset(s);
      one.length = offset(s + 1) - one.begin;
      long valid = countValid(one.begin, one.length);
      meanOfQueries(worker, one, valid);
      value(worker, one);
      if (probabilities != null) {
        normalise(one, valid, one.length);
      }
      fuse(one);
    }
  }

  /** Columns of a key. */
  int keyDim() {
    return spec.headDim();
  }

  /** The first column of a head's keys. */
  int keyColumn(Head one) {
    return one.h * spec.headDim();
  }

  private static float load(DType dtype, MemorySegment rows, long row, long column) {
    return Element.load(dtype, rows, row + column * dtype.byteSize());
  }

  final long column(Head one, int d) {
    return (long) one.h * spec.headDim() + d;
  }

  /** The sum over a sequence's valid tokens of one column of q, added to {@code total}. */
  final float sumOfQueries(Head one, long column, float total) {
    for (long chunk = 0; chunk < one.length; chunk += CHUNK) {
      float partial = 0;
      for (long t = chunk; t < Math.min(one.length, chunk + CHUNK); t++) {
        if (isValid(one.begin + t)) {
          partial += load(keyType, q, (one.begin + t) * strideQ, column);
        }
      }
      total += partial;
    }
    return total;
  }

  /** Into {@code one.query}. */
  void meanOfQueries(int worker, Head one, long valid) {
    for (int d = 0; d < spec.headDim(); d++) {
      one.query[d] = sumOfQueries(one, column(one, d), 0) / valid;
    }
  }

  /** v, into {@code one.value}. */
  void value(int worker, Head one) {
    one.max = Float.NEGATIVE_INFINITY;
    one.sum = 0;
    Arrays.fill(one.value, 0, keyDim(), 0);
    aggregate(one);
    for (int d = 0; d < keyDim(); d++) {
      one.value[d] /= one.sum;
    }
  }

  /** Takes keys into the softmax: {@code one.max}, {@code one.sum}, and v in {@code one.value}. */
  final void aggregate(Head one) {
    for (long chunk = 0; chunk < one.length; chunk += CHUNK) {
      int n = (int) Math.min(CHUNK, one.length - chunk);
      float max = Float.NEGATIVE_INFINITY;
      for (int i = 0; i < n; i++) {
        long token = one.begin + chunk + i;
        if (isValid(token)) {
          one.scores[i] = score(token, one);
          max = Math.max(max, one.scores[i]);
        } else {
          one.scores[i] = 0;
        }
        if (probabilities != null) {
          setProbability(token, one.h, one.scores[i]);
        }
      }
      max += 0.0f;
      if (max == Float.NEGATIVE_INFINITY) {
        continue;
      }
      for (int i = 0; i < CHUNK; i++) {
        one.weights[i] =
            i < n && isValid(one.begin + chunk + i) ? CanonicalMath.exp(one.scores[i] - max) : 0;
      }
      float sum = one.reduction.sum(one.weightRow, n);
      boolean first = one.max == Float.NEGATIVE_INFINITY;
      float merged = first ? max : Math.max(one.max, max) + 0.0f;
      float a = first ? 0 : CanonicalMath.exp(one.max - merged);
      float b = first ? 1 : CanonicalMath.exp(max - merged);
      one.sum = first ? sum : Math.fma(sum, b, one.sum * a);
      one.max = merged;
      for (int d = 0; d < keyDim(); d++) {
        float value = 0;
        for (int i = 0; i < n; i++) {
          long token = one.begin + chunk + i;
          if (isValid(token)) {
            value =
                Math.fma(
                    one.weights[i], load(keyType, k, token * strideK, keyColumn(one) + d), value);
          }
        }
        one.value[d] = first ? value : Math.fma(value, b, one.value[d] * a);
      }
    }
  }

  private float score(long token, Head one) {
    one.key.of(keyType, k, token * strideK + (long) keyColumn(one) * keyType.byteSize());
    return one.reduction.dot(one.queries, one.key, keyDim()) * spec.scale();
  }

  /** Scores become probabilities; {@code length} is that of the whole sequence. */
  final void normalise(Head one, long valid, long length) {
    for (long t = 0; t < one.length; t++) {
      long token = one.begin + t;
      float p;
      if (valid == 0) {
        p = probabilityOfNone(length);
      } else if (isValid(token)) {
        p = CanonicalMath.exp(probability(token, one.h) - one.max) / one.sum;
      } else {
        p = 0;
      }
      setProbability(token, one.h, p);
    }
  }

  private void fuse(Head one) {
    for (long id = 0; id < one.length; id++) {
      for (int d = 0; d < spec.headDim(); d++) {
        float max = Float.NEGATIVE_INFINITY;
        for (int t = first(one.begin + id); t >= 0; t = next(one.begin + t)) {
          long token = one.begin + t;
          max = Math.max(max, segmentElement(token, one, d));
        }
        for (int t = first(one.begin + id); t >= 0; t = next(one.begin + t)) {
          if (isValid(one.begin + t)) {
            store(one, t, d, fused(one, t, d, max + 0.0f));
          }
        }
      }
    }
    for (long t = 0; t < one.length; t++) {
      long token = one.begin + t;
      if (!isValid(token) || !hasSegment(token, one.length)) {
        if (isValid(token)) {
          reportSegment(token, one.length);
        }
        for (int d = 0; d < spec.headDim(); d++) {
          store(one, t, d, 0);
        }
      }
    }
  }

  /** What a token brings to the maximum of its segment. */
  final float segmentElement(long token, Head one, int d) {
    return isValid(token)
        ? load(rowType, segment, firstSegment + token * strideSegment, column(one, d))
        : FILL;
  }

  /** An element of the output. */
  final float fused(Head one, long t, int d, float segmentMax) {
    boolean alone = isSpecial(one.begin + t);
    float v = one.value[d] + (alone ? 0 : segmentMax);
    float element = load(rowType, o, firstO + (one.begin + t) * strideO, column(one, d));
    return Math.fma(v, element, alone ? 0 : localMax(one, t, d));
  }

  private float localMax(Head one, long t, int d) {
    int reach = spec.window() / 2;
    float max = Float.NEGATIVE_INFINITY;
    long first = Math.max(-contextBefore, t - reach);
    long last = Math.min(one.length + contextAfter - 1, t + reach);
    for (long i = first; i <= last; i++) {
      long token = one.begin + i;
      boolean filled = !isValid(token) || isSpecial(token);
      max =
          Math.max(
              max,
              filled
                  ? FILL
                  : load(rowType, local, firstLocal + token * strideLocal, column(one, d)));
    }
    return max + 0.0f;
  }

  final void store(Head one, long t, int d, float value) {
    long target = (one.begin + t) * strideOut + column(one, d) * spec.out().byteSize();
    Element.store(spec.out(), out, target, value);
  }

  /** One head of one sequence on its way. */
  static final class Head {
    final float[] query = new float[PonetMixer.MAX_COLUMNS];
    final float[] value = new float[PonetMixer.MAX_COLUMNS];
    private final float[] scores = new float[CHUNK];
    private final float[] weights = new float[CHUNK];
    final RowReduction reduction = new RowReduction();
    private final RowReduction.Row weightRow = i -> weights[(int) i];
    private final RowReduction.Row queries = i -> query[(int) i];
    private final RowReduction.Stored key = new RowReduction.Stored();
    int h;
    long begin;
    long length;
    float max;
    float sum;
  }
}
