package io.quern.op;

import io.quern.DType;
import io.quern.Device;
import io.quern.Shape;
import io.quern.Stream;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;

/** The calls of {@link TreeFromMask} that are tested. */
public final class TreeFromMaskCases {
  private TreeFromMaskCases() {}

  /**
   * A call.
   *
   * @param flips elements below and on the diagonal that are turned over in every other request
   */
  record Case(
      String id,
      TreeFromMask.Spec spec,
      int requests,
      TreeKind kind,
      int flips,
      TreeWanted wanted,
      long seed)
      implements OperatorCase {
    private int n() {
      return (int) spec.nodes();
    }

    private byte[] masks() {
      SplittableRandom random = new SplittableRandom(seed);
      byte[] masks = new byte[requests * n() * n()];
      for (int b = 0; b < requests; b++) {
        int[] parents = kind.parents(n(), random);
        for (int i = 0; i < n(); i++) {
          int row = (b * n() + i) * n();
          for (int at = i; at >= 0; at = parents[at]) {
            masks[row + at] = (byte) (spec.mask() == DType.BOOL ? 1 : 1 + random.nextInt(255));
          }
          for (int j = i + 1; j < n(); j++) {
            masks[row + j] = (byte) random.nextInt(2); // not looked at
          }
        }
        for (int flip = 0; flip < flips && n() > 0 && b % 2 == 1; flip++) {
          int i = random.nextInt(n());
          int at = (b * n() + i) * n() + random.nextInt(i + 1);
          masks[at] = (byte) (masks[at] == 0 ? 1 : 0);
        }
      }
      return masks;
    }

    private TreeBatch.Request judge(int b, byte[] masks) {
      int[] parents = new int[n()];
      boolean tree = true;
      for (int i = 0; i < n(); i++) {
        int row = (b * n() + i) * n();
        parents[i] = -1;
        for (int j = 0; j < i; j++) {
          parents[i] = masks[row + j] != 0 ? j : parents[i];
        }
        tree &= masks[row + i] != 0 && (i == 0 || parents[i] >= 0);
        for (int j = 0; j < parents[i]; j++) {
          tree &= (masks[row + j] != 0) == (masks[(b * n() + parents[i]) * n() + j] != 0);
        }
      }
      return new TreeBatch.Request(tree ? TreeStatus.OK : TreeStatus.MASK, b * n(), parents, n());
    }

    @Override
    public Outcome expected() {
      byte[] masks = masks();
      List<TreeBatch.Request> found = new ArrayList<>();
      for (int b = 0; b < requests; b++) {
        found.add(judge(b, masks));
      }
      return new Outcome(wanted.expected(found, requests * n(), null, true), null);
    }

    @Override
    public PreparedCase prepare(Device device, Stream stream, OperandMemory memory) {
      return new Prepared(this, device, stream, memory);
    }
  }

  private static final class Prepared extends PreparedCase {
    private final TreeFromMask plan;
    private final TreeFromMask.Operands operands;

    Prepared(Case of, Device device, Stream stream, OperandMemory memory) {
      super(stream, memory, of.wanted.strided());
      operands =
          TreeFromMask.Operands.of(
              input("mask", of.spec.mask(), Shape.of(of.requests, of.n(), of.n()), of.masks()),
              of.wanted.in(this, of.requests, of.requests * of.n(), true));
      plan = TreeFromMask.plan(device, of.spec);
    }

    @Override
    public void run() {
      plan.run(stream(), operands);
    }
  }

  /** Every size around a word and a vector; masks of trees and of none. */
  static List<Case> small() {
    List<Case> cases = new ArrayList<>();
    for (int n : new int[] {0, 1, 2, 4, 31, 32, 33, 63, 64, 65, 130, 255}) {
      for (TreeKind kind : List.of(TreeKind.SCATTERED, TreeKind.DEEP, TreeKind.CHAIN)) {
        cases.add(of(n, 4, kind, cases.size() % 3, cases.size()));
      }
    }
    cases.add(of(768, 1, TreeKind.LEVELS, 0, 1));
    cases.add(of(2050, 1, TreeKind.LEVELS, 0, 2));
    cases.add(of(3, 70, TreeKind.STAR, 1, 0));
    cases.add(of(3, 0, TreeKind.STAR, 1, 0));
    return cases;
  }

  static Case of(int n, int requests, TreeKind kind, int flips, int seed) {
    TreeTopology.Spec outputs =
        new TreeTopology.Spec(DType.I32, seed % 2 == 0 ? DType.I64 : DType.I32, DType.U16);
    return new Case(
        "%d nodes %s %d".formatted(n, kind, seed),
        TreeFromMask.Spec.of(n)
            .withMask(seed % 2 == 0 ? DType.U8 : DType.BOOL)
            .withOutputs(outputs),
        requests,
        kind,
        flips,
        new TreeWanted(TreeWanted.ALL, outputs, Math.ceilDiv(n, 16), n, n, seed % 2 == 1),
        seed);
  }

  static List<MisuseCall> misuses() {
    return List.of(
        new MisuseCall(
            "tree from mask",
            "TreeFromMask",
            MisuseCall.operands(
                "mask",
                MisuseCall.Operand.in(DType.BOOL, 3, 4, 4),
                "prefix",
                MisuseCall.Operand.in(DType.I32, 3).with(MisuseCall.Missing.ALLOWED),
                "parent",
                MisuseCall.Operand.out(DType.I32, 12),
                "positions",
                MisuseCall.Operand.out(DType.I32, 12).with(MisuseCall.Missing.ALLOWED),
                "status",
                MisuseCall.Operand.out(DType.I32, 3)),
            device -> {
              var plan = TreeFromMask.plan(device, TreeFromMask.Spec.of(4));
              return (stream, of) ->
                  plan.run(
                      stream,
                      TreeFromMask.Operands.of(
                              of.get("mask"),
                              TreeOutputs.of(of.get("status"))
                                  .withParent(of.get("parent"))
                                  .withPositions(of.get("positions")))
                          .withPrefix(of.get("prefix")));
            }));
  }
}
