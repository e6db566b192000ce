package io.quern.op;

import io.quern.Buffer;
import io.quern.DType;
import io.quern.Device;
import io.quern.Shape;
import io.quern.Stream;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.function.IntUnaryOperator;

/** The calls of {@link RejectionVerify} that are tested and timed. */
public final class RejectionVerifyCases {
  private static final List<DType> FLOATS = List.of(DType.F32, DType.F16, DType.BF16);

  /** Where strided inputs begin, and how many elements are between their rows. */
  private static final int FIRST = 3;

  private static final int GAP = 5;

  private RejectionVerifyCases() {}

  /**
   * A call.
   *
   * @param trees nodes of each request
   * @param chains whether there are no links
   * @param options what else is asked for
   */
  public record Case(
      String id,
      RejectionVerify.Spec spec,
      List<Integer> trees,
      boolean chains,
      List<Option> options,
      long seed)
      implements OperatorCase {
    boolean has(Option option) {
      return options.contains(option);
    }

    /** The inputs, the same for every call. */
    public Inputs inputs() {
      return new Inputs(this);
    }

    @Override
    public Outcome expected() {
      return RejectionReference.of(this);
    }

    @Override
    public PreparedCase prepare(Device device, Stream stream, OperandMemory memory) {
      return new Prepared(this, device, stream, memory);
    }

    @Override
    public String toString() {
      return "rejection %s %s trees %s %s %s seed %d"
          .formatted(id, spec, trees, chains ? "chains" : "links", options, seed);
    }
  }

  /** What a call has besides its spec. */
  public enum Option {
    /** Target, draft, nearest, accepted and distribution are views with gaps. */
    STRIDED,
    /** A temperature for each request, some of them not positive. */
    TEMPERATURES,
    /** The optional outputs are asked for. */
    ALL_OUTPUTS,
    /** Bad offsets, links (circles too), tokens, neighbours, coins, row entries here and there. */
    HOSTILE
  }

  /** What a case reads. Rows are decoded, as the operator sees them. */
  public static final class Inputs {
    final int[] offsets;
    final int[] tokens;
    final int[] firstChild;
    final int[] nextSibling;
    final float[][] target;
    final float[][] draft;
    final float[] temperatures;
    final float[] uniforms;
    final float[] finalUniforms;
    final int[][] nearest;

    Inputs(Case of) {
      RejectionVerify.Spec spec = of.spec;
      SplittableRandom random = new SplittableRandom(of.seed);
      int batch = of.trees.size();
      int vocab = (int) spec.vocab();
      int nodes = of.trees.stream().mapToInt(n -> n).sum();
      boolean hostile = of.has(Option.HOSTILE);
      offsets = new int[batch + 1];
      tokens = new int[nodes];
      firstChild = new int[nodes];
      nextSibling = new int[nodes];
      for (int b = 0; b < batch; b++) {
        offsets[b + 1] = offsets[b] + of.trees.get(b);
        links(of, offsets[b], of.trees.get(b), random);
      }
      target = rows(nodes, vocab, spec.target(), spec.targetDtype(), null, hostile, random);
      draft =
          spec.draft() == null
              ? null
              : rows(nodes, vocab, spec.draft(), spec.draftDtype(), target, hostile, random);
      for (int i = 0; i < nodes; i++) {
        tokens[i] = random.nextInt(vocab);
      }
      for (int b = 0; b < batch; b++) {
        likelyTokens(of, offsets[b], of.trees.get(b), random);
      }
      temperatures = of.has(Option.TEMPERATURES) ? new float[batch] : null;
      for (int b = 0; temperatures != null && b < batch; b++) {
        temperatures[b] = new float[] {0.7f, 1, 1.9f, 0, 0.3f, -1, Float.NaN}[random.nextInt(7)];
      }
      boolean chance = spec.rule() != RejectionRule.RELAXED_GREEDY;
      uniforms = chance ? coins(nodes, random) : null;
      finalUniforms = chance ? coins(batch, random) : null;
      nearest = spec.relaxation() == null ? null : nearest(spec, of.seed % 2 == 0, random);
      if (hostile) {
        spoil(of, random);
      }
    }

