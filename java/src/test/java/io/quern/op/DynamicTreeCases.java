package io.quern.op;

import io.quern.DType;
import io.quern.Device;
import io.quern.Shape;
import io.quern.Stream;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.SplittableRandom;
import java.util.stream.IntStream;

/** The calls of {@link DynamicTree} that are tested. */
public final class DynamicTreeCases {
  private DynamicTreeCases() {}

  /** How a request's scores or selection are made. */
  enum Scores {
    /** As drafters make them: falling along every path. */
    FALLING,
    /** Many equal ones, so that ties decide. */
    TIED,
    /** Anything, so that parents are missing. */
    RANDOM,
    /** Falling, and some NaN, −0 and infinities. */
    SPECIAL,
    /** Too few that are not NaN. */
    NAN
  }

  /**
   * A call.
   *
   * @param given whether the selection is given instead of scores
   * @param steps levels of the draft
   */
  record Case(
      String id,
      DynamicTree.Spec spec,
      int requests,
      int steps,
      Scores scores,
      boolean given,
      boolean badList,
      TreeWanted wanted,
      boolean prefixed,
      long seed)
      implements OperatorCase {
    private int pool() {
      return (int) spec.pool();
    }

    private int m() {
      return (int) spec.selected();
    }

    private long root() {
      return spec.numbering() == CandidateNumbering.FROM_ONE ? 0 : -1;
    }

    /** The parent lists, as a beam search of random beams leaves them. */
    long[] parentLists() {
      SplittableRandom random = new SplittableRandom(seed);
      long[] lists = new long[requests * (int) spec.groups()];
      int k = (int) spec.topK();
      for (int b = 0; b < requests; b++) {
        int at = b * (int) spec.groups();
        for (int g = 0; g < spec.groups(); g++) {
          int level = g == 0 ? 0 : (g - 1) / k; // of the beams that group g expands
          int from = level == 0 ? 0 : k + (level - 1) * k * k;
          int size = level == 0 ? k : k * k;
          long candidate = from + (level == 0 ? (g - 1) % k : random.nextInt(size));
          lists[at + g] = g == 0 ? root() : candidate + root() + 1;
          if (badList && random.nextInt(6) == 0) {
            lists[at + g] = random.nextInt(-3, pool() + 3);
          }
        }
      }
      return lists;
    }

    float[] scoreTable() {
      SplittableRandom random = new SplittableRandom(~seed);
      float[] table = new float[requests * pool()];
      long[] lists = parentLists();
      for (int b = 0; b < requests; b++) {
        for (int f = 0; f < pool(); f++) {
          long group = f / spec.topK();
          long parent =
              group == 0 || group >= spec.groups()
                  ? -1
                  : lists[(int) (b * spec.groups() + group)] - root() - 1;
          float above = parent >= 0 && parent < f ? table[b * pool() + (int) parent] : 0;
          float draw = (float) random.nextDouble();
          table[b * pool() + f] =
              switch (scores) {
                case FALLING -> above - draw - 0.01f;
                case TIED -> -random.nextInt(4);
                case RANDOM -> draw;
                case SPECIAL ->
                    switch (random.nextInt(12)) {
                      case 0 -> Float.NaN;
                      case 1 -> -0.0f;
                      case 2 -> 0.0f;
                      case 3 -> Float.POSITIVE_INFINITY;
                      case 4 -> Float.NEGATIVE_INFINITY;
                      default -> above - draw;
                    };
                case NAN -> f % 3 == b % 3 ? draw : Float.NaN;
              };
        }
      }
      return table;
    }

    /** The best by rule 8, ascending; some of them spoilt where the selection is given. */
    long[] selections() {
      float[] table = scoreTable();
      SplittableRandom random = new SplittableRandom(seed + 1);
      long[] all = new long[requests * m()];
      for (int b = 0; b < requests; b++) {
        int row = b * pool();
        // Comparator order: NaN last, both zeros equal.
        List<Integer> order =
            IntStream.range(0, pool())
                .boxed()
                .sorted(
                    Comparator.<Integer, Boolean>comparing(f -> Float.isNaN(table[row + f]))
                        .thenComparing(f -> 0.0f - table[row + f] + 0.0f)
                        .thenComparing(f -> f))
                .limit(m())
                .sorted()
                .toList();
        for (int i = 0; i < m(); i++) {
          all[b * m() + i] = order.get(i);
        }
        if (given && badList && m() > 0 && b % 2 == 1) {
          all[b * m() + random.nextInt(m())] = random.nextInt(-2, pool() + 2);
        }
      }
      return all;
    }

    private TreeBatch.Request judge(int b, long[] selection, long[] lists, float[] table) {
      int n = (int) spec.nodes();
      int[] parents = new int[n];
      boolean ascends = true;
      boolean finite = true;
      boolean orphan = false;
      List<Long> chosen = new ArrayList<>();
      for (int i = 0; i < m(); i++) {
        long f = selection[b * m() + i];
        ascends &= f < pool() && f > (i == 0 ? -1 : chosen.get(i - 1));
        chosen.add(f);
      }
      for (int i = 0; i < n && ascends; i++) {
        if (i == 0) {
          parents[i] = -1;
          continue;
        }
        long f = chosen.get(i - 1);
        finite &= given || !Float.isNaN(table[b * pool() + (int) f]);
        long group = f / spec.topK();
        if (group >= spec.groups() && group > 0) {
          orphan = true;
          continue;
        }
        long entry = group == 0 ? root() : lists[(int) (b * spec.groups() + group)];
        if (entry != root()) {
          int found = chosen.indexOf(entry - root() - 1);
          orphan |= found < 0 || found >= i - 1;
          parents[i] = found + 1;
        }
      }
      TreeStatus status =
          !ascends
              ? TreeStatus.SELECTION
              : orphan ? TreeStatus.PARENT : finite ? TreeStatus.OK : TreeStatus.NAN;
      return new TreeBatch.Request(status, b * n, parents, n);
    }

    @Override
    public Outcome expected() {
      long[] selection = selections();
      long[] lists = parentLists();
      float[] table = scoreTable();
      List<TreeBatch.Request> found = new ArrayList<>();
      for (int b = 0; b < requests; b++) {
        found.add(judge(b, selection, lists, table));
      }
      List<Outcome.Output> outputs =
          wanted.expected(found, requests * (int) spec.nodes(), prefixes(), true);
      byte[] statuses = outputs.getLast().bytes();
      TreeWanted.Image selected =
          new TreeWanted.Image("selected", spec.indices(), (long) requests * m());
      for (int i = 0; i < selection.length; i++) {
        selected.set(i, statuses[i / m() * Integer.BYTES] == 0 ? selection[i] : -1);
      }
      List<Outcome.Output> all = new ArrayList<>(List.of(selected.output()));
      all.addAll(outputs);
      return new Outcome(all, null);
    }

    private long[] prefixes() {
      return prefixed ? new SplittableRandom(seed + 3).longs(requests, 0, 1 << 20).toArray() : null;
    }

    @Override
    public PreparedCase prepare(Device device, Stream stream, OperandMemory memory) {
      return new Prepared(this, device, stream, memory);
    }
  }

