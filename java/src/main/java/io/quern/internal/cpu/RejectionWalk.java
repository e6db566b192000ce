package io.quern.internal.cpu;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_SHORT;

import io.quern.DType;
import io.quern.op.CoinOrder;
import io.quern.op.Distribution;
import io.quern.op.RejectionRule;
import io.quern.op.RejectionVerify;
import io.quern.op.TreeStatus;
import java.lang.foreign.MemorySegment;
import java.util.Arrays;

/**
 * One worker's walk through the requests of a {@code RejectionVerify}: the rules, in F32 scalars,
 * and scratch of two rows. What is done to whole rows is left to a back end.
 *
 * <p>A residual is {@code r(v) = max(fma(−c, q[v], a · p[v]), 0)}, NaN counted as 0; rejections
 * only raise c, and clear the tokens that cannot come any more from p and q.
 */
public abstract class RejectionWalk {
  /** Elements of a piece of a row (rule 4). */
  protected static final int PIECE = 4096;

  private static final int NONE = -1;

  /** A link that cannot be followed. */
  private static final int BROKEN = -2;

  /** Steps of the search for ρ at most, and how near to its equation is near enough. */
  private static final int RHO_STEPS = 40;

  private static final float RHO_TOLERANCE = 0x1p-22f;

  /** Totals of the pieces of the residual that {@link #mass} summed last. */
  protected final float[] totals = new float[RejectionVerify.MAX_VOCAB / PIECE];

  /** A piece of a residual. */
  private final float[] piece = new float[PIECE];

  private float[] p = new float[0];
  private float[] q = new float[0];
  private int[] path = new int[0];

  private RejectionTask task;
  private RejectionRule rule;
  private int vocab;
  private int width;
  private long request;
  private long first;
  private int count;
  private float inverse;
  private int steps;
  private int tests;
  private int depth;
  private boolean stagedTarget;
  private boolean stagedDraft;
  private int node;

  /** The argmax of the node's target row, with RELAXED_GREEDY. */
  private int top;

  /** What the neighbours that {@link #neighbours} counted last add. */
  private float lastPrefix;

  private float lastRho;

  /** Scratch for rows of that many elements. */
  final void reserve(int vocab, int width) {
    if (p.length < vocab) {
      p = new float[vocab];
      q = new float[vocab];
    }
    int stack = Math.min(width, RejectionVerify.MAX_GREEDY_WIDTH);
    if (path.length < stack) {
      path = new int[stack];
    }
  }

  /** The row of probabilities that {@code n} stored probabilities are: 0 unless positive. */
  protected abstract void probabilities(
      DType dtype, MemorySegment row, long offset, float[] into, int n);

  /**
   * The weights exp((x − max) · inverse) of {@code n} stored logits, 1 where x is the maximum, 0
   * where the exponent is NaN.
   */
  protected abstract void weights(
      DType dtype, MemorySegment row, long offset, float max, float inverse, float[] into, int n);

  /** {@code x / divisor}, in place. */
  protected abstract void divide(float[] x, int n, float divisor);

  /** The argmax of a stored row: NaN below −∞, ties to the lowest index. */
  protected abstract int argmax(DType dtype, MemorySegment row, long offset, int n);

  /** The canonical sum. */
  protected abstract float sum(float[] x, int n);

  /** The canonical sum of {@code min(q, p · inverse)}. */
  protected abstract float capped(float[] p, float[] q, int n, float inverse);

  /** Elements {@code at} to {@code at + n} of the residual; q is not read where c is 0. */
  protected abstract void residual(
      float[] p, float[] q, float a, float c, int at, float[] into, int n);

  /** The canonical sum of the {@code n} elements of a piece. */
  protected abstract float sumOfPiece(float[] x, int n);

  /** The canonical sum of the residual; fills {@link #totals}. */
  private float mass(float a, float c) {
    float total = 0;
    for (int at = 0; at < vocab; at += PIECE) {
      int n = Math.min(PIECE, vocab - at);
      residual(p, q, a, c, at, piece, n);
      totals[at / PIECE] = sumOfPiece(piece, n);
      total += totals[at / PIECE];
    }
    return total;
  }

