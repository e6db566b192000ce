package io.quern.internal.cpu;

import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import io.quern.DType;
import io.quern.internal.device.TypedMemory;
import io.quern.internal.kernel.Operator;
import io.quern.op.CandidateNumbering;
import io.quern.op.DynamicTree;
import io.quern.op.TreeStatus;
import java.lang.foreign.MemorySegment;

/** The operands of a {@code DynamicTree}, and the way from selected candidates to parents. */
public abstract class DynamicTreeTask extends TreeOutputsTask {
  private MemorySegment selection;
  private MemorySegment parentList;
  private MemorySegment selected;
  private boolean longIndices;
  private long groups;
  private long topK;
  private long root;
  private long scoreStride;

  /** Where candidates of a request are read once it has some. */
  private MemorySegment candidates;

  /** F32 [B, pool], or null. */
  protected MemorySegment scores;

  /** Candidates of a request. */
  protected int pool;

  /** Candidates to select. */
  protected int wanted;

  @Override
  protected final Operator operator() {
    return Operator.DYNAMIC_TREE;
  }

  /** Takes the operands of a call and runs it. */
  public final void run(
      HostStream stream, DynamicTree.Spec spec, DynamicTree.Operands operands, Writer writer) {
    requests((int) spec.nodes(), operands.prefix());
    outputs(operands.out(), writer);
    scores = segment(operands.scores());
    selection = segment(operands.selection());
    parentList = segment(operands.parentList());
    selected = segment(operands.selected());
    candidates = scores != null ? selected : selection;
    longIndices = spec.indices() == DType.I64;
    groups = spec.groups();
    topK = spec.topK();
    root = spec.numbering() == CandidateNumbering.FROM_ONE ? 0 : -1;
    pool = (int) spec.pool();
    wanted = (int) spec.selected();
    if (scores != null) {
      TypedMemory memory = TypedMemory.of(operands.scores());
      scoreStride = memory.rowStride();
    }
    long requests = operands.parentList().shape().dim(0);
    stream.run(
        this,
        requests,
        bytesPerRequest(operands.out(), requests, requests * spec.nodes())
            + (scores != null ? spec.pool() * Float.BYTES : 0));
  }

  @Override
  protected void clear() {
    super.clear();
    scores = null;
    selection = null;
    parentList = null;
    selected = null;
    candidates = null;
  }

  /**
   * Selects the best of a request whose scores begin at a byte, by {@link #select}; false if NaN is
   * among them.
   */
  protected abstract boolean selectBest(int worker, long b, long scores);

  /** Makes a candidate the {@code i}-th of a request's selection. */
  protected final void select(long b, int i, long candidate) {
    set(selected, b * wanted + i, candidate);
  }

  @Override
  protected final TreeStatus find(int worker, long b, long first, int count) {
    boolean finite = true;
    if (scores != null && wanted > 0) {
      finite = selectBest(worker, b, b * scoreStride * Float.BYTES);
    } else if (!ascends(b)) {
      return TreeStatus.SELECTION;
    }
    boolean orphan = false;
    for (int i = 0; i < count; i++) {
      int found = i == 0 ? -1 : parentOf(b, i);
      orphan |= i > 0 && found < 0;
      parents.set(JAVA_INT, (first + i) * Integer.BYTES, found);
    }
    if (orphan) {
      return TreeStatus.PARENT;
    }
    if (!finite) {
      return TreeStatus.NAN;
    }
    for (int i = 0; selected != null && scores == null && i < wanted; i++) {
      select(b, i, candidate(b, i));
    }
    return TreeStatus.OK;
  }

  @Override
  protected final void spoil(long b) {
    for (int i = 0; selected != null && i < wanted; i++) {
      select(b, i, -1);
    }
  }

  private boolean ascends(long b) {
    long before = -1;
    for (int i = 0; i < wanted; i++) {
      long candidate = candidate(b, i);
      if (candidate <= before || candidate >= pool) {
        return false;
      }
      before = candidate;
    }
    return true;
  }

  private long candidate(long b, int i) {
    return get(candidates, b * wanted + i);
  }

  /** The parent of node {@code i}, −1 if it has none. */
  private int parentOf(long b, int i) {
    long group = candidate(b, i - 1) / topK;
    if (group == 0) {
      return 0;
    }
    if (group >= groups) {
      return -1;
    }
    long entry = get(parentList, b * groups + group);
    if (entry == root) {
      return 0;
    }
    long wantedCandidate = entry - (root + 1);
    int low = 0;
    int high = i - 1;
    while (low < high) {
      int middle = (low + high) >>> 1;
      if (candidate(b, middle) < wantedCandidate) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    return low < i - 1 && candidate(b, low) == wantedCandidate ? low + 1 : -1;
  }

  private long get(MemorySegment indices, long i) {
    return longIndices
        ? indices.get(JAVA_LONG, i * Long.BYTES)
        : indices.get(JAVA_INT, i * Integer.BYTES);
  }

  private void set(MemorySegment indices, long i, long value) {
    if (longIndices) {
      indices.set(JAVA_LONG, i * Long.BYTES, value);
    } else {
      indices.set(JAVA_INT, i * Integer.BYTES, (int) value);
    }
  }
}