  private static final class Prepared extends PreparedCase {
    private final DynamicTree plan;
    private final DynamicTree.Operands operands;

    Prepared(Case of, Device device, Stream stream, OperandMemory memory) {
      super(stream, memory, of.wanted.strided());
      DynamicTree.Spec spec = of.spec;
      long[] prefixes = of.prefixes();
      Shape selection = Shape.of(of.requests, spec.selected());
      float[] scores = of.scoreTable();
      byte[] bytes = new byte[scores.length * Float.BYTES];
      MemorySegment.copy(
          scores,
          0,
          MemorySegment.ofArray(bytes),
          ValueLayout.JAVA_FLOAT_UNALIGNED,
          0,
          scores.length);
      operands =
          new DynamicTree.Operands(
              of.given
                  ? null
                  : input("scores", DType.F32, Shape.of(of.requests, spec.pool()), bytes),
              of.given ? indices("selection", spec.indices(), selection, of.selections()) : null,
              indices(
                  "parentList",
                  spec.indices(),
                  Shape.of(of.requests, spec.groups()),
                  of.parentLists()),
              prefixes == null
                  ? null
                  : indices("prefix", spec.outputs().prefix(), Shape.of(prefixes.length), prefixes),
              denseOutput("selected", spec.indices(), selection),
              of.wanted.in(this, of.requests, of.requests * (int) spec.nodes(), true));
      plan = DynamicTree.plan(device, spec);
    }

    @Override
    public void run() {
      plan.run(stream(), operands);
    }
  }