  /** Walks request {@code b}. */
  final void request(RejectionTask task, long b) {
    this.task = task;
    rule = task.spec.rule();
    vocab = (int) task.spec.vocab();
    width = task.spec.width();
    request = b;
    long end = task.offsets.get(JAVA_INT, (b + 1) * Integer.BYTES);
    first = task.offsets.get(JAVA_INT, b * Integer.BYTES);
    for (int i = 0; i < width; i++) {
      accept(i, NONE);
    }
    depth = 0;
    steps = 0;
    tests = 0;
    lastRho = 0;
    if (first < 0 || end < first || end > task.nodes) {
      finish(TreeStatus.OFFSETS, NONE);
      return;
    }
    count = (int) (end - first);
    if (count == 0) {
      finish(TreeStatus.OK, NONE);
      return;
    }
    float temperature =
        task.temperatures == null ? 1 : task.temperatures.get(JAVA_FLOAT, b * Float.BYTES);
    inverse = 1 / temperature;
    arriveAt(0);
    accept(0, 0);
    if (!(temperature > 0)) {
      greedy();
    } else if (rule == RejectionRule.RELAXED_GREEDY) {
      relaxedGreedy();
    } else if (rule == RejectionRule.BLOCK) {
      block();
    } else {
      descend();
    }
    this.task = null;
  }

  private void descend() {
    while (true) {
      int child = depth + 1 < width ? firstChild(node) : NONE;
      if (child == BROKEN) {
        finish(TreeStatus.LINK, NONE);
        return;
      }
      if (child == NONE) {
        drawFromTarget();
        return;
      }
      int chosen =
          switch (rule) {
            case POINT_DRAFTS -> judgePoints(child);
            case K_SEQ -> judgeTogether(child);
            case RELAXED -> judgeRelaxed(child);
            default -> judgeDraws(child);
          };
      if (chosen == BROKEN) {
        finish(TreeStatus.LINK, NONE);
        return;
      }
      if (chosen == NONE) {
        return; // next has been drawn
      }
      accept(++depth, chosen);
      arriveAt(chosen);
    }
  }

  /** WITHOUT_REPLACEMENT and WITH_REPLACEMENT. */
  private int judgeDraws(int child) {
    boolean without = rule == RejectionRule.WITHOUT_REPLACEMENT;
    float rejected = 0; // C
    float share = 1; // c
    boolean pending = false;
    while (child >= 0) {
      int x = token(child);
      if (inVocabulary(x)) {
        if (pending) {
          stage();
          float left = without ? sum(q, vocab) : 1;
          float mass = mass(1, rejected);
          share = left > 0 ? mass / left : 0;
          pending = false;
        }
        float u = coin(child);
        float qx = draftAt(x);
        float known = qx > 0 ? qx : 0;
        float residual = targetAt(x);
        if (rejected != 0) {
          residual = positive(Math.fma(-rejected, known, residual));
        }
        if (residual > 0 && u * (share * (Float.isNaN(qx) ? qx : known)) < residual) {
          return child;
        }
        rejected += share;
        pending = true;
        if (without) {
          stage();
          p[x] = 0;
          q[x] = 0;
        }
      }
      child = nextSibling(child);
    }
    if (child == BROKEN) {
      return BROKEN;
    }
    stage();
    draw(1, rejected);
    return NONE;
  }

  private int judgePoints(int child) {
    int start = child;
    float left = 1;
    int before = 0;
    while (child >= 0) {
      int x = token(child);
      if (inVocabulary(x) && !isRepeated(start, before, x)) {
        float u = coin(child);
        float px = targetAt(x);
        if (u * left < px) {
          return child;
        }
        left -= px;
        stageTarget();
        p[x] = 0;
      }
      child = nextSibling(child);
      before++;
    }
    if (child == BROKEN) {
      return BROKEN;
    }
    stageTarget();
    draw(1, 0);
    return NONE;
  }

