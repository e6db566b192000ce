package io.quern.op;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;

import io.quern.Backend;
import io.quern.Buffer;
import io.quern.DType;
import io.quern.Device;
import io.quern.Shape;
import io.quern.Stream;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.EnumSet;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.TreeSet;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * What target-only sampling emits has the target's law, whatever the draft tree: exactly, by
 * integration over the coins, and by sampling.
 */
class TreeVerifyLawTest {
  private static final double EXACT = 1e-6;

  static List<DeviceUnderTest> devices() {
    return DeviceUnderTest.backends();
  }

  static List<DeviceUnderTest> processors() {
    return List.of(new DeviceUnderTest(Backend.SCALAR, 2), new DeviceUnderTest(Backend.SIMD, 2));
  }

  /**
   * A tree and its target.
   *
   * @param children of each node, in the order of the links
   * @param p the target's rows
   */
  private record Draft(int[] tokens, int[][] children, float[][] p) {
    int nodes() {
      return tokens.length;
    }

    int vocab() {
      return p[0].length;
    }

    static Draft of(int vocab, int[][] children, SplittableRandom random) {
      int[] tokens = new int[children.length];
      float[][] p = new float[children.length][vocab];
      for (int node = 0; node < children.length; node++) {
        int shift = random.nextInt(vocab);
        for (int k = 0; k < children[node].length; k++) {
          tokens[children[node][k]] = (shift + 2 * k) % vocab; // siblings differ
        }
        double sum = 0;
        for (int i = 0; i < vocab; i++) {
          p[node][i] = random.nextInt(5) == 0 ? 0 : random.nextFloat();
          sum += p[node][i];
        }
        for (int i = 0; i < vocab; i++) {
          p[node][i] = sum == 0 ? 1f / vocab : (float) (p[node][i] / sum);
        }
      }
      return new Draft(tokens, children, p);
    }

    /** The probability that a sequence is emitted, by the target alone. */
    void expect(int node, int depth, int width, List<Integer> before, double so, Law law) {
      for (int x = 0; x < vocab(); x++) {
        List<Integer> emitted = new ArrayList<>(before);
        emitted.add(x);
        int next = -1;
        for (int child : children[node]) {
          next = depth + 1 < width && tokens[child] == x ? child : next;
        }
        if (next >= 0) {
          expect(next, depth + 1, width, emitted, so * p[node][x], law);
        } else {
          law.add(emitted, so * p[node][x]);
        }
      }
    }

    /** Where the answer to a node's coin can change. */
    TreeSet<Double> coinBreaks(int node) {
      TreeSet<Double> breaks = new TreeSet<>(List.of(0.0, 1.0));
      double sum = 0;
      for (int child : children[node]) {
        sum += p[node][tokens[child]];
        breaks.add(Math.min(1, sum));
      }
      return breaks;
    }

    /** Where the answer to the final coin can change, whatever node the walk ends at. */
    TreeSet<Double> finalBreaks() {
      TreeSet<Double> breaks = new TreeSet<>(List.of(0.0, 1.0));
      for (int node = 0; node < nodes(); node++) {
        for (boolean without : new boolean[] {false, true}) {
          float[] rest = p[node].clone();
          if (without) {
            for (int child : children[node]) {
              rest[tokens[child]] = 0;
            }
          }
          double total = 0;
          for (float x : rest) {
            total += x;
          }
          double sum = 0;
          for (float x : rest) {
            sum += x;
            breaks.add(total == 0 ? 0 : Math.min(1, sum / total));
          }
        }
      }
      return breaks;
    }
  }

  /** Probabilities of emitted sequences. */
  private static final class Law {
    private final Map<List<Integer>, Double> of = new HashMap<>();

    void add(List<Integer> emitted, double probability) {
      of.merge(emitted, probability, Double::sum);
    }

    void assertEqualsTo(Law expected, double tolerance, String what) {
      TreeSet<String> sequences = new TreeSet<>();
      of.keySet().forEach(s -> sequences.add(s.toString()));
      Map<String, Double> mine = named();
      Map<String, Double> others = expected.named();
      sequences.addAll(others.keySet());
      for (String sequence : sequences) {
        double want = others.getOrDefault(sequence, 0.0);
        double margin =
            tolerance > 0 ? tolerance : -tolerance * Math.sqrt(want * (1 - want)) + 1e-9;
        assertEquals(want, mine.getOrDefault(sequence, 0.0), margin, what + " " + sequence);
      }
    }

    private Map<String, Double> named() {
      Map<String, Double> named = new HashMap<>();
      of.forEach((sequence, probability) -> named.put(sequence.toString(), probability));
      return named;
    }
  }

