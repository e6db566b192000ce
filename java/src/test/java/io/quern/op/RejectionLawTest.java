package io.quern.op;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.quern.Backend;
import io.quern.Buffer;
import io.quern.CpuDevice;
import io.quern.DType;
import io.quern.Device;
import io.quern.Shape;
import io.quern.Stream;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * With the lossless rules of {@link RejectionVerify} the emitted tokens have the target's law:
 * drafts are drawn by the rule's own way of drawing, accepted and rejected by the operator, and
 * what it emits is continued by the target to a fixed length.
 */
class RejectionLawTest {
  /** Coins are multiples of this. */
  private static final int COINS = 1 << 24;

  /** Rows that were made, by setting, prefix and whose they are. */
  private static final Map<List<Object>, float[]> ROWS = new HashMap<>();

  private static final float HIGHEST = (COINS - 1) / (float) COINS;

  /**
   * A language of {@code vocab} tokens with random laws after each prefix, and a tree to draft.
   *
   * @param parents of the tree's nodes, siblings in draw order
   */
  private record Setting(
      String name,
      RejectionRule rule,
      int vocab,
      int[] parents,
      int width,
      Distribution form,
      float temperature,
      double likeness,
      long seed) {
    int nodes() {
      return parents.length;
    }

    /** Stored rows after a prefix: what the operator is given. */
    float[] row(List<Integer> prefix, boolean draft) {
      return ROWS.computeIfAbsent(
          List.of(name, List.copyOf(prefix), draft), key -> make(prefix, draft));
    }

    private float[] make(List<Integer> prefix, boolean draft) {
      SplittableRandom random = new SplittableRandom(prefix.hashCode() * 31L + seed);
      double[] common = gaussians(random);
      double[] own = gaussians(draft ? random : new SplittableRandom(random.nextLong()));
      float[] row = new float[vocab];
      double sum = 0;
      for (int v = 0; v < vocab; v++) {
        double logit = 1.5 * (likeness * common[v] + (1 - likeness) * own[v]);
        row[v] = (float) (form == Distribution.LOGITS ? logit : Math.exp(logit));
        sum += row[v];
      }
      for (int v = 0; v < vocab && form == Distribution.PROBABILITIES; v++) {
        row[v] = (float) (row[v] / sum);
      }
      return row;
    }

    private double[] gaussians(SplittableRandom random) {
      return random.doubles(vocab).map(u -> 4 * u - 2).toArray();
    }

    /** The law that a stored row means. */
    double[] law(float[] row) {
      double[] law = new double[vocab];
      double sum = 0;
      for (int v = 0; v < vocab; v++) {
        law[v] = form == Distribution.LOGITS ? Math.exp(row[v] / (double) temperature) : row[v];
        sum += law[v];
      }
      for (int v = 0; v < vocab; v++) {
        law[v] /= sum;
      }
      return law;
    }

    double[] target(List<Integer> prefix) {
      return law(row(prefix, false));
    }

    /** The law of a node's token, given the tokens before it; null where there is no chance. */
    double[] drawLaw(int node, int[] tokens) {
      double[] law = law(row(prefix(parents[node], tokens), true));
      if (rule == RejectionRule.WITHOUT_REPLACEMENT || rule == RejectionRule.POINT_DRAFTS) {
        double left = 1;
        for (int i = 1; i < node; i++) {
          if (parents[i] == parents[node]) {
            left -= law[tokens[i]];
            law[tokens[i]] = 0;
          }
        }
        for (int v = 0; v < vocab; v++) {
          law[v] /= left;
        }
      }
      if (rule == RejectionRule.POINT_DRAFTS) { // the likeliest
        int best = 0;
        for (int v = 1; v < vocab; v++) {
          best = law[v] > law[best] ? v : best;
        }
        Arrays.fill(law, 0);
        law[best] = 1;
      }
      return law;
    }

    /** Tokens from the root's child on to a node. */
    List<Integer> prefix(int node, int[] tokens) {
      List<Integer> prefix = new ArrayList<>();
      for (int i = node; i > 0; i = parents[i]) {
        prefix.addFirst(tokens[i]);
      }
      return prefix;
    }

    boolean isChain() {
      return rule == RejectionRule.BLOCK || name.contains("chain");
    }

    @Override
    public String toString() {
      return name;
    }
  }