  /** K_SEQ. */
  private int judgeTogether(int start) {
    int k = 0;
    int child = start;
    for (; child >= 0; child = nextSibling(child)) {
      if (inVocabulary(token(child))) {
        k++;
      }
    }
    if (child == BROKEN) {
      return BROKEN;
    }
    stage();
    float rho = k > 1 ? rho(k) : 1;
    lastRho = rho;
    for (child = start; child >= 0; child = link(task.nextSibling, child)) {
      int x = token(child);
      if (inVocabulary(x)) {
        float u = coin(child);
        if (p[x] > 0 && u * (rho * draftAt(x)) < p[x]) {
          return child;
        }
      }
    }
    draw(1, k > 0 ? rho : 0);
    return NONE;
  }

  /**
   * The root ρ in [1, k] of Σ (1 − β(ρ))^i = ρ, by the Illinois method. The answer is the last
   * point tried, within 2^−22 of the equation, or after so many steps the upper end.
   */
  private float rho(int k) {
    float low = 1;
    float high = k;
    float atLow = excess(low, k);
    if (!(atLow > RHO_TOLERANCE)) {
      return low;
    }
    float atHigh = excess(high, k);
    if (!(atHigh < -RHO_TOLERANCE * high)) {
      return high;
    }
    int side = 0;
    for (int step = 0; step < RHO_STEPS; step++) {
      float middle = high - atHigh * ((high - low) / (atHigh - atLow));
      if (!(middle > low && middle < high)) {
        middle = low + (high - low) * 0.5f;
      }
      float at = excess(middle, k);
      if (Math.abs(at) <= RHO_TOLERANCE * middle) {
        return middle;
      }
      if (at > 0) {
        low = middle;
        atLow = at;
        atHigh = side == 1 ? atHigh * 0.5f : atHigh;
        side = 1;
      } else {
        high = middle;
        atHigh = at;
        atLow = side == -1 ? atLow * 0.5f : atLow;
        side = -1;
      }
    }
    return high;
  }

  /** Σ (1 − β(ρ))^i − ρ over i < k. */
  private float excess(float rho, int k) {
    float miss = 1 - capped(p, q, vocab, 1 / rho);
    float sum = 1;
    for (int i = 1; i < k; i++) {
      sum = Math.fma(sum, miss, 1);
    }
    return sum - rho;
  }

  private int judgeRelaxed(int child) {
    int start = child;
    float left = 1;
    int before = 0;
    boolean pending = false;
    stageTarget();
    while (child >= 0) {
      int x = token(child);
      float qx = !inVocabulary(x) ? 0 : task.draft == null ? 1 : draftAt(x);
      if (qx > 0 && !isRepeated(start, before, x)) {
        if (pending) {
          left = renormalized();
          pending = false;
        }
        float u = coin(child);
        float px = p[x];
        int neighbours = neighbours(x, bound(left, px));
        if (u * (qx * left) < px + lastPrefix) {
          return child;
        }
        p[x] = 0;
        if (neighbours > 0) {
          long cleared = Math.min(task.spec.relaxation().neighbours() + 1L, task.nearestColumns);
          for (long j = 0; j < cleared; j++) {
            int id = neighbour(x, j);
            if (inVocabulary(id)) {
              p[id] = 0;
            }
          }
        }
        pending = true;
      }
      child = nextSibling(child);
      before++;
    }
    if (child == BROKEN) {
      return BROKEN;
    }
    if (pending) {
      renormalized();
    }
    draw(1, 0);
    return NONE;
  }

  /** What is left of p; where nothing is, p becomes uniform. */
  private float renormalized() {
    float left = sum(p, vocab);
    if (left > 0) {
      return left;
    }
    Arrays.fill(p, 0, vocab, 1);
    return vocab;
  }