  private static final int[][][] TREES = {
    {{}},
    {{1, 2}, {}, {}},
    {{2, 1}, {3}, {}, {}},
    {{1, 2, 3}, {4, 5}, {}, {6}, {}, {}, {}},
    {{1}, {2}, {3}, {}}
  };

  @ParameterizedTest
  @MethodSource("devices")
  void theLawIsTheTargets(DeviceUnderTest under) {
    try (Device device = under.open()) {
      SplittableRandom random = new SplittableRandom(7);
      for (int vocab = 3; vocab <= 6; vocab++) {
        for (int[][] tree : TREES) {
          for (int width : new int[] {2, 4}) {
            if (tree[0].length <= vocab / 2) {
              integrate(device, Draft.of(vocab, tree, random), width);
            }
          }
        }
      }
    }
  }

  /** Runs the middle of each cell on which the answer is constant, all cells in one batch. */
  private static void integrate(Device device, Draft draft, int width) {
    List<double[]> cells = new ArrayList<>(); // a coin for each node, the final one, the volume
    double[] cell = new double[draft.nodes() + 2];
    cell[draft.nodes() + 1] = 1;
    split(draft, 0, cell, cells);
    float[] uniforms = new float[cells.size() * draft.nodes()];
    float[] finalUniforms = new float[cells.size()];
    for (int b = 0; b < cells.size(); b++) {
      for (int i = 0; i < draft.nodes(); i++) {
        uniforms[b * draft.nodes() + i] = (float) cells.get(b)[i];
      }
      finalUniforms[b] = (float) cells.get(b)[draft.nodes()];
    }
    Law law = new Law();
    List<List<Integer>> emitted = emitted(device, draft, width, uniforms, finalUniforms);
    for (int b = 0; b < cells.size(); b++) {
      law.add(emitted.get(b), cells.get(b)[draft.nodes() + 1]);
    }
    Law expected = new Law();
    draft.expect(0, 0, width, List.of(), 1, expected);
    law.assertEqualsTo(expected, EXACT, Arrays.deepToString(draft.p) + " width " + width);
  }

  private static void split(Draft draft, int coin, double[] cell, List<double[]> cells) {
    if (coin > draft.nodes()) {
      cells.add(cell.clone());
      return;
    }
    TreeSet<Double> breaks = coin < draft.nodes() ? draft.coinBreaks(coin) : draft.finalBreaks();
    double from = 0;
    double volume = cell[draft.nodes() + 1];
    for (double to : breaks) {
      if (to - from > 1e-6 / breaks.size()) { // narrower ones do not count
        cell[coin] = (from + to) / 2;
        cell[draft.nodes() + 1] = volume * (to - from);
        split(draft, coin + 1, cell, cells);
      }
      from = to;
    }
    cell[draft.nodes() + 1] = volume;
  }

  @ParameterizedTest
  @MethodSource("processors")
  void aMillionSamplesHaveTheTargetsLaw(DeviceUnderTest under) {
    int batch = 100_000;
    int rounds = 10;
    SplittableRandom random = new SplittableRandom(11);
    Draft draft = Draft.of(6, TREES[3], random);
    Law law = new Law();
    try (Device device = under.open()) {
      for (int round = 0; round < rounds; round++) {
        float[] uniforms = new float[batch * draft.nodes()];
        float[] finalUniforms = new float[batch];
        for (int i = 0; i < uniforms.length; i++) {
          uniforms[i] = random.nextFloat();
        }
        for (int i = 0; i < batch; i++) {
          finalUniforms[i] = random.nextFloat();
        }
        emitted(device, draft, 4, uniforms, finalUniforms)
            .forEach(sequence -> law.add(sequence, 1.0 / (batch * rounds)));
      }
    }
    Law expected = new Law();
    draft.expect(0, 0, 4, List.of(), 1, expected);
    law.assertEqualsTo(expected, -5 / Math.sqrt(batch * rounds), "samples"); // 5 sigma
  }

