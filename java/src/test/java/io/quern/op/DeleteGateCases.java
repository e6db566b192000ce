package io.quern.op;

import io.quern.Buffer;
import io.quern.DType;
import io.quern.Device;
import io.quern.Shape;
import io.quern.Stream;
import io.quern.internal.scalar.CanonicalMath;
import io.quern.op.MisuseCall.Missing;
import io.quern.op.MisuseCall.Operand;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;

/** The calls of {@link DeleteGate} and of {@link TokenDelete} that are tested. */
public final class DeleteGateCases {
  private DeleteGateCases() {}

  /**
   * A call.
   *
   * @param grouped whether there are groups, some of them −1
   * @param gated whether the gate is asked for
   * @param moved whether the tokens are deleted too, by {@link TokenDelete}
   */
  public record Case(
      String id,
      DeleteGate.Spec spec,
      int batch,
      boolean grouped,
      boolean gated,
      boolean moved,
      boolean strided,
      ValueSet values,
      long seed)
      implements OperatorCase {
    private int rows() {
      return (int) (batch * spec.tokens());
    }

    RandomRows x() {
      return new RandomRows(spec.dtype(), Shape.of(rows(), spec.dim()), values, seed);
    }

    RandomRows weight() {
      return new RandomRows(DType.F32, Shape.of(1, spec.dim()), ValueSet.NORMAL, ~seed);
    }

    long[] group() {
      return new SplittableRandom(seed).longs(rows(), -1, moved ? 1 : 5).toArray();
    }

    @Override
    public Outcome expected() {
      ReferenceRows gate = new ReferenceRows("gate", DType.F32, batch, spec.tokens(), false);
      ReferenceRows key = new ReferenceRows("key", DType.I32, batch, spec.tokens(), false);
      RandomRows x = x();
      RandomRows weight = weight();
      long[] group = group();
      List<List<Integer>> left = new ArrayList<>(); // tokens of each batch row
      for (int b = 0; b < batch; b++) {
        left.add(new ArrayList<>());
        for (int n = 0; n < spec.tokens(); n++) {
          int row = (int) (b * spec.tokens()) + n;
          float z = dot(x, row, weight, 0);
          if (spec.normalized()) {
            z /= (float) Math.sqrt(dot(x, row, x, row) / spec.dim() + spec.epsilon());
          }
          z += spec.bias();
          float value = spec.scale() / (1 + CanonicalMath.exp(-z));
          gate.set(b, n, value);
          int kept = grouped ? (int) group[row] : 0;
          key.setBits(b, n, value <= spec.threshold() ? -1 : kept);
          if (!(value <= spec.threshold()) && kept == 0) {
            left.get(b).add(n);
          }
        }
      }
      List<Outcome.Output> outputs = new ArrayList<>();
      if (gated) {
        outputs.add(gate.output());
      }
      outputs.add(key.output());
      if (moved) {
        outputs.addAll(moved(x, left));
      }
      return new Outcome(outputs, null);
    }

    private List<Outcome.Output> moved(RandomRows x, List<List<Integer>> left) {
      ReferenceRows perm = new ReferenceRows("perm", DType.I32, batch, spec.tokens(), false);
      ReferenceRows offsets = new ReferenceRows("offsets", DType.I32, batch, 2, false);
      ReferenceRows inverse = new ReferenceRows("inverse", DType.I32, batch, spec.tokens(), false);
      ReferenceRows out = new ReferenceRows("out", spec.dtype(), rows(), spec.dim(), strided);
      for (int b = 0; b < batch; b++) {
        offsets.setBits(b, 0, 0);
        offsets.setBits(b, 1, left.get(b).size());
        for (int n = 0; n < spec.tokens(); n++) {
          long row = b * spec.tokens();
          inverse.setBits(b, n, left.get(b).indexOf(n));
          if (n < left.get(b).size()) {
            perm.setBits(b, n, left.get(b).get(n));
            out.copy(x, row + left.get(b).get(n), row + n);
          } else {
            perm.setBits(b, n, -1);
            out.zeros(row + n);
          }
        }
      }
      return List.of(perm.output(), offsets.output(), inverse.output(), out.output());
    }

    /** 64 partial sums, halved, in pieces of 4096. */
    private float dot(RandomRows a, int aRow, RandomRows b, int bRow) {
      float total = 0;
      for (int start = 0; start < spec.dim(); start += 4096) {
        float[] partial = new float[64];
        for (int k = start; k < Math.min(spec.dim(), start + 4096); k++) {
          partial[k % 64] =
              Math.fma(
                  ReferenceRows.value(a, aRow, k),
                  ReferenceRows.value(b, bRow, k),
                  partial[k % 64]);
        }
        for (int half = 32; half > 0; half /= 2) {
          for (int p = 0; p < half; p++) {
            partial[p] += partial[p + half];
          }
        }
        total += partial[0];
      }
      return total;
    }

    @Override
    public PreparedCase prepare(Device device, Stream stream, OperandMemory memory) {
      return new Prepared(this, device, stream, memory);
    }
  }

