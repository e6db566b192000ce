package io.quern.internal.cpu;

import static java.lang.foreign.ValueLayout.JAVA_BOOLEAN;
import static java.lang.foreign.ValueLayout.JAVA_INT;

import io.quern.Buffer;
import io.quern.InvalidDataException.Kind;
import io.quern.internal.device.QueueStream;
import io.quern.internal.device.TypedMemory;
import io.quern.internal.kernel.Operator;
import io.quern.internal.kernel.PonetSegmentsKernel;
import io.quern.op.PonetSegments;
import io.quern.op.PonetSegments.Rule;
import java.lang.foreign.MemorySegment;

/** {@code PonetSegments} of both CPU back ends: a running sum over integers leaves no choice. */
public final class HostPonetSegments implements PonetSegmentsKernel {
  private final PonetSegments.Spec spec;

  public HostPonetSegments(PonetSegments.Spec spec) {
    this.spec = spec;
  }

  @Override
  public void run(
      QueueStream stream, Buffer tokens, Buffer offsets, Buffer segmentIds, Buffer special) {
    HostStream host = (HostStream) stream;
    Task task = host.task(Task.class, workers -> new Task());
    long count = segmentIds.shape().dim(0);
    long sequences = offsets.shape().dim(0) - 1;
    task.rule = spec.rule();
    task.tokens = tokens == null ? null : HostDevice.segment(TypedMemory.of(tokens));
    task.segmentIds = HostDevice.segment(TypedMemory.of(segmentIds));
    task.special = special == null ? null : HostDevice.segment(TypedMemory.of(special));
    task.sequences.take(offsets, count);
    task.count = count;
    host.run(task, sequences, count / Math.max(1, sequences) * Integer.BYTES);
  }

  private static final class Task extends RowTask {
    private final Sequences sequences = new Sequences();
    private Rule rule;
    private MemorySegment tokens;
    private MemorySegment segmentIds;
    private MemorySegment special;
    private long count;

    @Override
    protected Operator operator() {
      return Operator.PONET_SEGMENTS;
    }

    @Override
    protected void clear() {
      sequences.clear();
      tokens = null;
      segmentIds = null;
      special = null;
    }

    @Override
    protected void run(int worker, long from, long to) {
      long bad = sequences.firstBad();
      if (bad >= 0) {
        report(Kind.OFFSETS, bad, sequences.badValue(bad), count);
        return;
      }
      for (long s = from; s < to; s++) {
        long begin = sequences.offset(s);
        long end = sequences.offset(s + 1);
        switch (rule) {
          case Rule.Tokens by -> cut(by, begin, end);
          case Rule.Fixed by -> {
            long length = (end - begin) / by.segments() + 1;
            for (long t = begin; t < end; t++) {
              segmentIds.set(JAVA_INT, t * Integer.BYTES, (int) ((t - begin) / length));
            }
          }
        }
      }
    }

    private void cut(Rule.Tokens by, long begin, long end) {
      int id = -1;
      boolean before = false;
      for (long t = begin; t < end; t++) {
        int token = tokens.get(JAVA_INT, t * Integer.BYTES);
        boolean here = token == by.cls() || token == by.sep();
        id += (here ? 1 : 0) + (before ? 1 : 0);
        segmentIds.set(JAVA_INT, t * Integer.BYTES, id);
        if (special != null) {
          special.set(JAVA_BOOLEAN, t, here);
        }
        before = here;
      }
    }
  }
}
