package io.quern.op;

import io.quern.DType;
import io.quern.Device;
import io.quern.InvalidDataException.Kind;
import io.quern.Shape;
import io.quern.Stream;
import io.quern.internal.scalar.CanonicalMath;
import java.util.ArrayList;
import java.util.EnumSet;
import java.util.List;
import java.util.Set;
import java.util.SplittableRandom;

/** The calls of {@link PonetPooling} that are tested. */
public final class PonetPoolingCases {
  private PonetPoolingCases() {}

  /** How segment ids are drawn. */
  public enum Ids {
    /** Runs of about eight, in order. */
    RUNS,
    /** Any of a quarter as many ids as there are tokens. */
    SCATTERED,
    /** One segment. */
    ONE,
    /** Each token is its own. */
    SINGLE
  }

  /** What is given besides the rows. */
  public enum Option {
    VALID,
    /** The last half of every other sequence, and all of the first, are padding. */
    MUCH_PADDING,
    SPECIAL,
    PROBABILITIES
  }

  /** A call. */
  public record Case(
      String id,
      PonetPooling.Spec spec,
      List<Integer> lengths,
      Ids ids,
      Set<Option> options,
      ValueSet values,
      Set<Trait> traits,
      long seed)
      implements OperatorCase {
    public Case {
      lengths = List.copyOf(lengths);
      options = Set.copyOf(options);
      traits = Set.copyOf(traits);
    }

    boolean strided() {
      return traits.contains(Trait.STRIDED);
    }

    int lead() {
      return strided() ? 2 : 0;
    }

    int count() {
      return 2 * lead() + lengths.stream().mapToInt(n -> n).sum();
    }

    RandomRows rows(int number) {
      return new RandomRows(spec.x(), spec.rowsShape(count()), values, seed * 5 + number);
    }

    long[] offsets() {
      long[] offsets = ReferenceRows.offsets(lengths, lead());
      if (traits.contains(Trait.BAD_OFFSETS)) {
        BadIndices.among(offsets, count() + 1L, spec.offsets(), new SplittableRandom(~seed));
      }
      return offsets;
    }

    long[] segmentIds() {
      SplittableRandom random = new SplittableRandom(seed);
      long[] segmentIds = new long[count()];
      int at = lead();
      for (int length : lengths) {
        int run = 0;
        for (int t = 0; t < length; t++) {
          run += random.nextInt(8) == 0 && run + 2 < length ? 1 + random.nextInt(2) : 0;
          segmentIds[at + t] =
              switch (ids) {
                case RUNS -> Math.min(run, length - 1);
                case SCATTERED -> random.nextInt(length / 4 + 1);
                case ONE -> length / 2;
                case SINGLE -> length - 1 - t;
              };
        }
        at += length;
      }
      if (traits.contains(Trait.BAD_IDS)) {
        BadIndices.amongIds(segmentIds, 1000, DType.I32, random);
      }
      return segmentIds;
    }

    boolean[] valid() {
      boolean[] valid = new boolean[count()];
      SplittableRandom random = new SplittableRandom(seed + 7);
      int at = lead();
      for (int s = 0; s < lengths.size(); s++) {
        for (int t = 0; t < lengths.get(s); t++) {
          valid[at + t] =
              options.contains(Option.MUCH_PADDING)
                  ? s > 0 && (s % 2 == 0 || t < lengths.get(s) / 2)
                  : random.nextInt(6) != 0;
        }
        at += lengths.get(s);
      }
      return valid;
    }

    boolean[] special() {
      boolean[] special = new boolean[count()];
      SplittableRandom random = new SplittableRandom(seed + 9);
      for (int i = 0; i < special.length; i++) {
        special[i] = random.nextInt(9) == 0;
      }
      return special;
    }

    boolean hasValid() {
      return options.contains(Option.VALID) || options.contains(Option.MUCH_PADDING);
    }

    @Override
    public Outcome expected() {
      return new Expected("PonetPooling", this).outcome();
    }

    @Override
    public PreparedCase prepare(Device device, Stream stream, OperandMemory memory) {
      return new Prepared(this, device, stream, memory);
    }
  }

  /**
   * The documentation's formulae, column by column. exp is the library's: its bits are part of the
   * documentation, and tested for themselves.
   */
  static class Expected {
    private final Case of;
    final PonetPooling.Spec spec;

    /** q, k, o, local, segment. */
    final float[][][] rows = new float[5][][];