    private void links(Case of, int start, int n, SplittableRandom random) {
      Arrays.fill(firstChild, start, start + n, -1);
      Arrays.fill(nextSibling, start, start + n, -1);
      int wide = 1 + random.nextInt(4);
      List<List<Integer>> children = new ArrayList<>();
      for (int i = 0; i < n; i++) {
        children.add(new ArrayList<>());
        if (i > 0) {
          int parent = of.chains ? i - 1 : random.nextInt(Math.max(0, i - wide), i);
          List<Integer> siblings = children.get(parent);
          siblings.add(random.nextInt(siblings.size() + 1), i);
        }
      }
      for (int i = 0; i < n; i++) {
        List<Integer> siblings = children.get(i);
        for (int c = 0; c < siblings.size(); c++) {
          if (c == 0) {
            firstChild[start + i] = siblings.get(0);
          } else {
            nextSibling[start + siblings.get(c - 1)] = siblings.get(c);
          }
        }
      }
    }

    /** Makes most tokens ones that their parent's rows think likely, so that paths get long. */
    private void likelyTokens(Case of, int start, int n, SplittableRandom random) {
      for (int i = 0; i < n; i++) {
        float[] row = draft != null && random.nextBoolean() ? draft[start + i] : target[start + i];
        int steps = 0;
        for (int child = firstChild[start + i]; child >= 0; child = nextSibling[start + child]) {
          int best = random.nextInt(row.length);
          for (int trial = 0; trial < 3 * (1 + steps % 3); trial++) {
            int other = random.nextInt(row.length);
            best = row[other] > row[best] ? other : best;
          }
          tokens[start + child] = steps == 0 && random.nextBoolean() ? argmax(row) : best;
          steps++;
        }
      }
    }

    private static int argmax(float[] row) {
      int best = 0;
      for (int v = 1; v < row.length; v++) {
        best = row[v] > row[best] ? v : best;
      }
      return best;
    }

    private static float[][] rows(
        int nodes,
        int vocab,
        Distribution form,
        DType dtype,
        float[][] near,
        boolean hostile,
        SplittableRandom random) {
      float[][] rows = new float[nodes][vocab];
      for (int i = 0; i < nodes; i++) {
        double sum = 0;
        double[] weights = new double[vocab];
        for (int v = 0; v < vocab; v++) {
          double logit = 2 * random.nextGaussian();
          if (form == Distribution.LOGITS) {
            rows[i][v] = (float) logit;
          } else {
            weights[v] = random.nextInt(9) == 0 ? 0 : Math.exp(logit);
            sum += weights[v];
          }
        }
        for (int v = 0; v < vocab && form == Distribution.PROBABILITIES; v++) {
          rows[i][v] = sum == 0 ? 1f / vocab : (float) (weights[v] / sum);
          if (near != null && i % 3 == 0 && near[i][v] >= 0 && near[i][v] <= 1) {
            rows[i][v] = (rows[i][v] + near[i][v]) / 2;
          }
        }
        for (int v = 0; v < vocab; v++) {
          if (hostile && random.nextInt(12) == 0) {
            rows[i][v] =
                new float[] {Float.NaN, -1, Float.NEGATIVE_INFINITY, -0f, 0, 1e-42f}
                    [random.nextInt(6)];
          }
          rows[i][v] = decode(dtype, encode(dtype, rows[i][v]));
        }
        if (hostile && random.nextInt(8) == 0) {
          Arrays.fill(rows[i], random.nextBoolean() ? Float.NaN : Float.NEGATIVE_INFINITY);
        }
      }
      return rows;
    }

