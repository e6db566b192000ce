package io.quern.op;

import static io.quern.op.EmbeddingGatherCases.FLOATS;

import io.quern.Buffer;
import io.quern.DType;
import io.quern.Device;
import io.quern.Shape;
import io.quern.Stream;
import io.quern.op.MisuseCall.Missing;
import io.quern.op.MisuseCall.Operand;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.EnumSet;
import java.util.List;
import java.util.Locale;
import java.util.Random;
import java.util.Set;
import java.util.SplittableRandom;
import java.util.stream.IntStream;

/** The calls of {@link TreeVerify} that are tested and timed. */
public final class TreeVerifyCases {
  /** Coins are drawn again until the answer stays the same this far to either side. */
  private static final float COIN_MARGIN = 2e-5f;

  private static final int COIN_TRIES = 200;

  private TreeVerifyCases() {}

  /** How a tree grows: which earlier node a node hangs on. */
  public enum Growth {
    /** Any. */
    RANDOM,
    /** The last one. */
    CHAIN,
    /** The root. */
    STAR,
    /** One of the last three. */
    DEEP
  }

  /** What sets a case apart. */
  public enum Trait {
    /** Target and accepted are views that begin off alignment and have gaps between rows. */
    STRIDED,
    /** No temperatures are given. */
    UNTEMPERED,
    /** No temperature is positive. */
    FROZEN,
    /** Siblings share tokens. */
    DUPLICATES,
    /** Rows have few different values. */
    TIES,
    /** Among the elements of the target are NaNs and infinities, and whole rows of them. */
    SPECIAL,
    /** Among the tokens are numbers outside the vocabulary. */
    BAD_TOKENS,
    /** Links and paths lead outside the tree or back into it here and there. */
    BAD_LINKS,
    /** Offsets descend and leave the nodes here and there. */
    BAD_OFFSETS
  }

  /**
   * A call.
   *
   * @param sizes nodes of each tree
   * @param depth at how many nodes of ten a child's token stands out in the target's row
   */
  public record Case(
      String id,
      TreeVerify.Spec spec,
      List<Integer> sizes,
      Growth growth,
      int depth,
      Set<Trait> traits,
      long seed)
      implements OperatorCase {
    public Case {
      sizes = List.copyOf(sizes);
      traits = Set.copyOf(traits);
    }

    /** The inputs, the same for every call. */
    public Inputs inputs() {
      return new Maker(this).make();
    }

    /** The same trees and target for another operator and with other traits. */
    Case with(TreeVerify.Spec spec, Set<Trait> traits) {
      return new Case(id, spec, sizes, growth, depth, traits, seed);
    }

    /** The nodes that are accepted, roots included: the rows of the target that have to be read. */
    public long acceptedNodes() {
      Inputs inputs = inputs();
      return IntStream.range(0, batch())
          .mapToLong(b -> TreeVerifyReference.verify(this, inputs, b, 0).accepted().size())
          .sum();
    }

    int batch() {
      return sizes.size();
    }

    int nodes() {
      return sizes.stream().mapToInt(n -> n).sum();
    }

    @Override
    public Outcome expected() {
      return TreeVerifyReference.of(this);
    }

    @Override
    public PreparedCase prepare(Device device, Stream stream, OperandMemory memory) {
      return new Prepared(this, device, stream, memory);
    }

    @Override
    public String toString() {
      return "verify %s %s trees %s %s depth %d %s seed %d"
          .formatted(
              id,
              spec,
              batch() <= 12 ? sizes.toString() : batch() + " of " + nodes() + " nodes",
              growth,
              depth,
              traits,
              seed);
    }
  }

  /**
   * What a case reads. Links, paths and offsets are as given to the operator, good or bad.
   *
   * @param paths [batch][pathCount][pathWidth], flat
   * @param target bits of each element
   */
  public record Inputs(
      long[] offsets,
      long[] tokens,
      long[] firstChild,
      long[] nextSibling,
      long[] paths,
      int pathCount,
      int pathWidth,
      int[] target,
      float[] temperatures,
      float[] uniforms,
      float[] finalUniforms) {}

  /** Makes a case's inputs. */
  private static final class Maker {
    private final Case of;
    private final TreeVerify.Spec spec;
    private final SplittableRandom random;
    private final int n;
    private final long[] offsets;
    private final long[] tokens;
    private final long[] firstChild;
    private final long[] nextSibling;
    private final List<List<List<Integer>>> children = new ArrayList<>();
    private long[] paths = {};
    private int pathCount;
    private int pathWidth;

