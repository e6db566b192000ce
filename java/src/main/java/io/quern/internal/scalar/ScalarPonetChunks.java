package io.quern.internal.scalar;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;

import io.quern.Buffer;
import io.quern.internal.cpu.HostPonetChunks;
import io.quern.internal.cpu.HostStream;
import io.quern.internal.device.QueueStream;
import io.quern.op.PonetChunks;
import io.quern.op.PonetPooling;
import java.lang.foreign.MemorySegment;

/** The passes of a pooling over one chunk, head by head, from where the last chunk left them. */
final class ScalarPonetChunks extends HostPonetChunks {
  ScalarPonetChunks(PonetPooling.Spec spec) {
    super(spec);
  }

  @Override
  public long workspaceBytes(long tokens) {
    return 0;
  }

  private long headBytes(Buffer rows) {
    return rows.shape().dim(0) * spec.headDim() * spec.x().byteSize();
  }

  @Override
  public void queries(QueueStream stream, PonetChunks.Queries operands) {
    HostStream host = (HostStream) stream;
    Queries task = host.task(Queries.class, Queries::new);
    task.chunk(spec, operands);
    host.run(task, spec.heads(), headBytes(operands.q()));
  }

  @Override
  public void keys(QueueStream stream, PonetChunks.Keys operands) {
    HostStream host = (HostStream) stream;
    Keys task = host.task(Keys.class, Keys::new);
    task.chunk(spec, operands);
    host.run(task, spec.heads(), 2 * headBytes(operands.k()));
  }

  @Override
  public void fuse(QueueStream stream, PonetChunks.Fusion operands) {
    HostStream host = (HostStream) stream;
    Fusion task = host.task(Fusion.class, Fusion::new);
    task.chunk(spec, operands);
    host.run(task, spec.heads(), 3 * headBytes(operands.o()));
  }

  private abstract static class Pass extends PonetHeads {
    Pass(int workers) {
      super(workers);
    }

    @Override
    protected final void run(int worker, long from, long to) {
      Head one = heads[worker];
      one.begin = 0;
      one.length = tokens;
      for (one.h = (int) from; one.h < to; one.h++) {
        pass(one);
      }
    }

    abstract void pass(Head one);

    private static float get(MemorySegment segment, long first, long i) {
      return segment.get(JAVA_FLOAT, first + i * Float.BYTES);
    }

    private static void set(MemorySegment segment, long first, long i, float value) {
      segment.set(JAVA_FLOAT, first + i * Float.BYTES, value);
    }

    final float state(long first, long i) {
      return get(state, first, i);
    }

    final void setState(long first, long i, float value) {
      set(state, first, i, value);
    }

    final float table(long id, long column) {
      return get(table, id * spec.columns() * Float.BYTES, column);
    }

    final void setTable(long id, long column, float value) {
      set(table, id * spec.columns() * Float.BYTES, column, value);
    }
  }

  private static final class Queries extends Pass {
    Queries(int workers) {
      super(workers);
    }

    @Override
    void pass(Head one) {
      for (int d = 0; d < spec.headDim(); d++) {
        long c = column(one, d);
        setState(STATE_TOTAL, c, sumOfQueries(one, c, state(STATE_TOTAL, c)));
      }
      if (one.h == 0) {
        count(countValid(0, tokens));
      }
    }
  }

  private static final class Keys extends Pass {
    Keys(int workers) {
      super(workers);
    }

    @Override
    void pass(Head one) {
      one.max = state(stateMax(), one.h);
      one.sum = state(stateSum(), one.h);
      for (int d = 0; d < spec.headDim(); d++) {
        long c = column(one, d);
        one.query[d] = state(STATE_TOTAL, c) / stateValid();
        one.value[d] = state(stateValue(), c);
      }
      aggregate(one);
      setState(stateMax(), one.h, one.max);
      setState(stateSum(), one.h, one.sum);
      for (int d = 0; d < spec.headDim(); d++) {
        setState(stateValue(), column(one, d), one.value[d]);
      }
      for (long t = 0; t < tokens; t++) {
        for (int d = 0; d < spec.headDim() && hasSegment(t, tokens); d++) {
          long c = column(one, d);
          setTable(
              segmentId(t), c, Math.max(table(segmentId(t), c), segmentElement(t, one, d)) + 0.0f);
        }
      }
    }
  }

  private static final class Fusion extends Pass {
    Fusion(int workers) {
      super(workers);
    }

    @Override
    void pass(Head one) {
      one.max = state(stateMax(), one.h);
      one.sum = state(stateSum(), one.h);
      for (int d = 0; d < spec.headDim(); d++) {
        one.value[d] = state(stateValue(), column(one, d)) / one.sum;
      }
      if (probabilities != null) {
        normalise(one, stateValid(), stateTokens());
      }
      for (long t = 0; t < tokens; t++) {
        boolean pooled = isValid(t) && hasSegment(t, tokens);
        if (isValid(t) && !pooled) {
          reportSegment(t, tokens);
        }
        for (int d = 0; d < spec.headDim(); d++) {
          float s = pooled ? table(segmentId(t), column(one, d)) : 0;
          store(one, t, d, pooled ? fused(one, t, d, s) : 0);
        }
      }
    }
  }
}