    private static float[] coins(int n, SplittableRandom random) {
      float[] coins = new float[n];
      for (int i = 0; i < n; i++) {
        coins[i] = random.nextInt(1 << 24) * 0x1p-24f;
      }
      return coins;
    }

    private static int[][] nearest(
        RejectionVerify.Spec spec, boolean exact, SplittableRandom random) {
      int vocab = (int) spec.vocab();
      int columns = spec.relaxation().neighbours() + (exact ? 0 : 2);
      int[][] nearest = new int[vocab][columns];
      for (int[] row : nearest) {
        for (int j = 0; j < columns; j++) {
          row[j] = random.nextInt(vocab);
        }
      }
      return nearest;
    }

    private void spoil(Case of, SplittableRandom random) {
      int vocab = (int) of.spec.vocab();
      for (int b = 0; b < of.trees.size(); b++) {
        for (int i = offsets[b]; i < offsets[b + 1]; i++) {
          if (nextSibling[i] == -1 && random.nextInt(8) == 0) {
            nextSibling[i] = i - offsets[b];
          }
        }
      }
      for (int i = 0; i < tokens.length; i++) {
        if (random.nextInt(6) == 0) {
          tokens[i] =
              new int[] {-1, vocab, Integer.MIN_VALUE, Integer.MAX_VALUE}[random.nextInt(4)];
        } else if (i > 0 && random.nextInt(5) == 0) {
          tokens[i] = tokens[i - 1];
        }
        if (random.nextInt(25) == 0) {
          firstChild[i] = badLink(i, random);
        }
        if (random.nextInt(25) == 0) {
          nextSibling[i] = badLink(i, random);
        }
        if (uniforms != null && random.nextInt(8) == 0) {
          uniforms[i] = new float[] {0, 1, 2, -1, Float.NaN}[random.nextInt(5)];
        }
      }
      for (int b = 0; b < of.trees.size(); b++) {
        if (finalUniforms != null && random.nextInt(4) == 0) {
          finalUniforms[b] = new float[] {0, 1, 2, -1, Float.NaN}[random.nextInt(5)];
        }
        if (random.nextInt(10) == 0) {
          offsets[b] =
              new int[] {-1, tokens.length + 1, Integer.MAX_VALUE, offsets[b] + 1}
                  [random.nextInt(4)];
        }
      }
      for (int v = 0; nearest != null && v < vocab; v++) {
        if (random.nextInt(4) == 0) {
          nearest[v][random.nextInt(nearest[v].length)] =
              of.spec.relaxation().nearest() == DType.U16 ? 0xffff : random.nextInt();
        }
      }
    }

    private static int badLink(int i, SplittableRandom random) {
      return new int[] {0, i, -2, 1, Integer.MAX_VALUE, 2, 3}[random.nextInt(7)];
    }
  }

  static int encode(DType dtype, float value) {
    return switch (dtype) {
      case F32 -> Float.floatToRawIntBits(value);
      case F16 -> Float.floatToFloat16(value) & 0xffff;
      case BF16 -> Float.floatToRawIntBits(value) >>> 16 | (Float.isNaN(value) ? 0x40 : 0);
      default -> throw new IllegalArgumentException("" + dtype);
    };
  }

  static float decode(DType dtype, int bits) {
    return switch (dtype) {
      case F32 -> Float.intBitsToFloat(bits);
      case F16 -> Float.float16ToFloat((short) bits);
      case BF16 -> Float.intBitsToFloat(bits << 16);
      default -> throw new IllegalArgumentException("" + dtype);
    };
  }

  private static final class Prepared extends PreparedCase {
    private final Case of;
    private final RejectionVerify plan;
    private final RejectionVerify.Operands operands;