    Maker(Case of) {
      this.of = of;
      this.spec = of.spec;
      this.random = new SplittableRandom(of.seed);
      this.n = of.nodes();
      this.offsets = new long[of.batch() + 1];
      this.tokens = new long[n];
      this.firstChild = new long[n];
      this.nextSibling = new long[n];
    }

    Inputs make() {
      for (int b = 0; b < of.batch(); b++) {
        offsets[b + 1] = offsets[b] + of.sizes.get(b);
        children.add(tree(of.sizes.get(b)));
        link(b);
      }
      makePaths();
      makeTokens();
      int[] target = spec.target() == VerifyTarget.IDS ? ids() : rows();
      float[] temperatures = temperatures();
      if (of.traits.contains(Trait.BAD_TOKENS)) {
        BadIndices.among(tokens, vocab(), DType.I32, random);
      }
      if (of.traits.contains(Trait.BAD_LINKS)) {
        spoil(firstChild);
        spoil(nextSibling);
        spoil(paths);
      }
      if (of.traits.contains(Trait.BAD_OFFSETS)) {
        BadIndices.among(offsets, n + 1L, DType.I32, random);
      }
      Inputs inputs =
          new Inputs(
              offsets,
              tokens,
              firstChild,
              nextSibling,
              paths,
              pathCount,
              pathWidth,
              target,
              temperatures,
              spec.thresholds() == null ? null : new float[n],
              spec.thresholds() == null ? null : new float[of.batch()]);
      if (spec.thresholds() != null) {
        tossCoins(inputs);
      }
      return inputs;
    }

    private List<List<Integer>> tree(int size) {
      List<List<Integer>> children = new ArrayList<>();
      for (int i = 0; i < size; i++) {
        children.add(new ArrayList<>());
        if (i > 0) {
          int parent =
              switch (of.growth) {
                case RANDOM -> random.nextInt(i);
                case CHAIN -> i - 1;
                case STAR -> 0;
                case DEEP -> Math.max(0, i - 1 - random.nextInt(3));
              };
          List<Integer> siblings = children.get(parent);
          siblings.add(random.nextInt(siblings.size() + 1), i); // in any order
        }
      }
      return children;
    }

    private void link(int b) {
      int first = (int) offsets[b];
      for (int i = 0; i < of.sizes.get(b); i++) {
        firstChild[first + i] = -1;
        nextSibling[first + i] = -1;
      }
      for (int i = 0; i < of.sizes.get(b); i++) {
        List<Integer> siblings = children.get(b).get(i);
        for (int k = 0; k < siblings.size(); k++) {
          if (k == 0) {
            firstChild[first + i] = siblings.get(0);
          } else {
            nextSibling[first + siblings.get(k - 1)] = siblings.get(k);
          }
        }
      }
    }

    private void makePaths() {
      if (!spec.byPaths()) {
        return;
      }
      List<List<List<Integer>>> all = new ArrayList<>();
      for (int b = 0; b < of.batch(); b++) {
        List<List<Integer>> leaves = new ArrayList<>();
        if (of.sizes.get(b) > 0) {
          descend(children.get(b), new ArrayList<>(List.of(0)), leaves);
        }
        if (random.nextBoolean()) {
          leaves.add(List.of());
        }
        Collections.shuffle(leaves, new Random(random.nextLong()));
        all.add(leaves);
        pathCount = Math.max(pathCount, leaves.size());
        pathWidth = Math.max(pathWidth, leaves.stream().mapToInt(List::size).max().orElse(0));
      }
      paths = new long[of.batch() * pathCount * pathWidth];
      Arrays.fill(paths, -1);
      for (int b = 0; b < of.batch(); b++) {
        for (int r = 0; r < all.get(b).size(); r++) {
          List<Integer> path = all.get(b).get(r);
          for (int c = 0; c < path.size(); c++) {
            paths[(b * pathCount + r) * pathWidth + c] = path.get(c);
          }
        }
      }
    }

    private static void descend(
        List<List<Integer>> children, List<Integer> path, List<List<Integer>> leaves) {
      List<Integer> below = children.get(path.getLast());
      if (below.isEmpty()) {
        leaves.add(List.copyOf(path));
      }
      for (int child : below) {
        path.add(child);
        descend(children, path, leaves);
        path.removeLast();
      }
    }

    private int vocab() {
      return spec.target() == VerifyTarget.IDS ? 50 : (int) spec.vocab();
    }