  static List<Setting> settings() {
    int[] tree = {-1, 0, 0, 0, 1, 1};
    int[] deep = {-1, 0, 0, 1, 1, 3};
    int[] broad = {-1, 0, 0, 0};
    int[] chain = {-1, 0, 1, 2};
    List<Setting> settings = new ArrayList<>();
    for (double likeness : new double[] {0.2, 0.8, 1}) {
      for (RejectionRule rule : RejectionRule.values()) {
        if (rule.isRelaxed()) {
          continue;
        }
        String name = rule + " " + likeness;
        Distribution given = Distribution.PROBABILITIES;
        if (rule == RejectionRule.BLOCK) {
          settings.add(new Setting(name, rule, 3, chain, 4, given, 1, likeness, 5));
          settings.add(new Setting(name + " short", rule, 3, chain, 3, given, 1, likeness, 5));
        } else {
          settings.add(new Setting(name, rule, 3, tree, 3, given, 1, likeness, 5));
          for (long seed = 0; seed < 3; seed++) {
            settings.add(
                new Setting(
                    name + " broad " + seed, rule, 6, broad, 2, given, 1, likeness, seed << 20));
          }
          settings.add(new Setting(name + " deep", rule, 3, deep, 4, given, 1, likeness, 5));
          settings.add(
              new Setting(
                  name + " logits", rule, 3, tree, 3, Distribution.LOGITS, 0.7f, likeness, 5));
          settings.add(new Setting(name + " chain", rule, 3, chain, 3, given, 1, likeness, 5));
        }
      }
    }
    return settings;
  }

  /** A batch of requests of one setting on a device. */
  private static final class Batch implements AutoCloseable {
    private final Setting of;
    private final Stream stream;
    private final List<Buffer> buffers = new ArrayList<>();
    private final Device device;
    private final int batch;
    private final RejectionVerify plan;
    private final RejectionVerify.Operands operands;

    Batch(Setting of, Device device, List<int[]> drafts) {
      this.of = of;
      this.device = device;
      this.stream = device.openStream();
      this.batch = drafts.size();
      int n = of.nodes();
      int vocab = of.vocab;
      int[] offsets = new int[batch + 1];
      int[] tokens = new int[batch * n];
      int[] first = new int[batch * n];
      int[] sibling = new int[batch * n];
      Arrays.fill(first, -1);
      Arrays.fill(sibling, -1);
      float[] target = new float[batch * n * vocab];
      float[] draft = new float[batch * n * vocab];
      Map<List<Integer>, float[][]> rows = new HashMap<>();
      for (int b = 0; b < batch; b++) {
        offsets[b + 1] = (b + 1) * n;
        System.arraycopy(drafts.get(b), 0, tokens, b * n, n);
        for (int i = 0; i < n; i++) {
          float[][] here =
              rows.computeIfAbsent(
                  of.prefix(i, drafts.get(b)),
                  prefix -> new float[][] {of.row(prefix, false), of.row(prefix, true)});
          System.arraycopy(here[0], 0, target, (b * n + i) * vocab, vocab);
          System.arraycopy(here[1], 0, draft, (b * n + i) * vocab, vocab);
          for (int c = n - 1; c > i; c--) {
            if (of.parents[c] == i) {
              sibling[b * n + c] = first[b * n + i];
              first[b * n + i] = c;
            }
          }
        }
      }
      float[] temperatures = new float[batch];
      Arrays.fill(temperatures, of.temperature);
      RejectionVerify.Spec spec = RejectionVerify.Spec.of(of.rule, vocab, of.width);
      spec = spec.withTarget(of.form, DType.F32);
      if (spec.draft() != null) {
        spec = spec.withDraft(of.form, DType.F32);
      }
      Shape shape = Shape.of((long) batch * n, vocab);
      plan = RejectionVerify.plan(device, spec);
      operands =
          new RejectionVerify.Operands(
              buffer(DType.I32, Shape.of(batch + 1), MemorySegment.ofArray(offsets)),
              buffer(DType.I32, Shape.of(tokens.length), MemorySegment.ofArray(tokens)),
              of.isChain()
                  ? null
                  : buffer(DType.I32, Shape.of(tokens.length), MemorySegment.ofArray(first)),
              of.isChain()
                  ? null
                  : buffer(DType.I32, Shape.of(tokens.length), MemorySegment.ofArray(sibling)),
              buffer(DType.F32, shape, MemorySegment.ofArray(target)),
              spec.draft() == null ? null : buffer(DType.F32, shape, MemorySegment.ofArray(draft)),
              buffer(DType.F32, Shape.of(batch), MemorySegment.ofArray(temperatures)),
              buffer(DType.F32, Shape.of(tokens.length), null),
              buffer(DType.F32, Shape.of(batch), null),
              null,
              RejectionVerify.Outputs.of(
                  buffer(DType.I32, Shape.of(batch, of.width), null),
                  buffer(DType.I32, Shape.of(batch), null),
                  buffer(DType.I32, Shape.of(batch), null),
                  buffer(DType.I32, Shape.of(batch), null)));
    }