    Prepared(Case of, Device device, Stream stream, OperandMemory memory) {
      super(stream, memory, of.has(Option.STRIDED));
      this.of = of;
      Inputs in = of.inputs();
      RejectionVerify.Spec spec = of.spec;
      int batch = of.trees.size();
      Buffer offsets = ints("offsets", in.offsets);
      Buffer tokens = ints("tokens", in.tokens);
      Buffer firstChild = of.chains ? null : ints("firstChild", in.firstChild);
      Buffer nextSibling = of.chains ? null : ints("nextSibling", in.nextSibling);
      Buffer target = floats("target", spec.targetDtype(), in.target);
      Buffer draft = in.draft == null ? null : floats("draft", spec.draftDtype(), in.draft);
      Buffer temperatures = in.temperatures == null ? null : coins("temperatures", in.temperatures);
      Buffer uniforms = in.uniforms == null ? null : coins("uniforms", in.uniforms);
      Buffer finals = in.uniforms == null ? null : coins("finalUniforms", in.finalUniforms);
      Buffer nearest = in.nearest == null ? null : neighbours(in.nearest);
      boolean all = of.has(Option.ALL_OUTPUTS);
      operands =
          new RejectionVerify.Operands(
              offsets,
              tokens,
              firstChild,
              nextSibling,
              target,
              draft,
              temperatures,
              uniforms,
              finals,
              nearest,
              new RejectionVerify.Outputs(
                  output("accepted", DType.I32, spec.acceptedShape(batch)),
                  denseOutput("counts", DType.I32, Shape.of(batch)),
                  denseOutput("next", DType.I32, Shape.of(batch)),
                  denseOutput("status", DType.I32, Shape.of(batch)),
                  all ? output("distribution", DType.F32, spec.rowsShape(batch)) : null,
                  all && spec.rule() == RejectionRule.K_SEQ
                      ? denseOutput("rho", DType.F32, Shape.of(batch))
                      : null));
      plan = RejectionVerify.plan(device, spec);
    }

    private Buffer neighbours(int[][] nearest) {
      int columns = nearest[0].length;
      return buffer(
          "nearest",
          of.spec.relaxation().nearest(),
          Shape.of(nearest.length, columns),
          i -> nearest[i / columns][i % columns]);
    }

    private Buffer ints(String operand, int[] values) {
      return buffer(operand, DType.I32, Shape.of(values.length), i -> values[i]);
    }

    private Buffer coins(String operand, float[] values) {
      return buffer(
          operand, DType.F32, Shape.of(values.length), i -> Float.floatToRawIntBits(values[i]));
    }

    private Buffer floats(String operand, DType dtype, float[][] values) {
      int vocab = (int) of.spec.vocab();
      return buffer(
          operand,
          dtype,
          Shape.of(values.length, vocab),
          i -> RejectionVerifyCases.encode(dtype, values[i / vocab][i % vocab]));
    }

    /** An input of bits by index; a matrix is a view where the case is strided. */
    private Buffer buffer(String operand, DType dtype, Shape shape, IntUnaryOperator bits) {
      boolean strided = of.has(Option.STRIDED) && shape.rank() == 2;
      int columns = (int) shape.last();
      int rows = shape.size() == 0 ? 0 : (int) shape.rows();
      int first = strided ? FIRST : 0;
      int stride = strided ? columns + GAP : columns;
      int size = rows == 0 ? first : first + (rows - 1) * stride + columns;
      MemorySegment bytes = MemorySegment.ofArray(new byte[size * dtype.byteSize()]);
      for (int i = 0; i < shape.size(); i++) {
        long at = first + (long) (i / columns) * stride + i % columns;
        if (dtype.byteSize() == Integer.BYTES) {
          bytes.setAtIndex(ValueLayout.JAVA_INT_UNALIGNED, at, bits.applyAsInt(i));
        } else {
          bytes.setAtIndex(ValueLayout.JAVA_SHORT_UNALIGNED, at, (short) bits.applyAsInt(i));
        }
      }
      byte[] array = bytes.toArray(ValueLayout.JAVA_BYTE);
      return strided
          ? input(operand, dtype, Shape.of(size), array).view(FIRST, shape, stride)
          : input(operand, dtype, shape, array);
    }

