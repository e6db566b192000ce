package io.quern.internal.cpu;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static java.lang.foreign.ValueLayout.JAVA_INT;

import io.quern.Buffer;
import io.quern.internal.device.TypedMemory;
import io.quern.internal.kernel.Operator;
import io.quern.internal.scalar.CanonicalMath;
import io.quern.op.TreeStatus;
import io.quern.op.TreeVerify;
import io.quern.op.VerifyRule;
import io.quern.op.VerifyTarget;
import java.lang.foreign.MemorySegment;

/** A call of {@code TreeVerify}: the walks through its trees. Back ends read the target's rows. */
public final class TreeVerifyTask extends RowTask {
  private static final int NONE = -1;
  private static final int ABSENT = Integer.MIN_VALUE;
  private static final float LEAST_ACC = 1e-9f;

  private TreeVerify.Spec spec;
  private TargetRow[] rows;
  private MemorySegment offsets;
  private MemorySegment tokens;
  private MemorySegment firstChild;
  private MemorySegment nextSibling;
  private MemorySegment paths;
  private MemorySegment target;
  private MemorySegment temperatures;
  private MemorySegment uniforms;
  private MemorySegment finalUniforms;
  private MemorySegment accepted;
  private MemorySegment counts;
  private MemorySegment next;
  private MemorySegment status;
  private long nodes;
  private int pathCount;
  private long columns;
  private long targetStride;
  private long acceptedStride;

  @Override
  protected Operator operator() {
    return Operator.TREE_VERIFY;
  }

  /** Takes the operands of a call. */
  public void verify(TreeVerify.Spec spec, TreeVerify.Operands operands, TargetRow[] rows) {
    this.spec = spec;
    this.rows = rows;
    offsets = segment(operands.offsets());
    tokens = segment(operands.tokens());
    firstChild = segment(operands.firstChild());
    nextSibling = segment(operands.nextSibling());
    paths = segment(operands.paths());
    target = segment(operands.target());
    temperatures = segment(operands.temperatures());
    uniforms = segment(operands.uniforms());
    finalUniforms = segment(operands.finalUniforms());
    accepted = segment(operands.accepted());
    counts = segment(operands.counts());
    next = segment(operands.next());
    status = segment(operands.status());
    nodes = operands.tokens().shape().size();
    pathCount = paths == null ? 0 : (int) operands.paths().shape().dim(1);
    columns = paths == null ? 0 : operands.paths().shape().dim(2);
    targetStride =
        (spec.target() == VerifyTarget.IDS ? 1 : operands.target().rowStride())
            * spec.dtype().byteSize();
    acceptedStride = operands.accepted().rowStride() * Integer.BYTES;
  }

  private static MemorySegment segment(Buffer buffer) {
    return buffer == null ? null : HostDevice.segment(TypedMemory.of(buffer));
  }

  @Override
  protected void clear() {
    offsets = null;
    tokens = null;
    firstChild = null;
    nextSibling = null;
    paths = null;
    target = null;
    temperatures = null;
    uniforms = null;
    finalUniforms = null;
    accepted = null;
    counts = null;
    next = null;
    status = null;
  }

  @Override
  protected void run(int worker, long from, long to) {
    TargetRow row = rows[worker];
    row.dtype = spec.dtype();
    row.target = target;
    row.vocab = (int) spec.vocab();
    row.isLogits = spec.target() == VerifyTarget.LOGITS;
    row.tokens = tokens;
    row.nextSibling = nextSibling;
    for (long b = from; b < to; b++) {
      for (int i = 0; i < spec.width(); i++) {
        accept(b, i, NONE);
      }
      long first = integer(offsets, b);
      long end = integer(offsets, b + 1);
      TreeStatus found =
          first < 0 || end < first || end > nodes
              ? TreeStatus.OFFSETS
              : end == first
                  ? TreeStatus.EMPTY
                  : spec.byPaths()
                      ? followPaths(row, b, first, (int) (end - first))
                      : followLinks(row, b, first, (int) (end - first));
      if (found != TreeStatus.OK) {
        for (int i = 0; i < spec.width(); i++) {
          accept(b, i, NONE);
        }
        conclude(b, 0, NONE);
      }
      set(status, b, found.ordinal());
    }
    row.target = null;
    row.tokens = null;
    row.nextSibling = null;
  }

  private TreeStatus followLinks(TargetRow row, long b, long first, int n) {
    row.temper(temperature(b));
    boolean draws = spec.rule() == VerifyRule.TARGET_ONLY && !row.isPeaked;
    int seen = 0; // children looked at; a tree has n − 1
    int node = 0;
    accept(b, 0, 0);
    for (int count = 0; ; count++) {
      row.offset = (first + node) * targetStride;
      int token = NONE;
      float coin = 0;
      if (!draws) {
        token = predicted(row);
      } else {
        coin = real(uniforms, first + node);
        if (row.isLogits) {
          row.takeSums();
        }
      }
      int firstborn = count + 1 < spec.width() ? integer(firstChild, first + node) : NONE;
      int child = firstborn;
      float passed = 0;
      for (; child != NONE; child = integer(nextSibling, first + child)) {
        if (child <= 0 || child >= n || ++seen >= n) {
          return TreeStatus.LINK;
        }
        int x = integer(tokens, first + child);
        if (!draws) {
          if (x == token && x >= 0) {
            break;
          }
        } else if (x >= 0 && x < row.vocab) {
          float p = row.probability(x);
          passed += p;
          if (coin <= passed / Math.max(spec.thresholds().acc(), LEAST_ACC)
              || p >= spec.thresholds().single()) {
            break;
          }
        }
      }
      if (child == NONE) {
        if (draws && !row.isLogits) {
          row.takeSums();
        }
        conclude(b, count, draws ? row.draw(real(finalUniforms, b), first, firstborn) : token);
        return TreeStatus.OK;
      }
      node = child;
      accept(b, count + 1, node);
    }
  }

