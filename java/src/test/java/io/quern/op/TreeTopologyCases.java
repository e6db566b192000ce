package io.quern.op;

import io.quern.DType;
import io.quern.Device;
import io.quern.Shape;
import io.quern.Stream;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;

/** The calls of {@link TreeTopology} that are tested and timed. */
public final class TreeTopologyCases {
  static final List<DType> WORDS =
      List.of(DType.U64, DType.U32, DType.I32, DType.U8, DType.U16, DType.I64);

  private TreeTopologyCases() {}

  /**
   * A call.
   *
   * @param prefixed whether there are prefix lengths
   */
  record Case(String id, TreeBatch batch, TreeWanted wanted, boolean prefixed)
      implements OperatorCase {
    private long[] prefixes() {
      return prefixed ? batch.prefixes(1 << 20, wanted.spec().prefix(), true) : null;
    }

    @Override
    public Outcome expected() {
      return new Outcome(wanted.expected(batch.judge(), batch.nodes(), prefixes(), false), null);
    }

    @Override
    public PreparedCase prepare(Device device, Stream stream, OperandMemory memory) {
      return new Prepared(this, device, stream, memory);
    }
  }

  private static final class Prepared extends PreparedCase {
    private final TreeTopology plan;
    private final TreeTopology.Operands operands;

    Prepared(Case of, Device device, Stream stream, OperandMemory memory) {
      super(stream, memory, of.wanted.strided());
      TreeBatch batch = of.batch;
      long[] prefixes = of.prefixes();
      operands =
          new TreeTopology.Operands(
              indices("parent", DType.I32, Shape.of(batch.nodes()), batch.parents()),
              indices("offsets", DType.I32, Shape.of(batch.requests() + 1), batch.offsets()),
              prefixes == null
                  ? null
                  : indices(
                      "prefix", of.wanted.spec().prefix(), Shape.of(prefixes.length), prefixes),
              of.wanted.in(this, batch.requests(), batch.nodes(), false));
      plan = TreeTopology.plan(device, of.wanted.spec());
    }

    @Override
    public void run() {
      plan.run(stream(), operands);
    }
  }

  /** Every size around a word, every kind, every subset of outputs. */
  static List<Case> small() {
    List<Case> cases = new ArrayList<>();
    for (TreeKind kind : TreeKind.values()) {
      TreeBatch batch = TreeBatch.of(kind, 1, 2, 0, 31, 32, 33, 63, 64, 65, 5, 17);
      for (DType words : WORDS) {
        int perRow = Math.ceilDiv(65, words.byteSize() * Byte.SIZE);
        cases.add(of("kinds", batch, words, perRow, 64, 65, cases.size()));
      }
      cases.add(of("one word", TreeBatch.of(kind, 64, 1, 64, 63), DType.U64, 1, 63, 64, 0));
      cases.add(of("half a word", TreeBatch.of(kind, 32, 31, 33, 7), DType.U32, 1, 33, 33, 1));
    }
    for (int which = 0; which <= TreeWanted.ALL; which++) {
      TreeBatch batch =
          new TreeBatch(
              List.of(12, 1, 40, 0, 9),
              List.of(TreeKind.SCATTERED, TreeKind.CHAIN, TreeKind.LEVELS, TreeKind.BROKEN),
              false,
              which);
      cases.add(
          new Case(
              "outputs " + which,
              batch,
              new TreeWanted(which, spec(DType.U8, which), 6, 30, 11, (which & 1) == 1),
              which % 3 > 0));
    }
    for (int seed = 0; seed < 8; seed++) {
      TreeBatch batch =
          new TreeBatch(
              List.of(5, 9, 0, 3, 20, 1, 2, 7, 7, 7, 7),
              List.of(TreeKind.DEEP, TreeKind.STAR, TreeKind.GARBAGE),
              true,
              seed);
      cases.add(of("bad offsets", batch, DType.U16, 2, 20, 20, seed));
    }
    for (TreeKind kind : List.of(TreeKind.SCATTERED, TreeKind.DEEP, TreeKind.CHAIN)) {
      cases.add(of("long", TreeBatch.of(kind, 255, 768), DType.U32, 24, 768, 768, cases.size()));
    }
    // Beyond the table that a CUDA block keeps.
    cases.add(of("huge", TreeBatch.of(TreeKind.SCATTERED, 2048, 2049), DType.U64, 33, 1100, 40, 0));
    cases.add(
        of(
            "many",
            new TreeBatch(Collections.nCopies(256, 3), List.of(TreeKind.values()), false, 5),
            DType.U8,
            1,
            2,
            3,
            1));
    cases.add(of("no request", TreeBatch.of(TreeKind.CHAIN), DType.U64, 1, 1, 1, 0));
    for (int seed = 0; seed < 4; seed++) {
      // Rows of bits, paths, or their number just too small for some.
      TreeBatch batch = TreeBatch.of(TreeKind.DEEP, 16, 17, 20, 8, 1);
      cases.add(of("capacity", batch, DType.U8, 2, 20 - 4 * seed, 5 * seed, seed));
    }
    return cases;
  }

  private static Case of(
      String id, TreeBatch batch, DType words, int perRow, int leaves, int width, int n) {
    TreeWanted wanted =
        new TreeWanted(TreeWanted.ALL, spec(words, n), perRow, leaves, width, n % 2 == 1);
    return new Case(id + " " + n, batch, wanted, n % 3 > 0);
  }

  private static TreeTopology.Spec spec(DType words, int n) {
    return new TreeTopology.Spec(
        n % 2 == 0 ? DType.I32 : DType.I64, n % 5 < 2 ? DType.I64 : DType.I32, words);
  }

  static List<MisuseCall> misuses() {
    MisuseCall.Operand nodes =
        MisuseCall.Operand.out(DType.I32, 6).with(MisuseCall.Missing.ALLOWED);
    MisuseCall.Operand requests = MisuseCall.Operand.out(DType.I32, 3);
    return List.of(
        new MisuseCall(
            "tree topology",
            "TreeTopology",
            MisuseCall.operands(
                "parent",
                MisuseCall.Operand.in(DType.I32, 6),
                "offsets",
                MisuseCall.Operand.in(DType.I32, 4),
                "prefix",
                MisuseCall.Operand.in(DType.I64, 3).with(MisuseCall.Missing.ALLOWED),
                "bits",
                MisuseCall.Operand.out(DType.U32, 6, 2)
                    .with(MisuseCall.Missing.ALLOWED)
                    .ofAnyExtents(),
                "depth",
                nodes,
                "positions",
                nodes.with(DType.I64),
                "firstChild",
                nodes,
                "nextSibling",
                nodes,
                "paths",
                MisuseCall.Operand.out(DType.I32, 3, 2, 2)
                    .with(MisuseCall.Missing.ALLOWED)
                    .ofAnyExtents(),
                "leafCount",
                requests.with(MisuseCall.Missing.ALLOWED),
                "status",
                requests),
            device -> {
              var plan =
                  TreeTopology.plan(device, new TreeTopology.Spec(DType.I64, DType.I64, DType.U32));
              return (stream, of) ->
                  plan.run(
                      stream,
                      TreeTopology.Operands.of(
                              of.get("parent"),
                              of.get("offsets"),
                              TreeOutputs.of(of.get("status"))
                                  .withBits(of.get("bits"))
                                  .withDepth(of.get("depth"))
                                  .withPositions(of.get("positions"))
                                  .withLinks(of.get("firstChild"), of.get("nextSibling"))
                                  .withPaths(of.get("paths"), of.get("leafCount")))
                          .withPrefix(of.get("prefix")));
            }));
  }
}
