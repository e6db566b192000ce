package io.quern.op;

import static io.quern.op.RejectionVerifyCases.Option.ALL_OUTPUTS;
import static io.quern.op.RejectionVerifyCases.Option.STRIDED;

import io.quern.DType;
import io.quern.internal.scalar.CanonicalMath;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * {@link RejectionVerify} from its documentation, request by request on whole arrays. Of the
 * library only the canonical exp is used.
 */
final class RejectionReference {
  private static final class Malformed extends RuntimeException {
    private static final long serialVersionUID = 1;
  }

  /** What a request gives. */
  private record Result(
      TreeStatus status, List<Integer> path, int next, float[] distribution, float rho) {}

  private final RejectionVerifyCases.Case of;
  private final RejectionVerifyCases.Inputs in;
  private final RejectionVerify.Spec spec;
  private final int vocab;
  private final int request;
  private final int start;
  private final int count;
  private int links;
  private int tests;
  private float temperature = 1;

  private RejectionReference(
      RejectionVerifyCases.Case of, RejectionVerifyCases.Inputs in, int request) {
    this.of = of;
    this.in = in;
    this.spec = of.spec();
    this.vocab = (int) spec.vocab();
    this.request = request;
    this.start = in.offsets[request];
    this.count = in.offsets[request + 1] - start;
  }

  static Outcome of(RejectionVerifyCases.Case of) {
    RejectionVerifyCases.Inputs in = of.inputs();
    int batch = of.trees().size();
    int width = of.spec().width();
    int vocab = (int) of.spec().vocab();
    boolean strided = of.has(STRIDED);
    int[] accepted = poisoned(strided, batch, width);
    int[] distribution = poisoned(strided, batch, vocab);
    int[][] numbers = new int[4][batch];
    for (int b = 0; b < batch; b++) {
      Result result = new RejectionReference(of, in, b).verify();
      boolean ok = result.status == TreeStatus.OK;
      for (int i = 0; i < width; i++) {
        accepted[(int) PreparedCase.position(strided, b, i, width)] =
            ok && i < result.path.size() ? result.path.get(i) : -1;
      }
      for (int v = 0; v < vocab; v++) {
        float p = ok ? result.distribution[v] : 0;
        distribution[(int) PreparedCase.position(strided, b, v, vocab)] =
            Float.floatToRawIntBits(p);
      }
      numbers[0][b] = ok ? Math.max(0, result.path.size() - 1) : 0;
      numbers[1][b] = ok ? result.next : -1;
      numbers[2][b] = result.status.ordinal();
      numbers[3][b] = Float.floatToRawIntBits(ok ? result.rho : 0);
    }
    List<Outcome.Output> outputs = new ArrayList<>();
    outputs.add(new Outcome.Output("accepted", DType.I32, bytes(accepted)));
    outputs.add(new Outcome.Output("counts", DType.I32, bytes(numbers[0])));
    outputs.add(new Outcome.Output("next", DType.I32, bytes(numbers[1])));
    outputs.add(new Outcome.Output("status", DType.I32, bytes(numbers[2])));
    if (of.has(ALL_OUTPUTS)) {
      outputs.add(new Outcome.Output("distribution", DType.F32, bytes(distribution)));
      if (of.spec().rule() == RejectionRule.K_SEQ) {
        outputs.add(new Outcome.Output("rho", DType.F32, bytes(numbers[3])));
      }
    }
    return new Outcome(outputs, null);
  }

  private static int[] poisoned(boolean strided, int rows, int columns) {
    int size = (int) PreparedCase.elements(strided, io.quern.Shape.of(rows, columns));
    int[] memory = new int[size];
    MemorySegment.copy(
        MemorySegment.ofArray(PreparedCase.poison(4L * size)),
        ValueLayout.JAVA_INT_UNALIGNED,
        0,
        memory,
        0,
        size);
    return memory;
  }

  private static byte[] bytes(int[] values) {
    return MemorySegment.ofArray(values).toArray(ValueLayout.JAVA_BYTE);
  }

  private Result verify() {
    if (start < 0 || count < 0 || in.offsets[request + 1] > in.tokens.length) {
      return new Result(TreeStatus.OFFSETS, List.of(), -1, null, 0);
    }
    if (count == 0) {
      return new Result(TreeStatus.OK, List.of(), -1, new float[vocab], 0);
    }
    if (in.temperatures != null) {
      temperature = in.temperatures[request];
    }
    try {
      if (!(temperature > 0)) {
        return greedy();
      }
      return switch (spec.rule()) {
        case BLOCK -> block();
        case RELAXED_GREEDY -> relaxedGreedy();
        default -> walk();
      };
    } catch (Malformed malformed) {
      return new Result(TreeStatus.LINK, List.of(), -1, null, 0);
    }
  }