    private Buffer buffer(DType dtype, Shape shape, MemorySegment values) {
      Buffer buffer = device.allocate(dtype, shape);
      buffers.add(buffer);
      if (values != null) {
        buffer.copyFrom(values, stream);
      }
      return buffer;
    }

    /** Runs with these coins by request; the accepted rows, with next behind each. */
    int[][] run(float[][] coins, float[] finals) {
      float[] flat = new float[batch * of.nodes()];
      for (int b = 0; b < batch; b++) {
        System.arraycopy(coins[b], 0, flat, b * of.nodes(), of.nodes());
      }
      operands.uniforms().copyFrom(MemorySegment.ofArray(flat), stream);
      operands.finalUniforms().copyFrom(MemorySegment.ofArray(finals), stream);
      plan.run(stream, operands);
      int[] accepted = ints(operands.outputs().accepted());
      int[] next = ints(operands.outputs().next());
      for (int status : ints(operands.outputs().status())) {
        assertEquals(0, status);
      }
      int[][] rows = new int[batch][];
      for (int b = 0; b < batch; b++) {
        rows[b] = Arrays.copyOfRange(accepted, b * of.width, b * of.width + of.width + 1);
        rows[b][of.width] = next[b];
      }
      return rows;
    }

    private int[] ints(Buffer buffer) {
      byte[] bytes = new byte[(int) buffer.shape().size() * Integer.BYTES];
      buffer.copyTo(MemorySegment.ofArray(bytes), stream);
      return MemorySegment.ofArray(bytes).toArray(ValueLayout.JAVA_INT_UNALIGNED);
    }

    @Override
    public void close() {
      buffers.forEach(Buffer::close);
      stream.close();
    }
  }

  /** A draft, what its coins so far decide, and how likely both are. */
  private record State(int[] tokens, float[] coins, double probability) {
    State with(int coin, float value, double probability) {
      float[] changed = coins.clone();
      changed[coin] = value;
      return new State(tokens, changed, this.probability * probability);
    }
  }

  @ParameterizedTest
  @MethodSource("settings")
  void everyCoinAndEveryDraft(Setting of) {
    try (Device device = CpuDevice.open(Backend.SCALAR, 1)) {
      List<State> states = new ArrayList<>();
      enumerate(of, 1, new int[of.nodes()], 1, states);
      int coins = of.nodes() - 1;
      for (int i = 0; i < coins; i++) {
        // The last coin of a block is looked at first, else the first.
        states = split(of, device, states, of.rule == RejectionRule.BLOCK ? coins - 1 - i : i);
      }
      Map<List<Integer>, Double> law = new HashMap<>();
      draw(of, device, states, law);
      double[] error = new double[1];
      double[] total = new double[1];
      compare(of, new ArrayList<>(), 1, law, error, total);
      assertEquals(1, total[0], 1e-9);
      assertTrue(error[0] <= 1e-6, "the law is off by " + error[0]);
    }
  }

  private static void enumerate(
      Setting of, int node, int[] tokens, double probability, List<State> states) {
    if (node == of.nodes()) {
      float[] coins = new float[of.nodes()];
      Arrays.fill(coins, HIGHEST);
      states.add(new State(tokens.clone(), coins, probability));
      return;
    }
    double[] law = of.drawLaw(node, tokens);
    for (int v = 0; v < of.vocab; v++) {
      if (law[v] > 0) {
        tokens[node] = v;
        enumerate(of, node + 1, tokens, probability * law[v], states);
      }
    }
  }