  private float bound(float left, float px) {
    float delta = task.spec.relaxation().delta();
    return delta <= 1 ? delta * left : (delta - 1) * px;
  }

  /** How many neighbours of x have a sum within the bound, which is in {@link #lastPrefix}. */
  private int neighbours(int x, float bound) {
    lastPrefix = 0;
    int k = task.spec.relaxation().neighbours();
    for (int j = 0; j < k; j++) {
      int id = neighbour(x, j);
      float sum = lastPrefix + (inVocabulary(id) ? p[id] : 0);
      if (!(sum <= bound)) {
        return j;
      }
      lastPrefix = sum;
    }
    return k;
  }

  private int neighbour(int x, long j) {
    long row = x * task.nearestStride;
    return task.spec.relaxation().nearest() == DType.I32
        ? task.nearest.get(JAVA_INT, row + j * Integer.BYTES)
        : task.nearest.get(JAVA_SHORT, row + j * Short.BYTES) & 0xffff;
  }

  /** Depth first over matching nodes, with the path to the current one as the stack. */
  private void relaxedGreedy() {
    int longest = 0;
    int best = 0;
    int level = 0; // of the node whose children are looked at
    path[0] = 0;
    int child = width > 1 ? firstChild(0) : NONE;
    while (true) {
      if (child == BROKEN) {
        finish(TreeStatus.LINK, NONE);
        return;
      }
      if (child == NONE) {
        if (level == 0) {
          break;
        }
        child = nextSibling(path[level--]);
      } else if (matches(path[level], child)) {
        path[++level] = child;
        if (level > longest) {
          longest = level;
          best = child;
          for (int i = 1; i <= level; i++) {
            accept(i, path[i]);
          }
        }
        child = level + 1 < width ? firstChild(child) : NONE;
      } else {
        child = nextSibling(child);
      }
    }
    depth = longest;
    node = best;
    finish(TreeStatus.OK, argmax());
  }

  private boolean matches(int parent, int child) {
    int x = token(child);
    if (!inVocabulary(x)) {
      return false;
    }
    if (node != parent || !stagedTarget) {
      arriveAt(parent);
      stageTarget();
      top = argmax();
    }
    if (x == top) {
      return true;
    }
    if (neighbours(x, bound(1, p[x])) == 0) {
      return false;
    }
    float raised = p[x] + lastPrefix;
    return raised > p[top] || (raised == p[top] && x < top);
  }

  private void block() {
    int last = Math.min(count, width) - 1;
    float joint = 1; // π of the node that is looked at
    float jointAtEnd = 1;
    int end = 0;
    for (int i = 1; i <= last; i++) {
      if (node != i - 1) {
        arriveAt(i - 1);
      }
      int x = token(i);
      joint = inVocabulary(x) ? ratio(joint * targetAt(x), draftAt(x)) : 0;
      if (joint == 0) {
        break;
      }
      float h = joint;
      if (i < last) {
        arriveAt(i);
        stage();
        float mass = mass(joint, 1);
        h = mass > 0 ? mass / (mass + (1 - joint)) : 0;
      }
      if (uniform(task.spec.coins() == CoinOrder.NODE ? i : i - 1) < h) {
        end = i;
        jointAtEnd = joint;
      }
    }
    for (depth = 0; depth < end; ) {
      accept(++depth, depth);
    }
    if (node != end) {
      arriveAt(end);
    }
    if (end == last) {
      drawFromTarget();
    } else {
      stage();
      draw(jointAtEnd, 1);
    }
  }

  /** min(1, t / q), 1 where q is 0, 0 where t is 0 or q is NaN. */
  private static float ratio(float t, float q) {
    return !(t > 0) ? 0 : t >= q ? 1 : positive(t / q);
  }

  /** Temperature 0. */
  private void greedy() {
    while (true) {
      int wanted = argmax();
      int child = depth + 1 < width ? firstChild(node) : NONE;
      while (child >= 0 && token(child) != wanted) {
        child = nextSibling(child);
      }
      if (child < 0) {
        finish(child == BROKEN ? TreeStatus.LINK : TreeStatus.OK, child == BROKEN ? NONE : wanted);
        return;
      }
      accept(++depth, child);
      arriveAt(child);
    }
  }

