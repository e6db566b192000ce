package io.quern.internal.scalar;

import io.quern.internal.cpu.HostStream;
import io.quern.internal.cpu.PonetTask;
import io.quern.internal.device.QueueStream;
import io.quern.internal.kernel.PonetPoolingKernel;
import io.quern.op.PonetPooling;
import java.lang.foreign.MemorySegment;
import java.util.Arrays;

/** {@code out_t = (v + s_t) ∘ o_t + l_t}, head by head, in canonical order (rules 4, 5, 6, 8). */
final class ScalarPonetPooling implements PonetPoolingKernel {
  private final PonetPooling.Spec spec;

  ScalarPonetPooling(PonetPooling.Spec spec) {
    this.spec = spec;
  }

  @Override
  public long workspaceBytes(long sequences, long tokens) {
    return PonetTask.chainBytes(tokens);
  }

  @Override
  public void run(QueueStream stream, PonetPooling.Operands operands) {
    HostStream host = (HostStream) stream;
    long sequences = operands.offsets().shape().dim(0) - 1;
    long tokens = operands.out().shape().dim(0);
    long length = tokens / Math.max(1, sequences);
    Chains chains = host.task(Chains.class, workers -> new Chains());
    chains.pool(spec, operands);
    host.run(chains, sequences, length * Integer.BYTES);
    Heads heads = host.task(Heads.class, Heads::new);
    heads.pool(spec, operands);
    host.run(heads, sequences * spec.heads(), 6 * length * spec.headDim() * spec.x().byteSize());
  }

  /** Works on sequences. */
  private static final class Chains extends PonetTask {
    @Override
    protected void run(int worker, long from, long to) {
      if (!refuses()) {
        for (long s = from; s < to; s++) {
          chain(offset(s), offset(s + 1) - offset(s));
        }
      }
    }
  }

  /** Works on heads of sequences. */
  private static final class Heads extends PonetTask {
    private final Head[] heads;

    Heads(int workers) {
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
        long valid = meanOfQueries(one);
        aggregate(one);
        if (probabilities != null) {
          normalise(one, valid);
        }
        fuse(one);
      }
    }

    private float load(MemorySegment rows, long stride, long token, Head one, int d) {
      int column = one.h * spec.headDim() + d;
      return Element.load(spec.x(), rows, token * stride + (long) column * spec.x().byteSize());
    }

    /** Into {@code one.query}; gives the number of valid tokens. */
    private long meanOfQueries(Head one) {
      long valid = 0;
      for (long t = 0; t < one.length; t++) {
        valid += isValid(one.begin + t) ? 1 : 0;
      }
      for (int d = 0; d < spec.headDim(); d++) {
        float total = 0;
        for (long chunk = 0; chunk < one.length; chunk += CHUNK) {
          float partial = 0;
          for (long t = chunk; t < Math.min(one.length, chunk + CHUNK); t++) {
            if (isValid(one.begin + t)) {
              partial += load(q, strideQ, one.begin + t, one, d);
            }
          }
          total += partial;
        }
        one.query[d] = total / valid;
      }
      return valid;
    }

    /** The softmax over keys: {@code one.max}, {@code one.sum}, and v in {@code one.value}. */
    private void aggregate(Head one) {
      boolean first = true;
      one.max = Float.NEGATIVE_INFINITY;
      one.sum = 0;
      Arrays.fill(one.value, 0, spec.headDim(), 0);
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
        float merged = first ? max : Math.max(one.max, max) + 0.0f;
        float a = first ? 0 : CanonicalMath.exp(one.max - merged);
        float b = first ? 1 : CanonicalMath.exp(max - merged);
        one.sum = first ? sum : Math.fma(sum, b, one.sum * a);
        one.max = merged;
        for (int d = 0; d < spec.headDim(); d++) {
          float value = 0;
          for (int i = 0; i < n; i++) {
            long token = one.begin + chunk + i;
            if (isValid(token)) {
              value = Math.fma(one.weights[i], load(k, strideK, token, one, d), value);
            }
          }
          one.value[d] = first ? value : Math.fma(value, b, one.value[d] * a);
        }
        first = false;
      }
      for (int d = 0; d < spec.headDim(); d++) {
        one.value[d] /= one.sum;
      }
    }

    private float score(long token, Head one) {
      one.key.of(
          spec.x(), k, token * strideK + (long) one.h * spec.headDim() * spec.x().byteSize());
      return one.reduction.dot(one.queries, one.key, spec.headDim()) * spec.scale();
    }

    private void normalise(Head one, long valid) {
      for (long t = 0; t < one.length; t++) {
        long token = one.begin + t;
        float p;
        if (valid == 0) {
          p = probabilityOfNone(one.length);
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
            max =
                Math.max(max, isValid(token) ? load(segment, strideSegment, token, one, d) : FILL);
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

    private float fused(Head one, long t, int d, float segmentMax) {
      boolean alone = isSpecial(one.begin + t);
      float v = one.value[d] + (alone ? 0 : segmentMax);
      return Math.fma(v, load(o, strideO, one.begin + t, one, d), alone ? 0 : localMax(one, t, d));
    }

    private float localMax(Head one, long t, int d) {
      int reach = spec.window() / 2;
      float max = Float.NEGATIVE_INFINITY;
      for (long i = Math.max(0, t - reach); i <= Math.min(one.length - 1, t + reach); i++) {
        long token = one.begin + i;
        boolean filled = !isValid(token) || isSpecial(token);
        max = Math.max(max, filled ? FILL : load(local, strideLocal, token, one, d));
      }
      return max + 0.0f;
    }

    private void store(Head one, long t, int d, float value) {
      int column = one.h * spec.headDim() + d;
      long target = (one.begin + t) * strideOut + (long) column * spec.out().byteSize();
      Element.store(spec.out(), out, target, value);
    }
  }

  /** One head of one sequence on its way. */
  private static final class Head {
    private final float[] query = new float[PonetPooling.MAX_HEAD_DIM];
    private final float[] value = new float[PonetPooling.MAX_HEAD_DIM];
    private final float[] scores = new float[PonetTask.CHUNK];
    private final float[] weights = new float[PonetTask.CHUNK];
    private final RowReduction reduction = new RowReduction();
    private final RowReduction.Row weightRow = i -> weights[(int) i];
    private final RowReduction.Row queries = i -> query[(int) i];
    private final RowReduction.Stored key = new RowReduction.Stored();
    private int h;
    private long begin;
    private long length;
    private float max;
    private float sum;
  }
}