  /** Splits each state in two where a coin matters, at the coin from which on it rejects. */
  private static List<State> split(Setting of, Device device, List<State> states, int coin) {
    try (Batch batch = batch(of, device, states)) {
      float[][] coins = coins(states);
      float[] finals = new float[states.size()];
      int[] low = new int[states.size()];
      int[] high = new int[states.size()];
      Arrays.fill(high, COINS - 1);
      int[][] accepting = batch.run(with(coins, coin, low), finals);
      int[][] rejecting = batch.run(with(coins, coin, high), finals);
      bisect(
          low,
          high,
          middle -> {
            int[][] rows = batch.run(with(coins, coin, middle), finals);
            boolean[] below = new boolean[rows.length];
            for (int i = 0; i < rows.length; i++) {
              below[i] = Arrays.equals(rows[i], 0, of.width, accepting[i], 0, of.width);
            }
            return below;
          });
      List<State> split = new ArrayList<>();
      for (int i = 0; i < states.size(); i++) {
        if (Arrays.equals(accepting[i], 0, of.width, rejecting[i], 0, of.width)) {
          split.add(states.get(i));
        } else {
          double accepts = high[i] / (double) COINS;
          split.add(states.get(i).with(coin, 0, accepts));
          split.add(states.get(i).with(coin, HIGHEST, 1 - accepts));
        }
      }
      return split;
    }
  }

  /** Where next changes as the final coin rises. */
  private static void draw(
      Setting of, Device device, List<State> states, Map<List<Integer>, Double> law) {
    try (Batch batch = batch(of, device, states)) {
      float[][] coins = coins(states);
      int[] before = new int[states.size()];
      for (int v = 0; v < of.vocab; v++) {
        int token = v;
        int[] low = new int[states.size()];
        int[] high = new int[states.size()];
        Arrays.fill(low, -1);
        Arrays.fill(high, COINS);
        int[][] rows = batch.run(coins, new float[states.size()]);
        bisect(
            low,
            high,
            middle -> {
              float[] finals = new float[middle.length];
              for (int i = 0; i < middle.length; i++) {
                finals[i] = middle[i] / (float) COINS;
              }
              int[][] drawn = batch.run(coins, finals);
              boolean[] below = new boolean[drawn.length];
              for (int i = 0; i < drawn.length; i++) {
                below[i] = drawn[i][of.width] <= token;
              }
              return below;
            });
        for (int i = 0; i < states.size(); i++) {
          List<Integer> emitted = new ArrayList<>();
          for (int at = 1; at < of.width && rows[i][at] >= 0; at++) {
            emitted.add(states.get(i).tokens[rows[i][at]]);
          }
          emitted.add(v);
          double share = (high[i] - before[i]) / (double) COINS;
          law.merge(emitted, share * states.get(i).probability, Double::sum);
        }
        before = high;
      }
    }
  }

  private interface Below {
    boolean[] at(int[] middle);
  }

  /** Moves {@code high} down to the lowest that is not below; {@code low} is taken to be below. */
  private static void bisect(int[] low, int[] high, Below below) {
    for (int step = 0; step < 25; step++) {
      int[] middle = new int[low.length];
      Arrays.setAll(middle, i -> Math.clamp((low[i] + (long) high[i]) / 2, 0, COINS - 1));
      boolean[] isBelow = below.at(middle);
      for (int i = 0; i < low.length; i++) {
        if (high[i] - low[i] > 1) {
          if (isBelow[i]) {
            low[i] = middle[i];
          } else {
            high[i] = middle[i];
          }
        }
      }
    }
  }

  private static Batch batch(Setting of, Device device, List<State> states) {
    return new Batch(of, device, states.stream().map(State::tokens).toList());
  }

  private static float[][] coins(List<State> states) {
    return states.stream().map(State::coins).toArray(float[][]::new);
  }

  private static float[][] with(float[][] coins, int coin, int[] values) {
    float[][] changed = new float[coins.length][];
    for (int i = 0; i < coins.length; i++) {
      changed[i] = coins[i].clone();
      changed[i][coin] = values[i] / (float) COINS;
    }
    return changed;
  }