    @Override
    public void run() {
      plan.run(stream(), operands);
    }
  }

  static List<MisuseCall> misuses() {
    return List.of(
        misuse("rejection of draws", RejectionRule.K_SEQ),
        misuse("rejection of a chain", RejectionRule.BLOCK),
        misuse("relaxed rejection", RejectionRule.RELAXED));
  }

  private static MisuseCall misuse(String name, RejectionRule rule) {
    int batch = 3;
    int nodes = 6;
    int vocab = 9;
    int width = 4;
    boolean relaxed = rule.isRelaxed();
    MisuseCall.Operand perNode = MisuseCall.Operand.in(DType.I32, nodes);
    MisuseCall.Operand perRequest = MisuseCall.Operand.out(DType.I32, batch);
    Map<String, MisuseCall.Operand> operands =
        MisuseCall.operands(
            "offsets",
            MisuseCall.Operand.in(DType.I32, batch + 1),
            "tokens",
            perNode,
            "target",
            MisuseCall.Operand.in(DType.BF16, nodes, vocab),
            "temperatures",
            MisuseCall.Operand.in(DType.F32, batch).with(MisuseCall.Missing.ALLOWED),
            "uniforms",
            MisuseCall.Operand.in(DType.F32, nodes).with(MisuseCall.Missing.NEEDED),
            "finalUniforms",
            MisuseCall.Operand.in(DType.F32, batch).with(MisuseCall.Missing.NEEDED),
            "accepted",
            MisuseCall.Operand.out(DType.I32, batch, width),
            "counts",
            perRequest,
            "next",
            perRequest,
            "status",
            perRequest,
            "distribution",
            MisuseCall.Operand.out(DType.F32, batch, vocab).with(MisuseCall.Missing.ALLOWED));
    if (rule != RejectionRule.BLOCK) {
      operands.put("firstChild", perNode.with(MisuseCall.Missing.NEEDED));
      operands.put("nextSibling", perNode.with(MisuseCall.Missing.NEEDED));
    }
    if (relaxed) {
      operands.put(
          "nearest",
          MisuseCall.Operand.in(DType.U16, vocab, 3)
              .with(MisuseCall.Missing.NEEDED)
              .ofAnyExtents());
    } else {
      operands.put(
          "draft", MisuseCall.Operand.in(DType.F16, nodes, vocab).with(MisuseCall.Missing.NEEDED));
    }
    if (rule == RejectionRule.K_SEQ) {
      operands.put(
          "rho", MisuseCall.Operand.out(DType.F32, batch).with(MisuseCall.Missing.ALLOWED));
    }
    var spec =
        new RejectionVerify.Spec(
            rule,
            CoinOrder.TEST,
            Distribution.LOGITS,
            DType.BF16,
            relaxed ? null : Distribution.PROBABILITIES,
            relaxed ? null : DType.F16,
            vocab,
            width,
            relaxed ? new RejectionVerify.Relaxation(0.2f, 3, DType.U16) : null);
    return new MisuseCall(
        name,
        "RejectionVerify",
        operands,
        device -> {
          RejectionVerify plan = RejectionVerify.plan(device, spec);
          return (stream, of) ->
              plan.run(
                  stream,
                  new RejectionVerify.Operands(
                      of.get("offsets"),
                      of.get("tokens"),
                      of.get("firstChild"),
                      of.get("nextSibling"),
                      of.get("target"),
                      of.get("draft"),
                      of.get("temperatures"),
                      of.get("uniforms"),
                      of.get("finalUniforms"),
                      of.get("nearest"),
                      new RejectionVerify.Outputs(
                          of.get("accepted"),
                          of.get("counts"),
                          of.get("next"),
                          of.get("status"),
                          of.get("distribution"),
                          of.get("rho"))));
        });
  }