    private void makeTokens() {
      for (int i = 0; i < n; i++) {
        tokens[i] =
            random.nextInt(of.traits.contains(Trait.DUPLICATES) ? 1 + vocab() / 8 : vocab());
      }
    }

    /** A child of a node, or −1 where no child's token is to stand out. */
    private int favourite(int b, int node) {
      List<Integer> below = children.get(b).get(node);
      return below.isEmpty() || random.nextInt(10) >= of.depth
          ? -1
          : below.get(random.nextInt(below.size()));
    }

    private int[] ids() {
      int[] ids = new int[n];
      for (int b = 0; b < of.batch(); b++) {
        for (int i = 0; i < of.sizes.get(b); i++) {
          int child = favourite(b, i);
          ids[(int) offsets[b] + i] =
              child >= 0 ? (int) tokens[(int) offsets[b] + child] : random.nextInt(vocab() + 1) - 1;
        }
      }
      return ids;
    }

    private int[] rows() {
      int vocab = vocab();
      int[] target = new int[n * vocab];
      float[] row = new float[vocab];
      boolean flat =
          spec.rule() == VerifyRule.TARGET_ONLY
              || spec.rule() == VerifyRule.TYPICAL
              || of.traits.contains(Trait.FROZEN);
      for (int b = 0; b < of.batch(); b++) {
        for (int i = 0; i < of.sizes.get(b); i++) {
          boolean ties = of.traits.contains(Trait.TIES);
          for (int k = 0; k < vocab; k++) {
            row[k] = ties ? random.nextInt(3) : (float) random.nextGaussian();
          }
          int child = favourite(b, i);
          if (child >= 0) {
            int height = 2 + random.nextInt(8);
            row[(int) tokens[(int) offsets[b] + child]] = flat ? height : 20;
          }
          if (of.traits.contains(Trait.SPECIAL)) {
            special(row);
          }
          if (spec.target() == VerifyTarget.PROBABILITIES) {
            normalise(row);
          }
          int first = ((int) offsets[b] + i) * vocab;
          for (int k = 0; k < vocab; k++) {
            target[first + k] = encode(spec.dtype(), row[k]);
          }
        }
      }
      return target;
    }

    private void special(float[] row) {
      float[] values = {Float.NaN, Float.NEGATIVE_INFINITY, Float.POSITIVE_INFINITY, -0f};
      switch (random.nextInt(6)) {
        case 0 -> Arrays.fill(row, Float.NaN);
        case 1 -> Arrays.fill(row, Float.NEGATIVE_INFINITY);
        case 2 -> {
          Arrays.fill(row, Float.NaN);
          row[random.nextInt(row.length)] = Float.NEGATIVE_INFINITY;
        }
        default -> {
          for (int i = 0; i < 1 + row.length / 4; i++) {
            row[random.nextInt(row.length)] =
                values[random.nextInt(random.nextInt(5) == 0 ? 4 : 2)];
          }
        }
      }
    }

    /** Softmax; what is special stays so, and −∞ becomes negative. */
    private static void normalise(float[] row) {
      double sum = 0;
      for (float x : row) {
        sum += Float.isFinite(x) ? Math.exp(x) : 0;
      }
      for (int k = 0; k < row.length; k++) {
        row[k] =
            Float.isFinite(row[k])
                ? (float) (Math.exp(row[k]) / sum)
                : row[k] == Float.POSITIVE_INFINITY ? 0 : row[k];
      }
    }

    private float[] temperatures() {
      boolean given =
          spec.rule() == VerifyRule.TYPICAL
              || (spec.rule() == VerifyRule.TARGET_ONLY && spec.target() == VerifyTarget.LOGITS);
      if (!given || of.traits.contains(Trait.UNTEMPERED)) {
        return null;
      }
      float[] some = {
        0, -1, Float.NaN, 1, 0.7f, 1.3f, 0.25f, 1e-3f, 1e-40f, Float.POSITIVE_INFINITY
      };
      int range = of.traits.contains(Trait.FROZEN) ? 3 : some.length;
      SplittableRandom own = new SplittableRandom(~of.seed); // tokens do not depend on them
      float[] temperatures = new float[of.batch()];
      for (int b = 0; b < temperatures.length; b++) {
        temperatures[b] = some[own.nextInt(range)];
      }
      return temperatures;
    }

