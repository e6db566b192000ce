package io.quern.op;

import io.quern.Buffer;
import io.quern.DType;
import io.quern.Device;
import io.quern.Shape;
import io.quern.Stream;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;

/** The calls of {@link TokenMerge} that are tested and timed. */
public final class TokenMergeCases {
  private TokenMergeCases() {}

  /** Where the tokens go. */
  public enum Slots {
    /** Anywhere, some nowhere, some to rows that are not there. */
    ANY,
    /** Most alone, a few together, as after a match. */
    MATCHED,
    /** All into row 0, or nowhere. */
    ONE
  }

  /**
   * A call.
   *
   * @param sized whether there are sizes, before and after
   * @param scaled whether sizes are scaled
   */
  public record Case(
      String id,
      TokenMerge.Spec spec,
      int batch,
      Slots slots,
      boolean sized,
      boolean scaled,
      boolean strided,
      ValueSet values,
      long seed)
      implements OperatorCase {
    /** The inputs, the same for every call. */
    public Inputs inputs() {
      SplittableRandom random = new SplittableRandom(~seed);
      int tokens = (int) spec.tokens();
      int merged = (int) spec.merged();
      long[] slot = new long[batch * tokens];
      for (int i = 0; i < slot.length; i++) {
        slot[i] =
            switch (slots) {
              case ANY -> random.nextInt(-2, merged + 2);
              case MATCHED -> i % tokens < merged ? i % tokens : random.nextInt(-1, merged);
              case ONE -> random.nextInt(8) == 0 ? Integer.MIN_VALUE : 0;
            };
      }
      RandomRows x = new RandomRows(spec.dtype(), Shape.of(slot.length, spec.dim()), values, seed);
      return new Inputs(
          x,
          slot,
          sized ? sizes(slot.length, random) : null,
          scaled ? sizes(slot.length, random) : null);
    }

    /** Sizes as they come out of merges, and zero, negative and odd ones. */
    private static float[] sizes(int count, SplittableRandom random) {
      float[] sizes = new float[count];
      for (int i = 0; i < count; i++) {
        sizes[i] =
            switch (random.nextInt(12)) {
              case 0 -> 0;
              case 1 -> -1.5f;
              case 2 -> Float.NaN;
              case 3 -> (float) random.nextGaussian();
              default -> random.nextInt(1, 9);
            };
      }
      return sizes;
    }

    @Override
    public Outcome expected() {
      return MergingReference.merge(this);
    }

    @Override
    public PreparedCase prepare(Device device, Stream stream, OperandMemory memory) {
      return new Prepared(this, device, stream, memory);
    }
  }

  /**
   * What a case reads.
   *
   * @param size or null
   * @param scale or null
   */
  public record Inputs(RandomRows x, long[] slot, float[] size, float[] scale) {
    float sizeOf(int token) {
      float value = size == null ? 1 : size[token];
      return scale == null ? value : value * scale[token];
    }
  }

  private static final class Prepared extends PreparedCase {
    private final TokenMerge plan;
    private final TokenMerge.Operands operands;

    Prepared(Case of, Device device, Stream stream, OperandMemory memory) {
      super(stream, memory, of.strided);
      TokenMerge.Spec spec = of.spec;
      Inputs in = of.inputs();
      plan = TokenMerge.plan(device, spec);
      Shape tokens = Shape.of(of.batch, spec.tokens());
      Buffer x = matrix("x", in.x);
      Buffer slot = indices("slot", DType.I32, tokens, in.slot);
      Buffer size = in.size == null ? null : perToken("size", tokens, in.size);
      Buffer scale = in.scale == null ? null : perToken("scale", tokens, in.scale);
      Buffer out = output(spec.dtype(), Shape.of(of.batch * spec.merged(), spec.dim()));
      Buffer sizeOut =
          of.sized ? denseOutput("sizeOut", DType.F32, Shape.of(of.batch, spec.merged())) : null;
      operands = new TokenMerge.Operands(x, slot, size, scale, out, sizeOut);
    }

    @Override
    public void run() {
      plan.run(stream(), operands);
    }
  }

  /** Small calls: every type and combination, long lists, empty rows, odd sizes. */
  public static List<Case> small() {
    List<Case> cases = new ArrayList<>();
    for (DType dtype : EmbeddingGatherCases.FLOATS) {
      for (Combine combine :
          List.of(Combine.SUM, Combine.MEAN, Combine.WEIGHTED_MEAN, Combine.MAX)) {
        for (ValueSet values : ValueSet.values()) {
          for (Slots slots : Slots.values()) {
            add(cases, TokenMerge.Spec.of(dtype, 37, 20, 19, combine), 2, slots, values);
          }
        }
        add(cases, TokenMerge.Spec.of(dtype, 300, 2, 40, combine), 2, Slots.ANY, ValueSet.NORMAL);
        add(cases, TokenMerge.Spec.of(dtype, 150, 150, 96, combine), 1, Slots.ONE, ValueSet.NORMAL);
        add(cases, TokenMerge.Spec.of(dtype, 5, 3, 8200, combine), 2, Slots.ANY, ValueSet.NORMAL);
        add(
            cases,
            TokenMerge.Spec.of(dtype, 9, 4, 1, combine).withLeastSize(1),
            2,
            Slots.ANY,
            ValueSet.NORMAL);
        add(
            cases,
            TokenMerge.Spec.of(dtype, 197, 181, 64, combine).withLeastSize(1),
            3,
            Slots.MATCHED,
            ValueSet.NORMAL);
      }
    }
    for (int[] shape : new int[][] {{0, 3, 4, 2}, {3, 0, 4, 2}, {3, 2, 0, 2}, {3, 2, 4, 0}}) {
      add(
          cases,
          TokenMerge.Spec.of(DType.F32, shape[0], shape[1], shape[2], Combine.MEAN),
          shape[3],
          Slots.ANY,
          ValueSet.NORMAL);
    }
    return cases;
  }

  /** A random call. */
  static Case random(SplittableRandom random) {
    List<Combine> combines = List.of(Combine.SUM, Combine.MEAN, Combine.WEIGHTED_MEAN, Combine.MAX);
    TokenMerge.Spec spec =
        TokenMerge.Spec.of(
            EmbeddingGatherCases.FLOATS.get(random.nextInt(3)),
            random.nextInt(random.nextInt(8) == 0 ? 300 : 30),
            random.nextInt(20),
            random.nextInt(random.nextInt(8) == 0 ? 400 : 40),
            combines.get(random.nextInt(combines.size())));
    return new Case(
        "random",
        random.nextInt(3) == 0 ? spec.withLeastSize(1) : spec,
        random.nextInt(4),
        Slots.values()[random.nextInt(Slots.values().length)],
        random.nextBoolean(),
        random.nextBoolean(),
        random.nextBoolean(),
        ValueSet.values()[random.nextInt(ValueSet.values().length)],
        random.nextLong());
  }

  private static void add(
      List<Case> cases, TokenMerge.Spec spec, int batch, Slots slots, ValueSet values) {
    int n = cases.size();
    cases.add(
        new Case("small-" + n, spec, batch, slots, n % 2 == 0, n % 3 == 0, n % 5 < 2, values, n));
  }
}