  private void drawFromTarget() {
    stageTarget();
    draw(1, 0);
  }

  /** Draws next from the residual and finishes. */
  private void draw(float a, float c) {
    float total = mass(a, c);
    if (!(total > 0) && task.firstChild != null) {
      stagedTarget = false; // tokens were cleared
      stageTarget();
      a = 1;
      c = 0;
      total = mass(a, c);
    }
    int drawn = vocab - 1;
    if (total > 0) {
      drawn = search(a, c, task.finalUniforms.get(JAVA_FLOAT, request * Float.BYTES) * total);
    }
    if (task.distribution != null && total > 0) {
      long row = request * task.distributionStride;
      for (int at = 0; at < vocab; at += PIECE) {
        int n = Math.min(PIECE, vocab - at);
        residual(p, q, a, c, at, piece, n);
        divide(piece, n, total);
        MemorySegment.copy(
            piece, 0, task.distribution, JAVA_FLOAT, row + (long) at * Float.BYTES, n);
      }
      finishNumbers(TreeStatus.OK, drawn);
    } else {
      finish(TreeStatus.OK, drawn);
    }
  }

  /** The first index whose prefix sum passes the target (rule 4). */
  private int search(float a, float c, float target) {
    float before = 0;
    for (int at = 0; at < vocab; at += PIECE) {
      float after = before + totals[at / PIECE];
      if (after > target) {
        int n = Math.min(PIECE, vocab - at);
        residual(p, q, a, c, at, piece, n);
        int last = NONE;
        for (int i = 0; i < n; i++) {
          before += piece[i];
          if (piece[i] > 0) {
            if (before > target) {
              return at + i;
            }
            last = i;
          }
        }
        return at + last;
      }
      before = after;
    }
    for (int at = (vocab - 1) / PIECE * PIECE; at >= 0; at -= PIECE) {
      int n = Math.min(PIECE, vocab - at);
      residual(p, q, a, c, at, piece, n);
      for (int i = n - 1; i >= 0; i--) {
        if (piece[i] > 0) {
          return at + i;
        }
      }
    }
    return vocab - 1;
  }

  private void finish(TreeStatus status, int drawn) {
    if (task.distribution != null) {
      long row = request * task.distributionStride;
      for (int v = 0; v < vocab; v++) {
        task.distribution.set(JAVA_FLOAT, row + (long) v * Float.BYTES, v == drawn ? 1 : 0);
      }
    }
    finishNumbers(status, drawn);
  }

  @SuppressWarnings("EnumOrdinal") // what TreeStatus is defined as
  private void finishNumbers(TreeStatus status, int drawn) {
    boolean ok = status == TreeStatus.OK;
    if (!ok) {
      for (int i = 0; i < width; i++) {
        accept(i, NONE);
      }
    }
    long at = request * Integer.BYTES;
    task.counts.set(JAVA_INT, at, ok ? depth : 0);
    task.next.set(JAVA_INT, at, drawn);
    task.status.set(JAVA_INT, at, status.ordinal());
    if (task.rho != null) {
      task.rho.set(JAVA_FLOAT, at, ok ? lastRho : 0);
    }
  }

  private void accept(int position, int id) {
    long row = request * task.acceptedStride;
    task.accepted.set(JAVA_INT, row + (long) position * Integer.BYTES, id);
  }

  /** Makes a node's rows those that are read. */
  private void arriveAt(int id) {
    node = id;
    stagedTarget = false;
    stagedDraft = false;
  }

  private void stage() {
    stageTarget();
    if (!stagedDraft) {
      stage(task.spec.draft(), task.spec.draftDtype(), task.draft, draftRow(), q);
      stagedDraft = true;
    }
  }

