package io.quern.op;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT_UNALIGNED;

import io.quern.Buffer;
import io.quern.DType;
import io.quern.Device;
import io.quern.Shape;
import io.quern.Stream;
import io.quern.op.PonetPoolingCases.Case;
import io.quern.op.PonetPoolingCases.Ids;
import io.quern.op.PonetPoolingCases.Option;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.EnumSet;
import java.util.List;
import java.util.Set;
import java.util.SplittableRandom;

/** The calls of {@link PonetMixer} that are tested. */
public final class PonetMixerCases {
  private PonetMixerCases() {}

  /**
   * A call.
   *
   * @param of what is pooled; its first rows are x
   */
  public record Mixer(Case of) implements OperatorCase {
    @Override
    public String id() {
      return of.id();
    }

    RandomRows x() {
      return of.rows(0);
    }

    /** Of the order of 1 / √C, so that nothing overflows. */
    private float[] random(int count, long seed) {
      SplittableRandom random = new SplittableRandom(of.seed() * 3 + seed);
      float[] values = new float[count];
      for (int i = 0; i < count; i++) {
        values[i] = (float) (random.nextGaussian() / Math.sqrt(of.spec().columns()));
      }
      return values;
    }

    float[] weight() {
      int columns = of.spec().columns();
      return random(PonetMixer.PROJECTIONS * columns * columns, 1);
    }

    float[] bias() {
      return random(PonetMixer.PROJECTIONS * of.spec().columns(), 2);
    }

    @Override
    public Outcome expected() {
      return new Expected(this).outcome();
    }

    @Override
    public PreparedCase prepare(Device device, Stream stream, OperandMemory memory) {
      return new Prepared(this, device, stream, memory);
    }
  }

  /** The documentation's formulae: pooling with other queries, values and rows. */
  private static final class Expected extends PonetPoolingCases.Expected {
    private final float[][] x;
    private final float[] weight;
    private final float[] bias;

    Expected(Mixer mixer) {
      super("PonetMixer", mixer.of);
      x = widened(mixer.x());
      weight = mixer.weight();
      bias = mixer.bias();
      int columns = spec.columns();
      for (int layer = 2; layer < 5; layer++) {
        for (int t = 0; t < x.length; t++) {
          for (int c = 0; c < columns; c++) {
            int row = layer * columns + c;
            float chain = 0;
            for (int i = 0; i < columns; i++) {
              chain = Math.fma(x[t][i], weight[row * columns + i], chain);
            }
            rows[layer][t][c] = chain + bias[row];
          }
        }
      }
    }

    @Override
    float[] value(int begin, int end, int h) {
      int columns = spec.columns();
      int dim = spec.headDim();
      float[] mean = new float[columns];
      for (int c = 0; c < columns; c++) {
        mean[c] = mean(x, begin, end, c);
      }
      float[] query = new float[columns];
      for (int i = 0; i < columns; i++) {
        float partial = 0;
        for (int d = 0; d < dim; d++) {
          int row = h * dim + d;
          float g = dot(mean, weight, row * columns, columns) + bias[row];
          partial = Math.fma(g, weight[(columns + row) * columns + i], partial);
          if (d % 64 == 63 || d == dim - 1) {
            query[i] += partial;
            partial = 0;
          }
        }
      }
      float[] z = softmax(begin, end, query, x, 0);
      float[] v = new float[dim];
      for (int d = 0; d < dim; d++) {
        int row = columns + h * dim + d;
        v[d] = dot(z, weight, row * columns, columns) + bias[row];
      }
      return v;
    }
  }

  private static final class Prepared extends PreparedCase {
    private final PonetMixer plan;
    private final PonetMixer.Operands operands;

    Prepared(Mixer mixer, Device device, Stream stream, OperandMemory memory) {
      super(stream, memory, mixer.of.strided());
      Case of = mixer.of;
      PonetPooling.Spec spec = of.spec();
      int count = of.count();
      int columns = spec.columns();
      plan = PonetMixer.plan(device, spec);
      long[] offsets = of.offsets();
      operands =
          new PonetMixer.Operands(
              matrix("x", mixer.x()),
              floats("weight", Shape.of(5L * columns, columns), mixer.weight()),
              floats("bias", Shape.of(5L * columns), mixer.bias()),
              indices("offsets", spec.offsets(), Shape.of(offsets.length), offsets),
              indices("segmentIds", DType.I32, Shape.of(count), of.segmentIds()),
              of.hasValid() ? flags("valid", of.valid()) : null,
              of.options().contains(Option.SPECIAL) ? flags("special", of.special()) : null,
              output(spec.out(), spec.rowsShape(count)),
              of.options().contains(Option.PROBABILITIES)
                  ? denseOutput("probabilities", DType.F32, Shape.of(count, spec.heads()))
                  : null,
              workspace(plan.workspaceBytes(of.lengths().size(), count)));
    }

    private Buffer floats(String operand, Shape shape, float[] values) {
      byte[] bytes = new byte[values.length * Float.BYTES];
      MemorySegment.copy(
          values, 0, MemorySegment.ofArray(bytes), JAVA_FLOAT_UNALIGNED, 0, values.length);
      return input(operand, DType.F32, shape, bytes);
    }

    @Override
    public void run() {
      plan.run(stream(), operands);
    }
  }

  /**
   * Ragged and padded batches of all kinds, around the chunk of 64 tokens and blocks of products.
   */
  public static List<Mixer> small() {
    List<Mixer> cases = new ArrayList<>();
    int[][] heads = {{1, 1}, {2, 8}, {3, 16}, {7, 5}, {2, 64}, {1, 70}};
    List<List<Integer>> batches =
        List.of(List.of(), List.of(0), List.of(2, 0, 3), List.of(63, 1, 66), List.of(150));
    for (int[] head : heads) {
      for (List<Integer> lengths : batches) {
        int i = cases.size();
        Set<Option> options = EnumSet.noneOf(Option.class);
        for (Option option : Option.values()) {
          if ((i * 5 / 2 >> option.ordinal() & 1) == 1) {
            options.add(option);
          }
        }
        Set<Trait> traits = EnumSet.noneOf(Trait.class);
        if (i % 3 == 0) {
          traits.add(Trait.STRIDED);
        }
        if (i % 4 == 1) {
          traits.add(Trait.BAD_IDS);
        }
        if (i % 9 == 3) {
          traits.add(Trait.BAD_OFFSETS);
        }
        PonetPooling.Spec spec =
            new PonetPooling.Spec(
                EmbeddingGatherCases.FLOATS.get(i % 3),
                EmbeddingGatherCases.FLOATS.get(i / 2 % 3),
                EmbeddingGatherCases.INDICES.get(i % 2),
                head[0],
                head[1],
                new int[] {3, 5, 7, 1}[i % 4],
                PonetPooling.Flavour.values()[i / 2 % 2]);
        ValueSet values = i % 7 == 5 ? ValueSet.SPECIAL : ValueSet.values()[i % 2];
        cases.add(
            new Mixer(
                new Case(
                    "mixer-" + i, spec, lengths, Ids.values()[i % 4], options, values, traits, i)));
      }
    }
    return cases;
  }

  /** Any call. */
  static Mixer random(SplittableRandom random) {
    int length = random.nextInt(130);
    int first = random.nextInt(length + 1);
    List<Integer> lengths = List.of(first, length - first);
    return new Mixer(
        PonetPoolingCases.random(
            random, lengths, random.nextInt(1, 4), random.nextInt(1, 40), Trait.BAD_OFFSETS));
  }
}
