package io.quern.op;

import io.quern.DType;
import io.quern.Device;
import io.quern.Shape;
import io.quern.Stream;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;

/** The calls of {@link TreeMask} that are tested. */
public final class TreeMaskCases {
  private TreeMaskCases() {}

  /**
   * A call.
   *
   * @param prefixLimit the longest prefix, or −1 for none
   * @param badPrefix whether some are bad
   * @param columns of a row, or all elements of a flat format
   */
  record Case(
      String id,
      TreeBatch batch,
      TreeMask.Spec spec,
      int prefixLimit,
      boolean badPrefix,
      long columns,
      boolean strided)
      implements OperatorCase {
    private long[] prefixes() {
      return prefixLimit < 0 ? null : batch.prefixes(prefixLimit, spec.prefix(), badPrefix);
    }

    private Shape outShape() {
      return spec.format().isFlat() ? Shape.of(columns) : Shape.of(batch.nodes(), columns);
    }

    private long element(boolean visible) {
      if (spec.format() != TreeMaskFormat.ADDITIVE_INF
          && spec.format() != TreeMaskFormat.ADDITIVE_MIN) {
        return switch (spec.out()) {
          case F32 -> visible ? 0x3f800000 : 0;
          case F16 -> visible ? 0x3c00 : 0;
          case BF16 -> visible ? 0x3f80 : 0;
          default -> visible ? 1 : 0;
        };
      }
      boolean infinite = spec.format() == TreeMaskFormat.ADDITIVE_INF;
      return visible
          ? 0
          : switch (spec.out()) {
            case F32 -> infinite ? 0xff800000L : 0xff7fffffL;
            case F16 -> infinite ? 0xfc00 : 0xfbff;
            default -> infinite ? 0xff80 : 0xff7f;
          };
    }

    @Override
    public Outcome expected() {
      boolean flat = spec.format().isFlat();
      boolean packed = spec.format() == TreeMaskFormat.PACKED;
      TreeWanted.Image out =
          new TreeWanted.Image(
              "out", spec.out(), flat ? columns : PreparedCase.elements(strided, outShape()));
      TreeWanted.Image indptr = new TreeWanted.Image("indptr", DType.I64, batch.requests() + 1);
      TreeWanted.Image statuses = new TreeWanted.Image("status", DType.I32, batch.requests());
      long[] prefixes = prefixes();
      List<TreeBatch.Request> requests = batch.judge();
      long begin = 0;
      indptr.set(0, 0);
      for (int b = 0; b < requests.size(); b++) {
        TreeBatch.Request request = requests.get(b);
        long prefix = prefixes == null ? 0 : prefixes[b];
        boolean badPrefix = prefix < 0 || prefix > Integer.MAX_VALUE;
        int count = flat ? request.own() : request.count();
        boolean tooSmall;
        long elements = 0;
        if (flat) {
          elements = badPrefix ? 0 : count * (prefix + count);
          elements = packed ? (elements + 7) / 8 : elements;
          tooSmall = elements > 0 && begin + elements > columns;
        } else if (spec.format() == TreeMaskFormat.BITS) {
          tooSmall = count > columns * spec.out().byteSize() * 8;
        } else {
          tooSmall = !badPrefix && prefix + count > columns;
        }
        TreeStatus status = request.status();
        if (tooSmall && (status == TreeStatus.OK || TreeStatus.CAPACITY.compareTo(status) < 0)) {
          status = TreeStatus.CAPACITY;
        }
        if (badPrefix && status == TreeStatus.OK) {
          status = TreeStatus.PREFIX;
        }
        boolean[][] visible = status == TreeStatus.OK ? request.visible() : null;
        if (spec.format() == TreeMaskFormat.BITS) {
          writeBits(out, request, visible);
        } else if (!flat) {
          for (int i = 0; i < count; i++) {
            for (long column = 0; column < columns; column++) {
              out.set(
                  PreparedCase.position(strided, request.first() + i, column, columns),
                  element(sees(visible, i, column, prefix)));
            }
          }
        } else if (begin + elements <= columns) {
          long width = prefix + count;
          if (packed) {
            for (long at = 0; at < elements; at++) {
              int value = 0;
              for (int bit = 0; bit < 8; bit++) {
                long element = 8 * at + bit;
                if (element < count * width
                    && sees(visible, (int) (element / width), element % width, prefix)) {
                  value |= 1 << bit;
                }
              }
              out.set(begin + at, value);
            }
          } else {
            for (long e = 0; e < elements; e++) {
              out.set(begin + e, element(sees(visible, (int) (e / width), e % width, prefix)));
            }
          }
        }
        begin += elements;
        indptr.set(b + 1, begin);
        statuses.set(b, status.ordinal());
      }
      List<Outcome.Output> outputs = new ArrayList<>(List.of(out.output()));
      if (flat) {
        outputs.add(indptr.output());
      }
      outputs.add(statuses.output());
      return new Outcome(outputs, null);
    }

    private void writeBits(TreeWanted.Image out, TreeBatch.Request request, boolean[][] visible) {
      int wordBits = spec.out().byteSize() * Byte.SIZE;
      for (int i = 0; i < request.count(); i++) {
        for (int w = 0; w < columns; w++) {
          long word = 0;
          for (int bit = 0; bit < wordBits; bit++) {
            word |= sees(visible, i, (long) w * wordBits + bit, 0) ? 1L << bit : 0;
          }
          out.set(PreparedCase.position(strided, request.first() + i, w, columns), word);
        }
      }
    }

    private static boolean sees(boolean[][] visible, int i, long column, long prefix) {
      return visible != null
          && (column < prefix
              || (column - prefix < visible.length && visible[i][(int) (column - prefix)]));
    }

    @Override
    public PreparedCase prepare(Device device, Stream stream, OperandMemory memory) {
      return new Prepared(this, device, stream, memory);
    }
  }

