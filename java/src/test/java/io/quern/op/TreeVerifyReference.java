package io.quern.op;

import io.quern.DType;
import io.quern.Shape;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;

/**
 * Verification of draft trees once more, written from the documentation, in double precision. Coins
 * of cases are such that rounding decides nothing.
 */
final class TreeVerifyReference {
  private final TreeVerifyCases.Case of;
  private final TreeVerify.Spec spec;
  private final TreeVerifyCases.Inputs in;
  private final int b;
  private final float nudge;
  private final int first;
  private final int n;

  /** What one request gets. */
  record Answer(List<Integer> accepted, int next, TreeStatus status) {
    static Answer bad(TreeStatus status) {
      return new Answer(List.of(), -1, status);
    }
  }

  private static final class BadLink extends RuntimeException {
    private static final long serialVersionUID = 1L;
  }

  private TreeVerifyReference(
      TreeVerifyCases.Case of, TreeVerifyCases.Inputs in, int b, float nudge) {
    this.of = of;
    this.spec = of.spec();
    this.in = in;
    this.b = b;
    this.nudge = nudge;
    this.first = (int) in.offsets()[b];
    this.n = (int) (in.offsets()[b + 1] - in.offsets()[b]);
  }

  static Outcome of(TreeVerifyCases.Case of) {
    TreeVerifyCases.Inputs in = of.inputs();
    int batch = of.batch();
    int width = of.spec().width();
    boolean strided = of.traits().contains(TreeVerifyCases.Trait.STRIDED);
    Shape shape = of.spec().acceptedShape(batch);
    byte[] accepted = PreparedCase.poison(PreparedCase.elements(strided, shape) * Integer.BYTES);
    long[] counts = new long[batch];
    long[] next = new long[batch];
    long[] status = new long[batch];
    for (int b = 0; b < batch; b++) {
      Answer answer = verify(of, in, b, 0);
      counts[b] = Math.max(0, answer.accepted.size() - 1);
      next[b] = answer.next;
      status[b] = answer.status.ordinal();
      for (int c = 0; c < width; c++) {
        long node = c < answer.accepted.size() ? answer.accepted.get(c) : -1;
        byte[] bytes = PreparedCase.packed(DType.I32, new long[] {node});
        int at = Math.toIntExact(PreparedCase.position(strided, b, c, width) * Integer.BYTES);
        System.arraycopy(bytes, 0, accepted, at, Integer.BYTES);
      }
    }
    return new Outcome(
        List.of(
            new Outcome.Output("accepted", DType.I32, accepted),
            new Outcome.Output("counts", DType.I32, PreparedCase.packed(DType.I32, counts)),
            new Outcome.Output("next", DType.I32, PreparedCase.packed(DType.I32, next)),
            new Outcome.Output("status", DType.I32, PreparedCase.packed(DType.I32, status))),
        null);
  }

  /** One request, with its coins moved by {@code nudge}. */
  static Answer verify(TreeVerifyCases.Case of, TreeVerifyCases.Inputs in, int b, float nudge) {
    long start = in.offsets()[b];
    long end = in.offsets()[b + 1];
    if (start < 0 || end < start || end > of.nodes()) {
      return Answer.bad(TreeStatus.OFFSETS);
    }
    if (start == end) {
      return Answer.bad(TreeStatus.EMPTY);
    }
    var request = new TreeVerifyReference(of, in, b, nudge);
    try {
      return of.spec().byPaths() ? request.byPaths() : request.byLinks();
    } catch (BadLink e) {
      return Answer.bad(TreeStatus.LINK);
    }
  }

  private Answer byLinks() {
    List<Integer> accepted = new ArrayList<>(List.of(0));
    int met = 0;
    while (true) {
      int node = accepted.getLast();
      List<Integer> tried = new ArrayList<>();
      int found = -1;
      double sum = 0;
      if (accepted.size() < spec.width()) {
        for (int child = (int) in.firstChild()[first + node];
            child != -1 && found < 0;
            child = (int) in.nextSibling()[first + child]) {
          if (child < 1 || child >= n || ++met > n - 1) {
            throw new BadLink();
          }
          int x = token(child);
          if (!draws()) {
            found = x == predicted(node) && x >= 0 ? child : -1;
          } else if (x >= 0 && x < spec.vocab()) {
            double p = probabilities(node)[x];
            sum += p;
            double coin = in.uniforms()[first + node] + nudge;
            if (coin <= sum / Math.max(spec.thresholds().acc(), 1e-9)
                || p >= spec.thresholds().single()) {
              found = child;
            }
          }
          tried.add(child);
        }
      }
      if (found < 0) {
        return new Answer(accepted, draws() ? draw(node, tried) : predicted(node), TreeStatus.OK);
      }
      accepted.add(found);
    }
  }