    private final long[] segmentIds;
    private final boolean[] valid;
    private final boolean[] special;
    private final ReferenceRows out;
    private final ReferenceRows p;
    private final ReferenceRows.Faults faults;

    /** The softmax of the head that is at work. */
    private float[] scores;

    private float max;
    private float sum;

    Expected(String operator, Case of) {
      this.of = of;
      this.spec = of.spec;
      faults = new ReferenceRows.Faults(operator);
      int count = of.count();
      for (int r = 0; r < 5; r++) {
        rows[r] = widened(of.rows(r));
      }
      segmentIds = of.segmentIds();
      valid = of.hasValid() ? of.valid() : null;
      special = of.options.contains(Option.SPECIAL) ? of.special() : null;
      out = new ReferenceRows("out", spec.out(), count, spec.columns(), of.strided());
      p = new ReferenceRows("probabilities", DType.F32, count, spec.heads(), false);
    }

    static float[][] widened(RandomRows random) {
      int count = (int) random.shape().rows();
      float[][] rows = new float[count][(int) random.shape().last()];
      for (int t = 0; t < count; t++) {
        for (int c = 0; c < rows[t].length; c++) {
          rows[t][c] = ReferenceRows.value(random, t, c);
        }
      }
      return rows;
    }

    final Outcome outcome() {
      long[] offsets = of.offsets();
      if (of.count() > 0 && ReferenceRows.areOffsets(offsets, of.count(), faults)) {
        for (int s = 0; s < of.lengths.size(); s++) {
          int begin = (int) offsets[s];
          int end = (int) offsets[s + 1];
          for (int h = 0; h < spec.heads() && begin < end; h++) {
            pool(begin, end, h);
          }
        }
      }
      return new Outcome(
          of.options.contains(Option.PROBABILITIES)
              ? List.of(out.output(), p.output())
              : List.of(out.output()),
          faults.lowest());
    }

    private boolean isValid(int t) {
      return valid == null || valid[t];
    }

    private boolean isSpecial(int t) {
      return special != null && special[t];
    }

    static float halved(float[] sums) {
      for (int half = 32; half > 0; half /= 2) {
        for (int i = 0; i < half; i++) {
          sums[i] += sums[i + half];
        }
      }
      return sums[0];
    }

    static float dot(float[] a, float[] b, int first, int dim) {
      float[] sums = new float[64];
      for (int d = 0; d < dim; d++) {
        sums[d % 64] = Math.fma(a[d], b[first + d], sums[d % 64]);
      }
      return 0 + halved(sums);
    }

    /** The mean of one column over the valid tokens. */
    final float mean(float[][] of, int begin, int end, int column) {
      int count = 0;
      float total = 0;
      for (int chunk = begin; chunk < end; chunk += 64) {
        float partial = 0;
        for (int t = chunk; t < Math.min(end, chunk + 64); t++) {
          partial += isValid(t) ? of[t][column] : 0;
          count += isValid(t) ? 1 : 0;
        }
        total += partial;
      }
      return total / count;
    }

    /** v of a head. */
    float[] value(int begin, int end, int h) {
      float[] query = new float[spec.headDim()];
      for (int d = 0; d < query.length; d++) {
        query[d] = mean(rows[0], begin, end, h * query.length + d);
      }
      return softmax(begin, end, query, rows[1], h * query.length);
    }

    /** The softmax over keys, and the sum of them that it weighs. */
    final float[] softmax(int begin, int end, float[] query, float[][] keys, int first) {
      int dim = query.length;
      scores = new float[end - begin];
      for (int t = begin; t < end; t++) {
        scores[t - begin] =
            dot(query, keys[t], first, dim) * (float) (1 / Math.sqrt(spec.headDim()));
      }
      max = Float.NEGATIVE_INFINITY;
      sum = 0;
      float[] value = new float[dim];
      boolean any = false;
      for (int chunk = begin; chunk < end; chunk += 64) {
        int chunkEnd = Math.min(end, chunk + 64);
        float chunkMax = Float.NEGATIVE_INFINITY;
        for (int t = chunk; t < chunkEnd; t++) {
          chunkMax = isValid(t) ? ReferenceRows.max(chunkMax, scores[t - begin]) : chunkMax;
        }
        if (chunkMax == Float.NEGATIVE_INFINITY) {
          continue;
        }
        float[] weights = new float[64];
        float[] columns = new float[dim];
        for (int t = chunk; t < chunkEnd; t++) {
          if (isValid(t)) {
            weights[t - chunk] = CanonicalMath.exp(scores[t - begin] - chunkMax);
            for (int d = 0; d < dim; d++) {
              columns[d] = Math.fma(weights[t - chunk], keys[t][first + d], columns[d]);
            }
          }
        }
        float chunkSum = halved(weights);
        if (any) {
          float merged = ReferenceRows.max(max, chunkMax);
          float a = CanonicalMath.exp(max - merged);
          float b = CanonicalMath.exp(chunkMax - merged);
          max = merged;
          sum = Math.fma(chunkSum, b, sum * a);
          for (int d = 0; d < dim; d++) {
            value[d] = Math.fma(columns[d], b, value[d] * a);
          }
        } else {
          any = true;
          max = chunkMax;
          sum = chunkSum;
          value = columns;
        }
      }
      for (int d = 0; d < dim; d++) {
        value[d] /= sum;
      }
      return value;
    }