  /** Adds up how far every sequence's probability is off. */
  private static void compare(
      Setting of,
      List<Integer> sequence,
      double probability,
      Map<List<Integer>, Double> law,
      double[] error,
      double[] total) {
    if (sequence.size() == of.width) {
      double got = 0;
      double rest = 1; // of the continuation by the target
      for (int length = sequence.size(); length > 0; length--) {
        got += law.getOrDefault(sequence.subList(0, length), 0.0) * rest;
        rest *= of.target(sequence.subList(0, length - 1))[sequence.get(length - 1)];
      }
      error[0] += Math.abs(got - probability) / 2;
      total[0] += got;
      return;
    }
    double[] next = of.target(sequence);
    for (int v = 0; v < of.vocab; v++) {
      sequence.add(v);
      compare(of, sequence, probability * next[v], law, error, total);
      sequence.removeLast();
    }
  }

  static List<Setting> sampled() {
    return settings().stream().filter(of -> of.name.equals(of.rule + " 0.8")).toList();
  }

  /** Χ² of a million emitted sequences, below its mean plus six standard deviations. */
  @ParameterizedTest
  @MethodSource("sampled")
  void aMillionSamples(Setting of) {
    int rounds = 50;
    int size = 20_000;
    int cells = (int) Math.pow(of.vocab, of.width);
    long[] counts = new long[cells];
    SplittableRandom random = new SplittableRandom(of.name.hashCode());
    Map<List<Integer>, double[]> targets = new HashMap<>();
    try (Device device = CpuDevice.open(Backend.SIMD, 2)) {
      for (int round = 0; round < rounds; round++) {
        List<int[]> drafts = new ArrayList<>();
        float[][] coins = new float[size][of.nodes()];
        float[] finals = new float[size];
        for (int b = 0; b < size; b++) {
          int[] tokens = new int[of.nodes()];
          for (int i = 1; i < tokens.length; i++) {
            tokens[i] = pick(of.drawLaw(i, tokens), random);
            coins[b][i - 1] = random.nextInt(COINS) / (float) COINS;
          }
          finals[b] = random.nextInt(COINS) / (float) COINS;
          drafts.add(tokens);
        }
        try (Batch batch = new Batch(of, device, drafts)) {
          int[][] rows = batch.run(coins, finals);
          for (int b = 0; b < size; b++) {
            List<Integer> emitted = new ArrayList<>();
            for (int at = 1; at < of.width && rows[b][at] >= 0; at++) {
              emitted.add(drafts.get(b)[rows[b][at]]);
            }
            emitted.add(rows[b][of.width]);
            while (emitted.size() < of.width) {
              List<Integer> prefix = List.copyOf(emitted);
              emitted.add(pick(targets.computeIfAbsent(prefix, of::target), random));
            }
            counts[emitted.stream().reduce(0, (cell, v) -> cell * of.vocab + v)]++;
          }
        }
      }
    }
    double squares = squares(of, new ArrayList<>(), 1, 0, counts, (double) rounds * size);
    double degrees = cells - 1;
    assertTrue(
        squares < degrees + 6 * Math.sqrt(2 * degrees),
        "X^2 is %s with %s degrees of freedom".formatted(squares, degrees));
  }

  private static int pick(double[] law, SplittableRandom random) {
    double u = random.nextDouble();
    int last = 0;
    for (int v = 0; v < law.length; v++) {
      u -= law[v];
      last = law[v] > 0 ? v : last;
      if (u < 0 && law[v] > 0) {
        return v;
      }
    }
    return last;
  }

  private static double squares(
      Setting of,
      List<Integer> sequence,
      double probability,
      int cell,
      long[] counts,
      double samples) {
    if (sequence.size() == of.width) {
      double expected = probability * samples;
      return (counts[cell] - expected) * (counts[cell] - expected) / expected;
    }
    double sum = 0;
    double[] next = of.target(sequence);
    for (int v = 0; v < of.vocab; v++) {
      sequence.add(v);
      sum += squares(of, sequence, probability * next[v], cell * of.vocab + v, counts, samples);
      sequence.removeLast();
    }
    return sum;
  }
}