  private Result walk() {
    List<Integer> path = new ArrayList<>(List.of(0));
    float rho = 0;
    while (true) {
      int node = path.getLast();
      int first = path.size() < spec.width() ? child(node) : -1;
      float[] p = target(node);
      if (first == -1) {
        return drawn(path, p, p, rho);
      }
      float[] q = spec.draft() == null ? null : draft(node);
      int accepted = -1;
      float[] residual = p.clone();
      switch (spec.rule()) {
        case WITHOUT_REPLACEMENT, WITH_REPLACEMENT -> {
          boolean without = spec.rule() == RejectionRule.WITHOUT_REPLACEMENT;
          float big = 0;
          float small = 1;
          float[] left = p.clone();
          boolean update = false;
          for (int c = first; c != -1; c = accepted == -1 ? sibling(c) : -1) {
            int x = token(c);
            if (x < 0) {
              continue;
            }
            if (update) {
              float mass = sum(difference(left, q, 1, big));
              float rest = without ? sum(q) : 1;
              small = rest > 0 ? mass / rest : 0;
            }
            float u = coin(c);
            float r = difference(left, q, 1, big)[x];
            if (r > 0 && !draftIsNaN(node, x) && u * (small * q[x]) < r) {
              accepted = c;
            } else {
              big += small;
              update = true;
              if (without) {
                left[x] = 0;
                q[x] = 0;
              }
            }
          }
          residual = difference(left, q, 1, big);
        }
        case POINT_DRAFTS -> {
          float z = 1;
          List<Integer> seen = new ArrayList<>();
          for (int c = first; c != -1; c = accepted == -1 ? sibling(c) : -1) {
            int x = token(c);
            if (x >= 0 && !seen.contains(x)) {
              seen.add(x);
              if (coin(c) * z < residual[x]) {
                accepted = c;
              } else {
                z -= residual[x];
                residual[x] = 0;
              }
            }
          }
        }
        case K_SEQ -> {
          List<Integer> drafts = new ArrayList<>();
          for (int c = first; c != -1; c = sibling(c)) {
            if (token(c) >= 0) {
              drafts.add(c);
            }
          }
          rho = drafts.size() > 1 ? rho(p, q, drafts.size()) : 1;
          for (int c : drafts) {
            int x = token(c);
            if (accepted == -1) {
              float u = coin(c);
              if (p[x] > 0 && !draftIsNaN(node, x) && u * (rho * q[x]) < p[x]) {
                accepted = c;
              }
            }
          }
          residual = drafts.isEmpty() ? p : difference(p, q, 1, rho);
        }
        case RELAXED -> {
          float z = 1;
          boolean update = false;
          List<Integer> seen = new ArrayList<>();
          for (int c = first; c != -1; c = accepted == -1 ? sibling(c) : -1) {
            int x = token(c);
            boolean drawable = x >= 0 && (q == null || (q[x] > 0 && !draftIsNaN(node, x)));
            boolean repeated = seen.contains(x);
            seen.add(x);
            if (drawable && !repeated) {
              if (update) {
                z = renormalize(residual);
              }
              float[] sums = prefixSums(residual, x, z);
              if (coin(c) * ((q == null ? 1 : q[x]) * z) < residual[x] + sums[1]) {
                accepted = c;
              } else {
                update = true;
                residual[x] = 0;
                for (int j = 0; sums[0] > 0 && j < in.nearest[x].length; j++) {
                  int id = in.nearest[x][j];
                  if (j <= spec.relaxation().neighbours() && id >= 0 && id < vocab) {
                    residual[id] = 0;
                  }
                }
              }
            }
          }
          if (update && accepted == -1) {
            renormalize(residual);
          }
        }
        default -> throw new AssertionError();
      }
      if (accepted == -1) {
        return drawn(path, residual, p, rho);
      }
      path.add(accepted);
    }
  }

  private float renormalize(float[] p) {
    float z = sum(p);
    if (!(z > 0)) {
      Arrays.fill(p, 1);
      return vocab;
    }
    return z;
  }