  /** A call of any rule, shape and dtypes. */
  static Case random(SplittableRandom random) {
    RejectionRule rule = RejectionRule.values()[random.nextInt(RejectionRule.values().length)];
    List<Option> options = new ArrayList<>(List.of(Option.values()));
    options.removeIf(option -> random.nextBoolean());
    Table table = new Table();
    table.number = random.nextInt(1 << 20);
    int vocab = 1 + random.nextInt(random.nextInt(6) == 0 ? 9000 : 200);
    List<Integer> trees = random.ints(random.nextInt(7), 0, 30).boxed().toList();
    table.add(rule, vocab, 1 + random.nextInt(10), trees, options);
    return table.list.getFirst();
  }

  /** Tiny to middling calls that together meet every branch of a kernel. */
  public static List<Case> small() {
    Table cases = new Table();
    List<Integer> few = List.of(7, 1, 0, 12, 3, 20);
    for (RejectionRule rule : RejectionRule.values()) {
      for (int vocab : new int[] {1, 2, 3, 17, 64, 131, 1000}) {
        for (int width : new int[] {1, 3, 9}) {
          cases.add(rule, vocab, width, few, List.of(Option.ALL_OUTPUTS));
        }
        cases.add(rule, vocab, 8, few, List.of(Option.HOSTILE, Option.ALL_OUTPUTS));
        cases.add(
            rule, vocab, 5, few, List.of(Option.STRIDED, Option.ALL_OUTPUTS, Option.TEMPERATURES));
        cases.add(
            rule, vocab, 6, few, List.of(Option.STRIDED, Option.HOSTILE, Option.TEMPERATURES));
      }
      // Several pieces of a row, and lengths around their border.
      for (int vocab : new int[] {4095, 4096, 4097, 9001}) {
        cases.add(rule, vocab, 4, List.of(5, 9), List.of(Option.ALL_OUTPUTS));
        cases.add(rule, vocab, 4, List.of(5, 9), List.of(Option.STRIDED, Option.TEMPERATURES));
      }
      cases.add(rule, 8, 4, List.of(), List.of(Option.ALL_OUTPUTS));
      cases.add(rule, 8, 4, List.of(0, 0), List.of(Option.ALL_OUTPUTS));
      cases.add(
          rule,
          40,
          6,
          new SplittableRandom(rule.ordinal()).ints(256, 0, 9).boxed().toList(),
          List.of(Option.TEMPERATURES));
    }
    return cases.list;
  }

  /** Cases, each of which varies dtypes, forms, coins and links by its number. */
  private static final class Table {
    final List<Case> list = new ArrayList<>();
    int number;

    void add(RejectionRule rule, int vocab, int width, List<Integer> trees, List<Option> options) {
      int n = number++;
      boolean draft = rule.needsDraft() || (rule == RejectionRule.RELAXED && n % 3 == 1);
      boolean relaxed = rule.isRelaxed();
      var spec =
          new RejectionVerify.Spec(
              rule,
              CoinOrder.values()[n % 2],
              Distribution.values()[n / 2 % 2],
              FLOATS.get(n % 3),
              draft ? Distribution.values()[n / 4 % 2] : null,
              draft ? FLOATS.get(n / 3 % 3) : null,
              vocab,
              width,
              relaxed
                  ? new RejectionVerify.Relaxation(
                      new float[] {0.1f, 0.4f, 1.5f, 0, 3}[n % 5],
                      1 + n % 40,
                      n % 2 == 0 ? DType.U16 : DType.I32)
                  : null);
      List<Option> fitting = new ArrayList<>(options);
      if (rule == RejectionRule.RELAXED_GREEDY) {
        fitting.remove(Option.TEMPERATURES);
      }
      boolean chains = rule == RejectionRule.BLOCK || n % 4 == 3;
      list.add(new Case("" + n, spec, List.copyOf(trees), chains, List.copyOf(fitting), 77 + n));
    }
  }
}