  /** What each request emits; all of them are the same tree with other coins. */
  private static List<List<Integer>> emitted(
      Device device, Draft draft, int width, float[] uniforms, float[] finalUniforms) {
    int batch = finalUniforms.length;
    int n = draft.nodes();
    int[] firstChild = new int[n];
    int[] nextSibling = new int[n];
    Arrays.fill(firstChild, -1);
    Arrays.fill(nextSibling, -1);
    for (int node = 0; node < n; node++) {
      int[] children = draft.children[node];
      for (int k = 0; k < children.length; k++) {
        if (k == 0) {
          firstChild[node] = children[0];
        } else {
          nextSibling[children[k - 1]] = children[k];
        }
      }
    }
    float[] rows = new float[n * draft.vocab()];
    for (int i = 0; i < rows.length; i++) {
      rows[i] = draft.p[i / draft.vocab()][i % draft.vocab()];
    }
    int[] offsets = new int[batch + 1];
    Arrays.setAll(offsets, b -> b * n);
    TreeVerify.Spec spec =
        TreeVerify.Spec.targetOnly(
            VerifyTarget.PROBABILITIES,
            DType.F32,
            draft.vocab(),
            width,
            TreeVerify.Thresholds.EXACT);
    List<Buffer> all = new ArrayList<>();
    try (Stream stream = device.openStream()) {
      TreeVerify.Outputs outputs =
          new TreeVerify.Outputs(
              ints(device, stream, all, spec.acceptedShape(batch), new int[batch * width]),
              ints(device, stream, all, Shape.of(batch), new int[batch]),
              ints(device, stream, all, Shape.of(batch), new int[batch]),
              ints(device, stream, all, Shape.of(batch), new int[batch]));
      Shape nodes = Shape.of((long) batch * n);
      TreeVerify.plan(device, spec)
          .run(
              stream,
              TreeVerify.Operands.ofLinks(
                      ints(device, stream, all, Shape.of(batch + 1), offsets),
                      ints(device, stream, all, nodes, repeated(draft.tokens, batch)),
                      ints(device, stream, all, nodes, repeated(firstChild, batch)),
                      ints(device, stream, all, nodes, repeated(nextSibling, batch)),
                      floats(
                          device,
                          stream,
                          all,
                          spec.targetShape((long) batch * n),
                          repeated(rows, batch)),
                      outputs)
                  .withUniforms(
                      floats(device, stream, all, nodes, uniforms),
                      floats(device, stream, all, Shape.of(batch), finalUniforms)));
      int[] accepted = read(outputs.accepted(), stream);
      int[] counts = read(outputs.counts(), stream);
      int[] next = read(outputs.next(), stream);
      assertArrayEquals(new int[batch], read(outputs.status(), stream));
      List<List<Integer>> emitted = new ArrayList<>();
      for (int b = 0; b < batch; b++) {
        List<Integer> sequence = new ArrayList<>();
        for (int i = 1; i <= counts[b]; i++) {
          sequence.add(draft.tokens[accepted[b * width + i]]);
        }
        sequence.add(next[b]);
        emitted.add(sequence);
      }
      return emitted;
    } finally {
      all.forEach(Buffer::close);
    }
  }

  private static int[] repeated(int[] values, int times) {
    int[] all = new int[values.length * times];
    Arrays.setAll(all, i -> values[i % values.length]);
    return all;
  }

  private static float[] repeated(float[] values, int times) {
    float[] all = new float[values.length * times];
    for (int i = 0; i < all.length; i++) {
      all[i] = values[i % values.length];
    }
    return all;
  }

  private static Buffer ints(
      Device device, Stream stream, List<Buffer> all, Shape shape, int[] values) {
    Buffer buffer = device.allocate(DType.I32, shape);
    all.add(buffer);
    buffer.copyFrom(MemorySegment.ofArray(values), stream);
    return buffer;
  }

  private static Buffer floats(
      Device device, Stream stream, List<Buffer> all, Shape shape, float[] values) {
    Buffer buffer = device.allocate(DType.F32, shape);
    all.add(buffer);
    buffer.copyFrom(MemorySegment.ofArray(values), stream);
    return buffer;
  }

  private static int[] read(Buffer buffer, Stream stream) {
    int[] values = new int[(int) buffer.shape().size()];
    buffer.copyTo(MemorySegment.ofArray(values), stream);
    return values;
  }

  /** Without temperature, sampling is the greedy walk, whatever the coins. */
  @ParameterizedTest
  @MethodSource("devices")
  void temperatureZeroIsGreedy(DeviceUnderTest under) {
    try (Device device = under.open()) {
      for (TreeVerifyCases.Case each : TreeVerifyCases.small()) {
        TreeVerify.Spec spec = each.spec();
        if (spec.rule() == VerifyRule.TARGET_ONLY
            && spec.target() == VerifyTarget.LOGITS
            && spec.vocab() <= 1000) {
          EnumSet<TreeVerifyCases.Trait> traits = EnumSet.of(TreeVerifyCases.Trait.FROZEN);
          traits.addAll(each.traits());
          traits.remove(TreeVerifyCases.Trait.UNTEMPERED);
          Outcome sampled = each.with(spec, traits).runOn(device);
          TreeVerify.Spec greedy =
              TreeVerify.Spec.greedy(
                  VerifyRule.GREEDY_LINKED, spec.dtype(), spec.vocab(), spec.width());
          assertNull(sampled.difference(each.with(greedy, traits).runOn(device)), each::toString);
        }
      }
    }
  }
}