    private void spoil(long[] links) {
      for (int i = 0; i < links.length; i++) {
        if (random.nextInt(10) == 0) {
          links[i] =
              switch (random.nextInt(6)) {
                case 0 -> Integer.MAX_VALUE;
                case 1 -> -2;
                case 2 -> 0;
                case 3 -> Integer.MIN_VALUE;
                default -> 1 + random.nextInt(8); // an uncle, a cycle, or outside
              };
        }
      }
    }

    /** Coins that rounding does not decide. */
    private void tossCoins(Inputs inputs) {
      for (int b = 0; b < of.batch(); b++) {
        for (int tries = 0; ; tries++) {
          long from = Math.clamp(offsets[b], 0, n);
          long to = Math.clamp(offsets[b + 1], from, n);
          for (long i = from; i < to; i++) {
            inputs.uniforms[(int) i] = (float) random.nextDouble(0.0001, 0.9999);
          }
          inputs.finalUniforms[b] = (float) random.nextDouble(0.0001, 0.9999);
          var answer = TreeVerifyReference.verify(of, inputs, b, 0);
          if (answer.equals(TreeVerifyReference.verify(of, inputs, b, COIN_MARGIN))
              && answer.equals(TreeVerifyReference.verify(of, inputs, b, -COIN_MARGIN))) {
            break;
          }
          if (tries == COIN_TRIES) {
            throw new AssertionError("no coins that rounding does not decide in " + of);
          }
        }
      }
    }
  }

  private static int encode(DType dtype, float value) {
    return switch (dtype) {
      case F32 -> Float.floatToRawIntBits(value);
      case F16 -> Float.floatToFloat16(value);
      case BF16 -> Float.floatToRawIntBits(value) >> 16;
      default -> throw new IllegalArgumentException("no target is " + dtype);
    };
  }

  private static final class Prepared extends PreparedCase {
    private final TreeVerify plan;
    private final TreeVerify.Operands operands;

    Prepared(Case of, Device device, Stream stream, OperandMemory memory) {
      super(stream, memory, of.traits.contains(Trait.STRIDED));
      TreeVerify.Spec spec = of.spec;
      Inputs in = of.inputs();
      Shape nodes = Shape.of(of.nodes());
      Shape batch = Shape.of(of.batch());
      boolean links = !spec.byPaths();
      operands =
          new TreeVerify.Operands(
              indices("offsets", DType.I32, Shape.of(of.batch() + 1), in.offsets),
              indices("tokens", DType.I32, nodes, in.tokens),
              links ? indices("firstChild", DType.I32, nodes, in.firstChild) : null,
              links ? indices("nextSibling", DType.I32, nodes, in.nextSibling) : null,
              links
                  ? null
                  : indices(
                      "paths",
                      DType.I32,
                      Shape.of(of.batch(), in.pathCount, in.pathWidth),
                      in.paths),
              target(spec, nodes, in.target),
              floats("temperatures", in.temperatures),
              floats("uniforms", in.uniforms),
              floats("finalUniforms", in.finalUniforms),
              output("accepted", DType.I32, spec.acceptedShape(of.batch())),
              denseOutput("counts", DType.I32, batch),
              denseOutput("next", DType.I32, batch),
              denseOutput("status", DType.I32, batch));
      plan = TreeVerify.plan(device, spec);
    }

    private Buffer target(TreeVerify.Spec spec, Shape nodes, int[] bits) {
      long[] values = IntStream.of(bits).asLongStream().toArray();
      return spec.target() == VerifyTarget.IDS
          ? indices("target", DType.I32, nodes, values)
          : matrix(
              "target",
              spec.dtype(),
              spec.targetShape(nodes.size()),
              packed(spec.dtype() == DType.F32 ? DType.I32 : DType.I16, values));
    }

    private Buffer floats(String operand, float[] values) {
      if (values == null) {
        return null;
      }
      long[] bits = new long[values.length];
      Arrays.setAll(bits, i -> Float.floatToRawIntBits(values[i]));
      return input(operand, DType.F32, Shape.of(bits.length), packed(DType.I32, bits));
    }

    @Override
    public void run() {
      plan.run(stream(), operands);
    }
  }

  private static final List<VerifyRule> GREEDY =
      List.of(VerifyRule.GREEDY_PATH, VerifyRule.GREEDY_LINKED, VerifyRule.GREEDY_DEEPEST);

  /** Around the vector, the partial sums and the piece. */
  private static final int[] VOCABS = {1, 3, 17, 64, 130, 1000, 4096, 4099, 9001};