    private void pool(int begin, int end, int h) {
      int first = h * spec.headDim();
      int dim = spec.headDim();
      float[] value = value(begin, end, h);
      boolean none = true;
      for (int t = begin; t < end; t++) {
        none &= !isValid(t);
      }
      for (int t = begin; t < end; t++) {
        long id = segmentIds[t];
        boolean inside = id >= 0 && id < end - begin;
        if (isValid(t) && !inside && h == 0) {
          faults.add(Kind.INDEX, t, id, end - begin);
        }
        for (int d = 0; d < dim; d++) {
          int c = first + d;
          float v = value[d];
          if (!isValid(t) || !inside) {
            out.set(t, c, 0);
          } else if (isSpecial(t)) {
            out.set(t, c, Math.fma(v + 0, rows[2][t][c], 0));
          } else {
            float fused =
                Math.fma(v + segment(begin, end, id, c), rows[2][t][c], local(begin, end, t, c));
            out.set(t, c, fused);
          }
        }
        float probability = CanonicalMath.exp(scores[t - begin] - max) / sum;
        if (none) {
          probability =
              spec.flavour() == PonetPooling.Flavour.BERT ? Float.NaN : 1f / (end - begin);
        } else if (!isValid(t)) {
          probability = 0;
        }
        p.set(t, h, probability);
      }
    }

    private float segment(int begin, int end, long id, int column) {
      float max = Float.NEGATIVE_INFINITY;
      for (int t = begin; t < end; t++) {
        if (segmentIds[t] == id) {
          max = ReferenceRows.max(max, isValid(t) ? rows[4][t][column] : -10000);
        }
      }
      return max;
    }

    private float local(int begin, int end, int token, int column) {
      float max = Float.NEGATIVE_INFINITY;
      for (int t = token - spec.window() / 2; t <= token + spec.window() / 2; t++) {
        if (t >= begin && t < end) {
          float value = isValid(t) && !isSpecial(t) ? rows[3][t][column] : -10000;
          max = ReferenceRows.max(max, value);
        }
      }
      return max;
    }
  }

  private static final class Prepared extends PreparedCase {
    private final PonetPooling plan;
    private final PonetPooling.Operands operands;

    Prepared(Case of, Device device, Stream stream, OperandMemory memory) {
      super(stream, memory, of.strided());
      PonetPooling.Spec spec = of.spec;
      int count = of.count();
      plan = PonetPooling.plan(device, spec);
      long[] offsets = of.offsets();
      operands =
          new PonetPooling.Operands(
              matrix("q", of.rows(0)),
              matrix("k", of.rows(1)),
              matrix("o", of.rows(2)),
              matrix("local", of.rows(3)),
              matrix("segment", of.rows(4)),
              indices("offsets", spec.offsets(), Shape.of(offsets.length), offsets),
              indices("segmentIds", DType.I32, Shape.of(count), of.segmentIds()),
              of.hasValid() ? flags("valid", of.valid()) : null,
              of.options.contains(Option.SPECIAL) ? flags("special", of.special()) : null,
              output(spec.out(), spec.rowsShape(count)),
              of.options.contains(Option.PROBABILITIES)
                  ? denseOutput("probabilities", DType.F32, Shape.of(count, spec.heads()))
                  : null,
              workspace(plan.workspaceBytes(of.lengths.size(), count)));
    }

    @Override
    public void run() {
      plan.run(stream(), operands);
    }
  }