  private static final class Prepared extends PreparedCase {
    private final TreeMask plan;
    private final TreeMask.Operands operands;

    Prepared(Case of, Device device, Stream stream, OperandMemory memory) {
      super(stream, memory, of.strided);
      TreeBatch batch = of.batch;
      long[] prefixes = of.prefixes();
      boolean flat = of.spec.format().isFlat();
      operands =
          new TreeMask.Operands(
              indices("parent", DType.I32, Shape.of(batch.nodes()), batch.parents()),
              indices("offsets", DType.I32, Shape.of(batch.requests() + 1), batch.offsets()),
              prefixes == null
                  ? null
                  : indices("prefix", of.spec.prefix(), Shape.of(prefixes.length), prefixes),
              flat
                  ? denseOutput("out", of.spec.out(), of.outShape())
                  : output("out", of.spec.out(), of.outShape()),
              flat ? denseOutput("indptr", DType.I64, Shape.of(batch.requests() + 1)) : null,
              denseOutput("status", DType.I32, Shape.of(batch.requests())));
      plan = TreeMask.plan(device, of.spec);
    }

    @Override
    public void run() {
      plan.run(stream(), operands);
    }
  }

  /** Every format and dtype, prefixes short and long, and too little room. */
  static List<Case> small() {
    List<Case> cases = new ArrayList<>();
    for (TreeMaskFormat format : TreeMaskFormat.values()) {
      for (DType dtype : Arrays.stream(DType.values()).filter(format::has).toList()) {
        for (int n = 0; n < 8; n++) {
          TreeBatch batch =
              new TreeBatch(
                  List.of(7, 1, 0, 16, 33, 2, 8, 64, 3),
                  n % 4 == 3
                      ? List.of(TreeKind.values())
                      : List.of(TreeKind.SCATTERED, TreeKind.CHAIN, TreeKind.LEVELS),
                  n == 5,
                  n);
          cases.add(of(format, dtype, batch, new int[] {-1, 0, 3, 9, 150, 40, 40, 700}[n], n));
        }
      }
      DType dtype = Arrays.stream(DType.values()).filter(format::has).findFirst().orElseThrow();
      cases.add(of(format, dtype, TreeBatch.of(TreeKind.CHAIN), -1, 0));
      cases.add(of(format, dtype, TreeBatch.of(TreeKind.DEEP, 255, 70, 300), 20, 1));
      cases.add(
          of(
              format,
              dtype,
              new TreeBatch(Collections.nCopies(300, 3), List.of(TreeKind.values()), true, 4),
              6,
              2));
    }
    for (TreeMaskFormat format :
        List.of(TreeMaskFormat.BITS, TreeMaskFormat.PACKED, TreeMaskFormat.ONE_ZERO)) {
      cases.add(of(format, DType.U8, TreeBatch.of(TreeKind.SCATTERED, 2049), -1, 0));
    }
    return cases;
  }