  /** How many neighbours count, and what they add. */
  private float[] prefixSums(float[] p, int x, float z) {
    float delta = spec.relaxation().delta();
    float bound = delta <= 1 ? delta * z : (delta - 1) * p[x];
    float sum = 0;
    for (int j = 0; j < spec.relaxation().neighbours(); j++) {
      int id = in.nearest[x][j];
      float more = sum + (id >= 0 && id < vocab ? p[id] : 0);
      if (!(more <= bound)) {
        return new float[] {j, sum};
      }
      sum = more;
    }
    return new float[] {spec.relaxation().neighbours(), sum};
  }

  /** The Illinois method as documented in the scalar back end: a bracket, at most 40 steps. */
  private float rho(float[] p, float[] q, int k) {
    float tolerance = (float) Math.scalb(1.0, -22);
    float a = 1;
    float b = k;
    float fa = equation(p, q, k, a);
    if (!(fa > tolerance)) {
      return a;
    }
    float fb = equation(p, q, k, b);
    if (!(fb < -tolerance * b)) {
      return b;
    }
    Boolean movedLow = null;
    for (int step = 0; step < 40; step++) {
      float m = b - fb * ((b - a) / (fb - fa));
      if (!(m > a && m < b)) {
        m = a + (b - a) / 2;
      }
      float fm = equation(p, q, k, m);
      if (Math.abs(fm) <= tolerance * m) {
        return m;
      }
      boolean low = fm > 0;
      boolean again = movedLow != null && movedLow == low;
      if (low) {
        a = m;
        fa = fm;
        fb = again ? fb / 2 : fb;
      } else {
        b = m;
        fb = fm;
        fa = again ? fa / 2 : fa;
      }
      movedLow = low;
    }
    return b;
  }

  private float equation(float[] p, float[] q, int k, float rho) {
    float inverse = 1 / rho;
    float[] capped = new float[vocab];
    for (int v = 0; v < vocab; v++) {
      capped[v] = Math.min(q[v], p[v] * inverse);
    }
    float miss = 1 - sum(capped);
    float series = 1;
    for (int i = 1; i < k; i++) {
      series = Math.fma(series, miss, 1);
    }
    return series - rho;
  }

  private Result block() {
    int last = Math.min(count, spec.width()) - 1;
    float[] joint = new float[last + 1];
    joint[0] = 1;
    int end = 0;
    for (int i = 1; i <= last; i++) {
      int x = token(i);
      float[] q = draft(i - 1);
      if (x >= 0 && !draftIsNaN(i - 1, x)) {
        float t = joint[i - 1] * target(i - 1)[x];
        joint[i] = t > 0 ? Math.min(1, t / q[x]) : 0;
      }
      if (joint[i] == 0) {
        break;
      }
      float h = joint[i];
      if (i < last) {
        float z = sum(difference(target(i), draft(i), joint[i], 1));
        h = z > 0 ? z / (z + (1 - joint[i])) : 0;
      }
      int index = spec.coins() == CoinOrder.NODE ? i : i - 1;
      if (in.uniforms[start + index] < h) {
        end = i;
      }
    }
    List<Integer> path = new ArrayList<>();
    for (int i = 0; i <= end; i++) {
      path.add(i);
    }
    float[] p = target(end);
    return drawn(path, end == last ? p : difference(p, draft(end), joint[end], 1), p, 0);
  }

  private Result greedy() {
    List<Integer> path = new ArrayList<>(List.of(0));
    while (true) {
      int wanted = argmax(in.target[start + path.getLast()]);
      int c = path.size() < spec.width() ? child(path.getLast()) : -1;
      while (c != -1 && token(c) != wanted) {
        c = sibling(c);
      }
      if (c == -1) {
        return certain(path, wanted);
      }
      path.add(c);
    }
  }

  private Result relaxedGreedy() {
    List<Integer> best = new ArrayList<>(List.of(0));
    search(new ArrayList<>(best), best);
    return certain(best, argmax(in.target[start + best.getLast()]));
  }

  private void search(List<Integer> path, List<Integer> best) {
    if (path.size() > best.size()) {
      best.clear();
      best.addAll(path);
    }
    if (path.size() == spec.width()) {
      return;
    }
    int node = path.getLast();
    float[] p = target(node);
    int top = argmax(in.target[start + node]);
    for (int c = child(node); c != -1; c = sibling(c)) {
      int x = token(c);
      boolean match = x == top;
      if (x >= 0 && !match) {
        float[] sums = prefixSums(p, x, 1);
        float raised = p[x] + sums[1];
        match = sums[0] > 0 && (raised > p[top] || (raised == p[top] && x < top));
      }
      if (match) {
        path.add(c);
        search(path, best);
        path.removeLast();
      }
    }
  }