  private void stageTarget() {
    if (!stagedTarget) {
      stage(task.spec.target(), task.spec.targetDtype(), task.target, targetRow(), p);
      stagedTarget = true;
    }
  }

  private void stage(
      Distribution given, DType dtype, MemorySegment rows, long offset, float[] into) {
    if (given == Distribution.PROBABILITIES) {
      probabilities(dtype, rows, offset, into, vocab);
      return;
    }
    int top = argmax(dtype, rows, offset, vocab);
    float max = load(dtype, rows, offset + (long) top * dtype.byteSize());
    weights(dtype, rows, offset, max, inverse, into, vocab);
    float total = sum(into, vocab);
    if (total > 0) {
      divide(into, vocab, total);
    }
  }

  private int argmax() {
    return argmax(task.spec.targetDtype(), task.target, targetRow(), vocab);
  }

  private long targetRow() {
    return (first + node) * task.targetStride;
  }

  private long draftRow() {
    return (first + node) * task.draftStride;
  }

  /** p[x], of a row that need not be staged where it is given as probabilities. */
  private float targetAt(int x) {
    if (stagedTarget || task.spec.target() == Distribution.LOGITS) {
      stageTarget();
      return p[x];
    }
    DType dtype = task.spec.targetDtype();
    return positive(load(dtype, task.target, targetRow() + (long) x * dtype.byteSize()));
  }

  /** q[x], which is NaN where that is given. */
  private float draftAt(int x) {
    if (task.spec.draft() == Distribution.LOGITS) {
      if (!stagedDraft) {
        stage(task.spec.draft(), task.spec.draftDtype(), task.draft, draftRow(), q);
        stagedDraft = true;
      }
      return q[x];
    }
    DType dtype = task.spec.draftDtype();
    float given = load(dtype, task.draft, draftRow() + (long) x * dtype.byteSize());
    return given <= 0 ? 0 : stagedDraft && !Float.isNaN(given) ? q[x] : given;
  }

  private static float positive(float x) {
    return x > 0 ? x : 0;
  }

  private static float load(DType dtype, MemorySegment segment, long offset) {
    return switch (dtype) {
      case F32 -> segment.get(JAVA_FLOAT, offset);
      case F16 -> Float.float16ToFloat(segment.get(JAVA_SHORT, offset));
      case BF16 -> Float.intBitsToFloat(segment.get(JAVA_SHORT, offset) << 16);
      default -> throw new AssertionError(dtype);
    };
  }

  private boolean inVocabulary(int x) {
    return x >= 0 && x < vocab;
  }

  private int token(int id) {
    return task.tokens.get(JAVA_INT, (first + id) * Integer.BYTES);
  }

  /** The coin of a test, which is counted. */
  private float coin(int child) {
    return uniform(task.spec.coins() == CoinOrder.NODE ? child : tests++);
  }

  private float uniform(int i) {
    return task.uniforms.get(JAVA_FLOAT, (first + i) * Float.BYTES);
  }

  /** Whether one of the first {@code before} siblings, which may run in a circle, has token x. */
  private boolean isRepeated(int start, int before, int x) {
    int other = start;
    for (int i = 0; i < before; i++) {
      if (token(other) == x) {
        return true;
      }
      other = link(task.nextSibling, other);
    }
    return false;
  }

  private int firstChild(int id) {
    if (task.firstChild == null) {
      return id + 1 < count ? id + 1 : NONE;
    }
    return checked(link(task.firstChild, id));
  }

  private int nextSibling(int id) {
    return task.firstChild == null ? NONE : checked(link(task.nextSibling, id));
  }

  /** No node is come to twice, so there are fewer steps than nodes. */
  private int checked(int id) {
    if (id == NONE) {
      return NONE;
    }
    return id < 1 || id >= count || ++steps >= count ? BROKEN : id;
  }

  private int link(MemorySegment links, int id) {
    return links == null ? NONE : links.get(JAVA_INT, (first + id) * Integer.BYTES);
  }
}