  /** Tiny to middling calls that together meet every branch of a kernel. */
  public static List<Case> small() {
    Table cases = new Table();
    for (int vocab : VOCABS) {
      List<Integer> few = vocab > 1000 ? List.of(5, 1, 4) : List.of(7, 1, 30, 0, 2, 12);
      for (DType dtype : FLOATS) {
        for (TreeVerify.Spec spec : specs(dtype, vocab, 6)) {
          int n = cases.size();
          cases.add(
              spec, few, Growth.values()[n % 4], 8, n % 2 == 0 ? Set.of(Trait.STRIDED) : Set.of());
        }
      }
    }
    for (Trait trait : Trait.values()) {
      for (int width : new int[] {1, 3, 9}) {
        for (TreeVerify.Spec spec : specs(DType.F32, 40, width)) {
          if (cases.size() % 2 == 0) {
            cases.add(spec, List.of(20, 3, 9, 33, 1, 14), Growth.RANDOM, 9, Set.of(trait));
          } else {
            cases.add(
                spec,
                List.of(10, 10, 25, 8),
                Growth.DEEP,
                9,
                EnumSet.of(trait, Trait.DUPLICATES, Trait.STRIDED));
          }
        }
      }
    }
    for (TreeVerify.Spec spec : specs(DType.BF16, 200, 5)) {
      cases.add(spec, List.of(), Growth.RANDOM, 5, Set.of());
      cases.add(spec, List.of(0, 0), Growth.RANDOM, 5, Set.of());
      cases.add(spec, List.of(1, 1, 1), Growth.RANDOM, 5, Set.of(Trait.UNTEMPERED));
      cases.add(spec, Collections.nCopies(65, 6), Growth.RANDOM, 9, Set.of(Trait.SPECIAL));
    }
    // Trees that fill the caches of kernels, and more rejected tokens than are listed.
    for (TreeVerify.Spec spec : specs(DType.F32, 11, 800)) {
      cases.add(spec, List.of(768), Growth.CHAIN, 10, Set.of(Trait.UNTEMPERED));
    }
    for (TreeVerify.Spec spec : specs(DType.F32, 5000, 4)) {
      cases.add(spec, List.of(1100, 3), Growth.STAR, 0, Set.of(Trait.UNTEMPERED));
    }
    return cases.list;
  }

  /** All rules, on all kinds of target; IDS where the dtype is F32. */
  static List<TreeVerify.Spec> specs(DType dtype, int vocab, int width) {
    List<TreeVerify.Spec> specs = new ArrayList<>();
    for (VerifyRule rule : GREEDY) {
      specs.add(TreeVerify.Spec.greedy(rule, dtype, vocab, width));
      if (dtype == DType.F32) {
        specs.add(TreeVerify.Spec.greedyIds(rule, width));
      }
    }
    specs.add(
        TreeVerify.Spec.typical(
            dtype,
            vocab,
            width,
            width % 2 == 0 ? TreeVerify.Typical.MEDUSA_MODEL : TreeVerify.Typical.MEDUSA_FUNCTION));
    for (VerifyTarget target : List.of(VerifyTarget.LOGITS, VerifyTarget.PROBABILITIES)) {
      specs.add(
          TreeVerify.Spec.targetOnly(target, dtype, vocab, width, TreeVerify.Thresholds.EXACT));
    }
    specs.add(
        TreeVerify.Spec.targetOnly(
            VerifyTarget.PROBABILITIES,
            dtype,
            vocab,
            width,
            new TreeVerify.Thresholds(width % 2 == 0 ? 0.3f : 0, width % 3 == 0 ? 0 : 0.6f)));
    return specs;
  }

  /**
   * What is timed: the argmax of 64 rows (trees of a root alone), one tree of 64 nodes and a batch
   * of 16, at two vocabularies.
   */
  public static List<Case> benchmark() {
    List<Case> cases = new ArrayList<>();
    for (int vocab : new int[] {32_000, 128_256}) {
      for (DType dtype : FLOATS) {
        cases.add(
            timed(
                "argmax",
                TreeVerify.Spec.greedy(VerifyRule.GREEDY_LINKED, dtype, vocab, 1),
                Collections.nCopies(64, 1)));
        for (int batch : new int[] {1, 4}) {
          List<Integer> trees = Collections.nCopies(batch, 64);
          cases.add(
              timed(
                  "greedy",
                  TreeVerify.Spec.greedy(VerifyRule.GREEDY_LINKED, dtype, vocab, 8),
                  trees));
          cases.add(
              timed(
                  "typical",
                  TreeVerify.Spec.typical(dtype, vocab, 8, TreeVerify.Typical.MEDUSA_MODEL),
                  trees));
          cases.add(
              timed(
                  "target-only-logits",
                  TreeVerify.Spec.targetOnly(
                      VerifyTarget.LOGITS, dtype, vocab, 8, TreeVerify.Thresholds.EXACT),
                  trees));
          cases.add(
              timed(
                  "target-only-probabilities",
                  TreeVerify.Spec.targetOnly(
                      VerifyTarget.PROBABILITIES, dtype, vocab, 8, TreeVerify.Thresholds.EXACT),
                  trees));
        }
      }
    }
    return List.copyOf(cases);
  }