  /** Ragged and padded batches of all kinds, around the chunk of 64 tokens. */
  public static List<Case> small() {
    List<Case> cases = new ArrayList<>();
    int[][] heads = {{1, 1}, {2, 8}, {3, 16}, {2, 32}, {12, 5}, {2, 64}, {1, 128}};
    List<List<Integer>> batches =
        List.of(
            List.of(),
            List.of(0),
            List.of(1),
            List.of(2, 0, 3),
            List.of(63, 64, 65),
            List.of(20, 17, 5),
            List.of(200));
    for (int[] head : heads) {
      for (List<Integer> lengths : batches) {
        for (int n = 0; n < 3; n++) {
          int i = cases.size();
          Set<Option> options = EnumSet.noneOf(Option.class);
          for (Option option : Option.values()) {
            if ((i * 7 / 3 >> option.ordinal() & 1) == 1) {
              options.add(option);
            }
          }
          Set<Trait> traits = EnumSet.noneOf(Trait.class);
          if (i % 3 == 0) {
            traits.add(Trait.STRIDED);
          }
          if (i % 5 == 1) {
            traits.add(Trait.BAD_IDS);
          }
          if (i % 11 == 3) {
            traits.add(Trait.BAD_OFFSETS);
          }
          PonetPooling.Spec spec =
              new PonetPooling.Spec(
                  EmbeddingGatherCases.FLOATS.get(n),
                  EmbeddingGatherCases.FLOATS.get(i / 2 % 3),
                  EmbeddingGatherCases.INDICES.get(i % 2),
                  head[0],
                  head[1],
                  new int[] {3, 5, 7, 1}[i % 4],
                  PonetPooling.Flavour.values()[i / 2 % 2]);
          ValueSet values = i % 6 == 5 ? ValueSet.SPECIAL : ValueSet.values()[i % 2];
          cases.add(
              new Case(
                  "pooling-" + i, spec, lengths, Ids.values()[i % 4], options, values, traits, i));
        }
      }
    }
    for (DType dtype : EmbeddingGatherCases.FLOATS) {
      // Two slices of heads, aligned rows, several chunks.
      cases.add(
          new Case(
              "base-" + dtype,
              PonetPooling.Spec.of(dtype, 12, 64),
              List.of(150, 70),
              Ids.RUNS,
              Set.of(Option.SPECIAL, Option.PROBABILITIES),
              ValueSet.NORMAL,
              Set.of(),
              dtype.ordinal()));
    }
    return cases;
  }

  /** Any call. */
  static Case random(SplittableRandom random) {
    List<Integer> lengths = new ArrayList<>();
    for (int left = random.nextInt(200), n = random.nextInt(5); n > 0; n--) {
      lengths.add(n == 1 ? left : random.nextInt(left + 1));
      left -= lengths.getLast();
    }
    return random(random, lengths, random.nextInt(1, 6), random.nextInt(1, 80), Trait.BAD_OFFSETS);
  }

  /**
   * Any call of these sequences and heads.
   *
   * @param bad what may be bad besides ids, or null
   */
  static Case random(
      SplittableRandom random, List<Integer> lengths, int heads, int headDim, Trait bad) {
    Set<Option> options = EnumSet.noneOf(Option.class);
    for (Option option : Option.values()) {
      if (random.nextInt(3) == 0) {
        options.add(option);
      }
    }
    Set<Trait> traits = EnumSet.noneOf(Trait.class);
    if (random.nextInt(3) == 0) {
      traits.add(Trait.STRIDED);
    } else if (random.nextInt(4) == 0) {
      traits.add(Trait.BAD_IDS);
    }
    if (bad != null && random.nextInt(12) == 0) {
      traits.add(bad);
    }
    PonetPooling.Spec spec =
        new PonetPooling.Spec(
            EmbeddingGatherCases.FLOATS.get(random.nextInt(3)),
            EmbeddingGatherCases.FLOATS.get(random.nextInt(3)),
            EmbeddingGatherCases.INDICES.get(random.nextInt(2)),
            heads,
            headDim,
            1 + 2 * random.nextInt(4),
            PonetPooling.Flavour.values()[random.nextInt(2)]);
    return new Case(
        "random",
        spec,
        lengths,
        Ids.values()[random.nextInt(4)],
        options,
        ValueSet.values()[random.nextInt(4)],
        traits,
        random.nextLong());
  }
}