  /**
   * Column by column: each node that a path has been accepted up to is looked at once, and all
   * paths through it go on to their next column or end.
   */
  private TreeStatus followPaths(TargetRow row, long b, long first, int n) {
    int last = (int) Math.min(columns, spec.width()) - 1;
    boolean open = false;
    for (int r = 0; r < pathCount; r++) {
      int root = columns == 0 ? NONE : path(b, r, 0);
      if (root != 0 && root != NONE) {
        return TreeStatus.LINK;
      }
      row.runs[r] = root == 0 ? 0 : ABSENT;
      row.ends[r] = NONE;
      row.scores[r] = 0;
      open |= root == 0;
    }
    for (int c = 0; open; c++) {
      open = false;
      for (int r = 0; r < pathCount; r++) {
        if (row.runs[r] != c) {
          continue;
        }
        int node = path(b, r, c);
        boolean read = false;
        int token = NONE;
        float threshold = 0;
        for (int q = r; q < pathCount; q++) {
          if (row.runs[q] != c || path(b, q, c) != node) {
            continue;
          }
          int child = c < last ? path(b, q, c + 1) : NONE;
          if (child != NONE && (child <= 0 || child >= n)) {
            return TreeStatus.LINK;
          }
          if (child != NONE && !read) {
            read = true;
            row.offset = (first + node) * targetStride;
            token = predicted(row);
            threshold = spec.rule() == VerifyRule.TYPICAL ? threshold(row, b) : 0;
          }
          if (child != NONE && accepts(row, q, integer(tokens, first + child), token, threshold)) {
            row.runs[q] = c + 1;
            open = true;
          } else {
            row.runs[q] = ~c;
          }
        }
        if (read) {
          for (int q = r; q < pathCount; q++) {
            if (row.runs[q] == ~c && path(b, q, c) == node) {
              row.ends[q] = token;
            }
          }
        }
      }
    }
    int best = best(row, b);
    int run = best == NONE ? 0 : ~row.runs[best];
    accept(b, 0, 0);
    for (int c = 1; c <= run; c++) {
      accept(b, c, path(b, best, c));
    }
    int token = best == NONE ? NONE : row.ends[best];
    if (token == NONE) {
      row.offset = (first + (run == 0 ? 0 : path(b, best, run))) * targetStride;
      token = predicted(row);
    }
    conclude(b, run, token);
    return TreeStatus.OK;
  }

  /** The path that wins, or −1 if there is none. */
  private int best(TargetRow row, long b) {
    int best = NONE;
    for (int r = 0; r < pathCount; r++) {
      if (row.runs[r] == ABSENT) {
        continue;
      }
      int ahead = best == NONE ? 1 : Integer.compare(~row.runs[r], ~row.runs[best]);
      if (ahead == 0) {
        int run = ~row.runs[r];
        ahead =
            switch (spec.rule()) {
              case GREEDY_DEEPEST -> Integer.compare(path(b, best, run), path(b, r, run));
              case TYPICAL -> row.scores[r] > row.scores[best] ? 1 : 0;
              default -> 0;
            };
      }
      if (ahead > 0) {
        best = r;
      }
    }
    return best;
  }

  /**
   * Whether path {@code q} goes on to a child with token {@code x}.
   *
   * @param token what the row predicts
   */
  private boolean accepts(TargetRow row, int q, int x, int token, float threshold) {
    if (spec.rule() != VerifyRule.TYPICAL) {
      return x == token && x >= 0;
    }
    if (x < 0 || x >= row.vocab) {
      return false;
    }
    float p = row.isPeaked ? (x == token ? 1 : 0) : row.probability(x);
    if (!(p > threshold)) {
      return false;
    }
    row.scores[q] += CanonicalMath.log(p);
    return true;
  }

  /** min(epsilon, alpha · exp(−H)) of the row. */
  private float threshold(TargetRow row, long b) {
    float entropy;
    row.temper(temperature(b));
    if (row.isPeaked) {
      entropy = -CanonicalMath.log(1 + TargetRow.ENTROPY_SHIFT);
    } else {
      row.takeSums();
      entropy = row.entropy();
    }
    float bound = spec.typical().alpha() * CanonicalMath.exp(-entropy);
    return bound < spec.typical().epsilon() ? bound : spec.typical().epsilon();
  }

  /** The token that a row predicts: its argmax, or the given id. */
  private int predicted(TargetRow row) {
    return spec.target() == VerifyTarget.IDS ? row.target.get(JAVA_INT, row.offset) : row.argmax();
  }

  private float temperature(long b) {
    return temperatures == null ? 1 : real(temperatures, b);
  }

  private int path(long b, int r, int column) {
    return integer(paths, (b * pathCount + r) * columns + column);
  }

  private void accept(long b, int column, int node) {
    accepted.set(JAVA_INT, b * acceptedStride + (long) column * Integer.BYTES, node);
  }

  private void conclude(long b, int count, int token) {
    set(counts, b, count);
    set(next, b, token);
  }

  private static int integer(MemorySegment segment, long i) {
    return segment.get(JAVA_INT, i * Integer.BYTES);
  }

  private static float real(MemorySegment segment, long i) {
    return segment.get(JAVA_FLOAT, i * Float.BYTES);
  }

  private static void set(MemorySegment segment, long i, int value) {
    segment.set(JAVA_INT, i * Integer.BYTES, value);
  }
}