  /** Shapes in use, both numberings, ties, NaN, and lists that lead nowhere. */
  static List<Case> small() {
    List<Case> cases = new ArrayList<>();
    int[][] shapes = {{4, 1, 3}, {8, 4, 3}, {16, 4, 3}, {32, 4, 5}, {64, 8, 5}, {60, 10, 7}};
    for (int[] shape : shapes) {
      for (Scores scores : Scores.values()) {
        cases.add(of(shape[0], shape[1], shape[2], scores, 3, cases.size(), false));
        cases.add(of(shape[0], shape[1], shape[2], scores, 2, cases.size(), true));
      }
    }
    cases.add(of(1, 4, 3, Scores.FALLING, 3, 0, false));
    cases.add(of(0, 4, 3, Scores.FALLING, 3, 1, false));
    cases.add(of(5, 4, 1, Scores.TIED, 0, 2, false));
    cases.add(of(5, 4, 1, Scores.TIED, 70, 3, false));
    // More nodes than a CUDA block keeps in its table.
    cases.add(of(2100, 16, 10, Scores.FALLING, 1, 4, false));
    cases.add(of(2100, 16, 10, Scores.FALLING, 1, 6, false));
    return cases;
  }

  static Case of(
      int nodes, int topK, int steps, Scores scores, int requests, int n, boolean badList) {
    TreeTopology.Spec outputs =
        new TreeTopology.Spec(
            n % 2 == 0 ? DType.I64 : DType.I32, n % 3 == 0 ? DType.I64 : DType.I32, DType.U8);
    DynamicTree.Spec spec =
        DynamicTree.Spec.of(
                nodes,
                topK,
                steps,
                n % 2 == 0 ? CandidateNumbering.FROM_ZERO : CandidateNumbering.FROM_ONE)
            .withIndices(n % 3 == 1 ? DType.I32 : DType.I64)
            .withOutputs(outputs);
    return new Case(
        "%d of %d %s %d".formatted(nodes, spec.pool(), scores, n),
        spec,
        requests,
        steps,
        scores,
        n % 4 > 1,
        badList,
        new TreeWanted(
            n % 5 == 4 ? 0 : TreeWanted.ALL,
            outputs,
            Math.ceilDiv(nodes, 8),
            nodes,
            steps + 2,
            n % 2 == 1),
        n % 3 > 0,
        n);
  }

  static List<MisuseCall> misuses() {
    MisuseCall.Operand requests = MisuseCall.Operand.out(DType.I32, 3);
    MisuseCall.Operand selection = MisuseCall.Operand.in(DType.I32, 3, 2);
    return List.of(
        new MisuseCall(
            "dynamic tree",
            "DynamicTree",
            MisuseCall.operands(
                "scores",
                MisuseCall.Operand.in(DType.F32, 3, 4).with(MisuseCall.Missing.NEEDED),
                "parentList",
                MisuseCall.Operand.in(DType.I32, 3, 2),
                "prefix",
                MisuseCall.Operand.in(DType.I32, 3).with(MisuseCall.Missing.ALLOWED),
                "selected",
                MisuseCall.Operand.out(DType.I32, 3, 2).with(MisuseCall.Missing.NEEDED),
                "parent",
                MisuseCall.Operand.out(DType.I32, 9),
                "depth",
                MisuseCall.Operand.out(DType.I32, 9).with(MisuseCall.Missing.ALLOWED),
                "status",
                requests),
            device -> {
              var plan = DynamicTree.plan(device, misused());
              return (stream, of) ->
                  plan.run(
                      stream,
                      DynamicTree.Operands.ofScores(
                              of.get("scores"),
                              of.get("parentList"),
                              of.get("selected"),
                              TreeOutputs.of(of.get("status"))
                                  .withParent(of.get("parent"))
                                  .withDepth(of.get("depth")))
                          .withPrefix(of.get("prefix")));
            }),
        new MisuseCall(
            "dynamic tree of a selection",
            "DynamicTree",
            MisuseCall.operands(
                "selection",
                selection.with(MisuseCall.Missing.NEEDED),
                "parentList",
                MisuseCall.Operand.in(DType.I32, 3, 2),
                "parent",
                MisuseCall.Operand.out(DType.I32, 9),
                "status",
                requests),
            device -> {
              var plan = DynamicTree.plan(device, misused());
              return (stream, of) ->
                  plan.run(
                      stream,
                      DynamicTree.Operands.ofSelection(
                          of.get("selection"),
                          of.get("parentList"),
                          TreeOutputs.of(of.get("status")).withParent(of.get("parent"))));
            }));
  }

  private static DynamicTree.Spec misused() {
    return new DynamicTree.Spec(
        3,
        4,
        2,
        2,
        CandidateNumbering.FROM_ZERO,
        DType.I32,
        new TreeTopology.Spec(DType.I32, DType.I32, DType.U64));
  }
}