  private static Case of(
      TreeMaskFormat format, DType dtype, TreeBatch batch, int prefixLimit, int n) {
    int most = batch.sizes().stream().mapToInt(i -> i).max().orElse(0);
    // Now and then the largest tree does not fit.
    long columns = most + Math.max(0, prefixLimit) - (n == 4 ? most : 0);
    if (format == TreeMaskFormat.BITS) {
      columns = Math.ceilDiv(most - (n == 4 ? 40 : 0), dtype.byteSize() * Byte.SIZE);
    } else if (format.isFlat()) {
      long all =
          batch.sizes().stream().mapToLong(i -> i * (i + (long) Math.max(0, prefixLimit))).sum();
      columns = (format == TreeMaskFormat.PACKED ? all / 8 + batch.requests() : all) + 5;
      columns = n == 4 ? columns / 3 : columns;
    }
    return new Case(
        "%s %s %d".formatted(format, dtype, n),
        batch,
        TreeMask.Spec.of(format, dtype).withPrefix(n % 2 == 0 ? DType.I32 : DType.I64),
        format == TreeMaskFormat.BITS ? -1 : prefixLimit,
        n == 6 || n == 7,
        columns,
        n % 3 == 1);
  }

  static List<MisuseCall> misuses() {
    MisuseCall.Operand status = MisuseCall.Operand.out(DType.I32, 3);
    return List.of(
        new MisuseCall(
            "tree mask",
            "TreeMask",
            MisuseCall.operands(
                "parent",
                MisuseCall.Operand.in(DType.I32, 6),
                "offsets",
                MisuseCall.Operand.in(DType.I32, 4),
                "prefix",
                MisuseCall.Operand.in(DType.I64, 3).with(MisuseCall.Missing.ALLOWED),
                "out",
                MisuseCall.Operand.out(DType.F16, 6, 4).ofAnyExtents(),
                "status",
                status),
            device -> {
              var plan =
                  TreeMask.plan(
                      device,
                      TreeMask.Spec.of(TreeMaskFormat.ADDITIVE_MIN, DType.F16)
                          .withPrefix(DType.I64));
              return (stream, of) ->
                  plan.run(
                      stream,
                      TreeMask.Operands.of(
                              of.get("parent"), of.get("offsets"), of.get("out"), of.get("status"))
                          .withPrefix(of.get("prefix")));
            }),
        new MisuseCall(
            "flat tree mask",
            "TreeMask",
            MisuseCall.operands(
                "parent",
                MisuseCall.Operand.in(DType.I32, 6).ofAnyExtents(),
                "offsets",
                MisuseCall.Operand.in(DType.I32, 4),
                "prefix",
                MisuseCall.Operand.in(DType.I32, 3).with(MisuseCall.Missing.ALLOWED),
                "out",
                MisuseCall.Operand.out(DType.BOOL, 24).ofAnyExtents(),
                "indptr",
                MisuseCall.Operand.out(DType.I64, 4).with(MisuseCall.Missing.ALLOWED),
                "status",
                status),
            device -> {
              var plan = TreeMask.plan(device, TreeMask.Spec.of(TreeMaskFormat.FLAT, DType.BOOL));
              return (stream, of) ->
                  plan.run(
                      stream,
                      TreeMask.Operands.of(
                              of.get("parent"), of.get("offsets"), of.get("out"), of.get("status"))
                          .withPrefix(of.get("prefix"))
                          .withIndptr(of.get("indptr")));
            }));
  }
}
