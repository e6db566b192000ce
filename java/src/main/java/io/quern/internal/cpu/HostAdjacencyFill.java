package io.quern.internal.cpu;

import static java.lang.foreign.ValueLayout.JAVA_INT;

import io.quern.InvalidDataException.Kind;
import io.quern.internal.device.QueueStream;
import io.quern.internal.device.TypedMemory;
import io.quern.internal.kernel.AdjacencyFillKernel;
import io.quern.internal.kernel.Operator;
import io.quern.op.AdjacencyFill;
import io.quern.op.TreeStatus;
import java.lang.foreign.MemorySegment;

/**
 * {@code tokens[i] = adjacency[tokens[parent[i]], rank[i]]}, node by node. Every load waits for the
 * one before it, so vectors have nothing to win: one kernel serves both CPU back ends.
 */
public final class HostAdjacencyFill implements AdjacencyFillKernel {
  private static final int NO_TOKEN = -1;

  private final AdjacencyFill.Spec spec;

  public HostAdjacencyFill(AdjacencyFill.Spec spec) {
    this.spec = spec;
  }

  @Override
  public void run(QueueStream stream, AdjacencyFill.Operands operands) {
    HostStream host = (HostStream) stream;
    Task task = host.task(Task.class, workers -> new Task());
    task.take(spec, operands);
    long requests = operands.status().shape().size();
    long nodesPerRequest = operands.tokens().shape().size() / requests;
    // A node reads a cache line of its own.
    host.run(task, requests, (nodesPerRequest + 1) * 64);
  }

  private static final class Task extends RowTask {
    private AdjacencyFill.Spec spec;
    private MemorySegment adjacency;
    private long strideBytes;
    private MemorySegment roots;
    private MemorySegment parent;
    private MemorySegment rank;
    private MemorySegment offsets;
    private MemorySegment tokens;
    private MemorySegment status;
    private long nodes;

    void take(AdjacencyFill.Spec spec, AdjacencyFill.Operands operands) {
      this.spec = spec;
      adjacency = HostDevice.segment(TypedMemory.of(operands.adjacency()));
      strideBytes = operands.adjacency().rowStride() * Integer.BYTES;
      roots = HostDevice.segment(TypedMemory.of(operands.roots()));
      parent = HostDevice.segment(TypedMemory.of(operands.parent()));
      rank = HostDevice.segment(TypedMemory.of(operands.rank()));
      offsets = HostDevice.segment(TypedMemory.of(operands.offsets()));
      tokens = HostDevice.segment(TypedMemory.of(operands.tokens()));
      status = HostDevice.segment(TypedMemory.of(operands.status()));
      nodes = operands.tokens().shape().size();
    }

    @Override
    protected Operator operator() {
      return Operator.ADJACENCY_FILL;
    }

    @Override
    protected void clear() {
      adjacency = null;
      roots = null;
      parent = null;
      rank = null;
      offsets = null;
      tokens = null;
      status = null;
    }

    @Override
    @SuppressWarnings("EnumOrdinal") // the numbers of the C ABI
    protected void run(int worker, long from, long to) {
      int highest = Integer.MIN_VALUE;
      for (long b = 0; b < from; b++) {
        highest = Math.max(highest, get(offsets, b));
      }
      for (long b = from; b < to; b++) {
        int begin = get(offsets, b);
        int end = get(offsets, b + 1);
        TreeStatus found = TreeStatus.OFFSETS;
        if (begin >= 0 && begin <= end && end <= nodes && begin >= highest) {
          found = fill(begin, end - begin, get(roots, b));
        }
        highest = Math.max(highest, begin);
        set(status, b, found.ordinal());
      }
    }

    private TreeStatus fill(long first, int count, int root) {
      TreeStatus found = TreeStatus.OK;
      for (int i = 1; i < count; i++) {
        int p = get(parent, first + i);
        if (p < 0 || p >= i) {
          found = TreeStatus.PARENT;
        }
      }
      if (count > 0 && get(parent, first) != -1) {
        found = TreeStatus.ROOT;
      }
      for (int i = 0; i < count; i++) {
        int token = NO_TOKEN;
        if (found == TreeStatus.OK) {
          token = i == 0 ? root : candidate(first + get(parent, first + i), get(rank, first + i));
        }
        set(tokens, first + i, token);
      }
      return found;
    }

    /** The candidate of a rank after the token at a position. */
    private int candidate(long position, int rank) {
      int token = get(tokens, position);
      if (token == NO_TOKEN || rank < 0 || rank >= spec.candidates()) {
        return NO_TOKEN;
      }
      long row = token;
      if (row < 0 || row >= spec.vocab()) {
        switch (spec.policy()) {
          case FAIL -> {
            report(Kind.INDEX, position, token, spec.vocab());
            return NO_TOKEN;
          }
          case SKIP -> {
            return NO_TOKEN;
          }
          case ZERO -> {
            return 0;
          }
          case CLAMP -> {
            if (spec.vocab() == 0) {
              return 0;
            }
            row = token < 0 ? 0 : spec.vocab() - 1;
          }
        }
      }
      return adjacency.get(JAVA_INT, row * strideBytes + rank * (long) Integer.BYTES);
    }

    private static int get(MemorySegment ints, long i) {
      return ints.get(JAVA_INT, i * Integer.BYTES);
    }

    private static void set(MemorySegment ints, long i, int value) {
      ints.set(JAVA_INT, i * Integer.BYTES, value);
    }
  }
}