  private Result certain(List<Integer> path, int next) {
    float[] one = new float[vocab];
    one[next] = 1;
    return new Result(TreeStatus.OK, path, next, one, 0);
  }

  private Result drawn(List<Integer> path, float[] residual, float[] p, float rho) {
    float[] f = residual;
    float total = sum(f);
    if (!(total > 0) && !of.chains()) {
      f = p;
      total = sum(f);
    }
    if (!(total > 0)) {
      Result none = certain(path, vocab - 1);
      return new Result(TreeStatus.OK, path, none.next, none.distribution, rho);
    }
    float[] law = new float[vocab];
    for (int v = 0; v < vocab; v++) {
      law[v] = f[v] / total;
    }
    float passed = in.finalUniforms[request] * total;
    return new Result(TreeStatus.OK, path, search(f, passed), law, rho);
  }

  private int search(float[] f, float target) {
    float before = 0;
    int last = -1;
    for (int piece = 0; piece < vocab; piece += 4096) {
      float[] part = Arrays.copyOfRange(f, piece, Math.min(vocab, piece + 4096));
      float after = before + sum(part);
      if (after > target) {
        int inside = -1;
        for (int i = 0; i < part.length; i++) {
          before += part[i];
          if (part[i] > 0) {
            inside = piece + i;
            if (before > target) {
              break;
            }
          }
        }
        return inside;
      }
      before = after;
      for (int i = 0; i < part.length; i++) {
        last = part[i] > 0 ? piece + i : last;
      }
    }
    return last;
  }

  /** max(fma(−c, q, a · p), 0), q not looked at where c is 0. */
  private static float[] difference(float[] p, float[] q, float a, float c) {
    float[] r = new float[p.length];
    for (int v = 0; v < p.length; v++) {
      float x = c == 0 ? a * p[v] : Math.fma(-c, q[v], a * p[v]);
      r[v] = x > 0 ? x : 0;
    }
    return r;
  }

  /** Rule 4. */
  private static float sum(float[] x) {
    float total = 0;
    for (int piece = 0; piece < x.length; piece += 4096) {
      float[] partial = new float[64];
      for (int i = piece; i < Math.min(x.length, piece + 4096); i++) {
        partial[i % 64] += x[i];
      }
      for (int half = 32; half >= 1; half /= 2) {
        for (int i = 0; i < half; i++) {
          partial[i] += partial[i + half];
        }
      }
      total += partial[0];
    }
    return total;
  }

  private static int argmax(float[] row) {
    int best = 0;
    for (int v = 1; v < row.length; v++) {
      if (row[v] > row[best] || (Float.isNaN(row[best]) && !Float.isNaN(row[v]))) {
        best = v;
      }
    }
    return best;
  }

  private float[] target(int node) {
    return probabilities(spec.target(), in.target[start + node]);
  }

  private float[] draft(int node) {
    return probabilities(spec.draft(), in.draft[start + node]);
  }

  private boolean draftIsNaN(int node, int x) {
    return spec.draft() == Distribution.PROBABILITIES && Float.isNaN(in.draft[start + node][x]);
  }

  private float[] probabilities(Distribution form, float[] row) {
    float[] p = new float[vocab];
    if (form == Distribution.PROBABILITIES) {
      for (int v = 0; v < vocab; v++) {
        p[v] = row[v] > 0 ? row[v] : 0;
      }
      return p;
    }
    float max = row[argmax(row)];
    float inverse = 1 / temperature;
    for (int v = 0; v < vocab; v++) {
      float exponent = (row[v] - max) * inverse;
      p[v] = row[v] == max ? 1 : Float.isNaN(exponent) ? 0 : CanonicalMath.exp(exponent);
    }
    float total = sum(p);
    for (int v = 0; v < vocab && total > 0; v++) {
      p[v] /= total;
    }
    return p;
  }

  /** −1 where it is outside the vocabulary. */
  private int token(int node) {
    int x = in.tokens[start + node];
    return x >= 0 && x < vocab ? x : -1;
  }

  private float coin(int node) {
    return in.uniforms[start + (spec.coins() == CoinOrder.NODE ? node : tests++)];
  }

  private int child(int node) {
    if (of.chains()) {
      return node + 1 < count ? node + 1 : -1;
    }
    return followed(in.firstChild[start + node]);
  }

  private int sibling(int node) {
    return of.chains() ? -1 : followed(in.nextSibling[start + node]);
  }

  private int followed(int link) {
    if (link == -1) {
      return -1;
    }
    links++;
    if (link < 1 || link >= count || links >= count) {
      throw new Malformed();
    }
    return link;
  }
}