  private int draw(int node, List<Integer> rejected) {
    double[] rest = probabilities(node).clone();
    Set<Integer> tokens = new HashSet<>();
    for (int child : rejected) {
      tokens.add(token(child));
    }
    double total = 0;
    for (int i = 0; i < rest.length; i++) {
      rest[i] = tokens.contains(i) || Double.isNaN(rest[i]) ? 0 : rest[i];
      total += rest[i];
    }
    double target = (in.finalUniforms()[b] + nudge) * total;
    double prefix = 0;
    int last = rest.length - 1;
    for (int i = 0; i < rest.length; i++) {
      prefix += rest[i];
      if (rest[i] > 0) {
        last = i;
        if (prefix > target) {
          return i;
        }
      }
    }
    return last;
  }

  private Answer byPaths() {
    int width = Math.min(in.pathWidth(), spec.width());
    List<Integer> best = null;
    double bestScore = 0;
    for (int r = 0; r < in.pathCount(); r++) {
      int root = in.pathWidth() == 0 ? -1 : path(r, 0);
      if (root != 0 && root != -1) {
        throw new BadLink();
      }
    }
    for (int r = 0; r < in.pathCount(); r++) {
      if (in.pathWidth() == 0 || path(r, 0) == -1) {
        continue;
      }
      List<Integer> run = new ArrayList<>(List.of(0));
      double score = 0;
      while (run.size() < width && path(r, run.size()) != -1) {
        int child = path(r, run.size());
        if (child < 1 || child >= n) {
          throw new BadLink();
        }
        int x = token(child);
        int node = run.getLast();
        if (spec.rule() == VerifyRule.TYPICAL) {
          if (x < 0 || x >= spec.vocab() || !(probabilities(node)[x] > threshold(node))) {
            break;
          }
          score += Math.log(probabilities(node)[x]);
        } else if (x < 0 || x != predicted(node)) {
          break;
        }
        run.add(child);
      }
      boolean better = best == null || run.size() > best.size();
      if (best != null && run.size() == best.size()) {
        better =
            switch (spec.rule()) {
              case TYPICAL -> score > bestScore;
              case GREEDY_DEEPEST -> run.getLast() < best.getLast();
              default -> false;
            };
      }
      if (better) {
        best = run;
        bestScore = score;
      }
    }
    best = best == null ? List.of(0) : best;
    return new Answer(best, predicted(best.getLast()), TreeStatus.OK);
  }

  private double threshold(int node) {
    double entropy = 0;
    for (double p : probabilities(node)) {
      entropy -= p * Math.log(p + 1e-5);
    }
    return Math.min(spec.typical().epsilon(), spec.typical().alpha() * Math.exp(-entropy));
  }

  private boolean draws() {
    return spec.rule() == VerifyRule.TARGET_ONLY
        && (spec.target() == VerifyTarget.PROBABILITIES || temperature() > 0);
  }

  private float temperature() {
    return in.temperatures() == null ? 1 : in.temperatures()[b];
  }

  private double[] probabilities(int node) {
    double[] p = new double[(int) spec.vocab()];
    if (spec.target() == VerifyTarget.PROBABILITIES) {
      for (int i = 0; i < p.length; i++) {
        p[i] = value(node, i) > 0 ? value(node, i) : 0;
      }
      return p;
    }
    int top = predicted(node);
    if (!(temperature() > 0)) {
      p[top] = 1;
      return p;
    }
    double total = 0;
    double scale = Math.min(1.0 / temperature(), Float.MAX_VALUE);
    for (int i = 0; i < p.length; i++) {
      float x = value(node, i);
      double e = Math.exp(((double) x - value(node, top)) * scale);
      p[i] = x == value(node, top) ? 1 : Double.isNaN(e) ? 0 : e;
      total += p[i];
    }
    for (int i = 0; i < p.length; i++) {
      p[i] /= total;
    }
    return p;
  }

  private int predicted(int node) {
    if (spec.target() == VerifyTarget.IDS) {
      return in.target()[first + node];
    }
    int best = 0;
    for (int i = 1; i < spec.vocab(); i++) {
      float x = value(node, i);
      float y = value(node, best);
      if (x > y || (!Float.isNaN(x) && Float.isNaN(y))) {
        best = i;
      }
    }
    return best;
  }

  private float value(int node, int i) {
    int bits = in.target()[(int) ((first + node) * spec.vocab() + i)];
    return switch (spec.dtype()) {
      case F32 -> Float.intBitsToFloat(bits);
      case F16 -> Float.float16ToFloat((short) bits);
      default -> Float.intBitsToFloat(bits << 16);
    };
  }

  private int token(int node) {
    return (int) in.tokens()[first + node];
  }

  private int path(int r, int c) {
    return (int) in.paths()[(b * in.pathCount() + r) * in.pathWidth() + c];
  }
}