  private static final class Prepared extends PreparedCase {
    private final Runnable run;

    Prepared(Case of, Device device, Stream stream, OperandMemory memory) {
      super(stream, memory, of.strided);
      Shape tokens = Shape.of(of.batch, of.spec.tokens());
      Buffer x = matrix("x", of.x());
      int[] weights = new int[(int) of.spec.dim()];
      for (int k = 0; k < weights.length; k++) {
        weights[k] = of.weight().bits(0, k);
      }
      Buffer weight = weights(weights);
      Buffer group = of.grouped ? indices("group", DType.I32, tokens, of.group()) : null;
      Buffer gate = of.gated ? denseOutput("gate", DType.F32, tokens) : null;
      Buffer key = denseOutput("key", DType.I32, tokens);
      if (of.moved) {
        TokenDelete.Call call =
            TokenDelete.plan(device, of.spec)
                .call(
                    new TokenDelete.Operands(
                        x,
                        weight,
                        group,
                        gate,
                        key,
                        denseOutput("perm", DType.I32, tokens),
                        denseOutput("offsets", DType.I32, Shape.of(of.batch, 2)),
                        denseOutput("inverse", DType.I32, tokens),
                        output(
                            of.spec.dtype(),
                            Shape.of(of.batch * of.spec.tokens(), of.spec.dim()))));
        run = () -> call.run(stream);
      } else {
        DeleteGate plan = DeleteGate.plan(device, of.spec);
        DeleteGate.Operands operands = new DeleteGate.Operands(x, weight, group, gate, key);
        run = () -> plan.run(stream, operands);
      }
    }

    @Override
    public void run() {
      run.run();
    }
  }

  /** A call that is right. */
  static List<MisuseCall> misuses() {
    return List.of(
        new MisuseCall(
            "delete gate",
            "DeleteGate",
            MisuseCall.operands(
                "x",
                Operand.in(DType.F16, 12, 4),
                "weight",
                Operand.in(DType.F32, 4),
                "group",
                Operand.in(DType.I32, 2, 6).with(Missing.ALLOWED),
                "gate",
                Operand.out(DType.F32, 2, 6).with(Missing.ALLOWED),
                "key",
                Operand.out(DType.I32, 2, 6)),
            device -> {
              var plan = DeleteGate.plan(device, DeleteGate.Spec.of(DType.F16, 6, 4, 0, -30));
              return (stream, of) ->
                  plan.run(
                      stream,
                      new DeleteGate.Operands(
                          of.get("x"),
                          of.get("weight"),
                          of.get("group"),
                          of.get("gate"),
                          of.get("key")));
            }));
  }

  /** With a norm and without, short rows and long, NaNs and zeros; alone and with what follows. */
  public static List<Case> small() {
    List<Case> cases = new ArrayList<>();
    for (DType dtype : EmbeddingGatherCases.FLOATS) {
      for (int dim : new int[] {1, 3, 16, 63, 64, 200, 1472, 5000}) {
        for (ValueSet values : ValueSet.values()) {
          int n = cases.size();
          int tokens = dim > 1000 ? 5 : 9 + n % 30;
          add(cases, DeleteGate.Spec.of(dtype, tokens, dim, 0.25f, -30), 2, values);
          add(
              cases,
              new DeleteGate.Spec(dtype, tokens, dim, false, 0, -0.5f, -10, -1.5f),
              n % 4,
              values);
        }
      }
      add(cases, new DeleteGate.Spec(dtype, 30, 8, true, 0, 0, -30, -15), 3, ValueSet.FEW);
      add(cases, DeleteGate.Spec.of(dtype, 0, 8, 0, -30), 3, ValueSet.FEW);
    }
    return cases;
  }

  /** A random call. */
  static Case random(SplittableRandom random) {
    int dim = 1 + random.nextInt(random.nextInt(20) == 0 ? 5000 : 200);
    float scale = -1 - 30 * random.nextFloat();
    return new Case(
        "random",
        new DeleteGate.Spec(
            EmbeddingGatherCases.FLOATS.get(random.nextInt(3)),
            random.nextInt(dim > 200 ? 5 : 40),
            dim,
            random.nextBoolean(),
            random.nextBoolean() ? 0 : random.nextFloat(),
            random.nextFloat() - 0.5f,
            scale,
            scale * random.nextFloat()),
        random.nextInt(4),
        random.nextBoolean(),
        random.nextBoolean(),
        random.nextBoolean(),
        random.nextBoolean(),
        ValueSet.values()[random.nextInt(ValueSet.values().length)],
        random.nextLong());
  }

  private static void add(List<Case> cases, DeleteGate.Spec spec, int batch, ValueSet values) {
    int n = cases.size();
    cases.add(
        new Case(
            "small-" + n, spec, batch, n % 3 == 0, n % 4 != 1, n % 5 < 2, n % 2 == 1, values, n));
  }
}