  private static Case timed(String what, TreeVerify.Spec spec, List<Integer> trees) {
    return new Case(
        "%s-%s-v%d-b%d"
            .formatted(
                what, spec.dtype().name().toLowerCase(Locale.ROOT), spec.vocab(), trees.size()),
        spec,
        trees,
        Growth.RANDOM,
        9,
        Set.of(Trait.UNTEMPERED),
        spec.vocab() + trees.size());
  }

  /** Calls that are right, to be made wrong. */
  static List<MisuseCall> misuseCalls() {
    Operand offsets = Operand.in(DType.I32, 4);
    Operand perNode = Operand.in(DType.I32, 6);
    Operand coins = Operand.in(DType.F32, 6);
    Operand perRequest = Operand.in(DType.F32, 3);
    Operand accepted = Operand.out(DType.I32, 3, 5);
    Operand answer = Operand.out(DType.I32, 3);
    return List.of(
        new MisuseCall(
            "verify by links",
            "TreeVerify",
            MisuseCall.operands(
                "offsets",
                offsets,
                "tokens",
                perNode,
                "firstChild",
                perNode,
                "nextSibling",
                perNode,
                "target",
                Operand.in(DType.F16, 6, 7),
                "temperatures",
                perRequest.with(Missing.ALLOWED),
                "uniforms",
                coins,
                "finalUniforms",
                perRequest,
                "accepted",
                accepted,
                "counts",
                answer,
                "next",
                answer,
                "status",
                answer),
            device ->
                misuse(
                    device,
                    TreeVerify.Spec.targetOnly(
                        VerifyTarget.LOGITS, DType.F16, 7, 5, TreeVerify.Thresholds.EXACT))),
        new MisuseCall(
            "verify by paths",
            "TreeVerify",
            MisuseCall.operands(
                "offsets",
                offsets,
                "tokens",
                perNode,
                "paths",
                Operand.in(DType.I32, 3, 2, 4).ofAnyExtents(),
                "target",
                Operand.in(DType.F32, 6, 7),
                "accepted",
                accepted,
                "counts",
                answer,
                "next",
                answer,
                "status",
                answer),
            device ->
                misuse(device, TreeVerify.Spec.greedy(VerifyRule.GREEDY_PATH, DType.F32, 7, 5))),
        new MisuseCall(
            "verify ids",
            "TreeVerify",
            MisuseCall.operands(
                "offsets",
                offsets,
                "tokens",
                perNode,
                "firstChild",
                perNode,
                "nextSibling",
                perNode,
                "target",
                perNode,
                "accepted",
                accepted,
                "counts",
                answer,
                "next",
                answer,
                "status",
                answer),
            device -> misuse(device, TreeVerify.Spec.greedyIds(VerifyRule.GREEDY_LINKED, 5))));
  }

  private static MisuseCall.Runner misuse(Device device, TreeVerify.Spec spec) {
    TreeVerify plan = TreeVerify.plan(device, spec);
    return (stream, of) ->
        plan.run(
            stream,
            new TreeVerify.Operands(
                of.get("offsets"),
                of.get("tokens"),
                of.get("firstChild"),
                of.get("nextSibling"),
                of.get("paths"),
                of.get("target"),
                of.get("temperatures"),
                of.get("uniforms"),
                of.get("finalUniforms"),
                of.get("accepted"),
                of.get("counts"),
                of.get("next"),
                of.get("status")));
  }

  /** Collects cases, numbering them; the number is the seed. */
  private static final class Table {
    private final List<Case> list = new ArrayList<>();

    int size() {
      return list.size();
    }

    void add(
        TreeVerify.Spec spec, List<Integer> sizes, Growth growth, int depth, Set<Trait> traits) {
      list.add(new Case("small-" + size(), spec, sizes, growth, depth, traits, size()));
    }
  }
}
