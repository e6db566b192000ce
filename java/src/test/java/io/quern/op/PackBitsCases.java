package io.quern.op;

import io.quern.DType;
import io.quern.Device;
import io.quern.Shape;
import io.quern.Stream;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.SplittableRandom;

/** The calls of {@link PackBits} that are tested. */
public final class PackBitsCases {
  private PackBitsCases() {}

  /**
   * A call.
   *
   * @param lengths elements of each segment
   * @param room bytes of the output beyond what is needed, negative where it is too small
   */
  record Case(
      String id, PackBits.Spec spec, List<Integer> lengths, boolean badOffsets, int room, long seed)
      implements OperatorCase {
    private int segments() {
      return lengths.size();
    }

    private int count() {
      return 4 + lengths.stream().mapToInt(n -> n).sum();
    }

    private long[] offsets() {
      long[] offsets = new long[segments() + 1];
      offsets[0] = 3;
      for (int s = 0; s < segments(); s++) {
        offsets[s + 1] = offsets[s] + lengths.get(s);
      }
      if (badOffsets) {
        BadIndices.among(offsets, count() + 1L, spec.offsets(), new SplittableRandom(~seed));
      }
      return offsets;
    }

    private byte[] elements() {
      SplittableRandom random = new SplittableRandom(seed);
      byte[] elements = new byte[count()];
      for (int i = 0; i < elements.length; i++) {
        boolean one = random.nextBoolean();
        elements[i] = (byte) (one ? spec.x() == DType.U8 ? 1 + random.nextInt(255) : 1 : 0);
      }
      return elements;
    }

    private int bytes() {
      int needed = lengths.stream().mapToInt(n -> (n + 7) / 8).sum();
      return Math.max(0, needed + room);
    }

    @Override
    public Outcome expected() {
      TreeWanted.Image out = new TreeWanted.Image("out", DType.U8, bytes());
      TreeWanted.Image outOffsets = new TreeWanted.Image("outOffsets", DType.I64, segments() + 1);
      TreeWanted.Image statuses = new TreeWanted.Image("status", DType.I32, segments());
      long[] offsets = offsets();
      byte[] x = elements();
      long begin = 0;
      outOffsets.set(0, 0);
      for (int s = 0; s < segments(); s++) {
        boolean good = 0 <= offsets[s] && offsets[s] <= offsets[s + 1] && offsets[s + 1] <= count();
        long n = good ? offsets[s + 1] - offsets[s] : 0;
        boolean fits = begin + (n + 7) / 8 <= bytes();
        for (long at = 0; fits && at < (n + 7) / 8; at++) {
          int value = 0;
          for (int bit = 0; bit < 8; bit++) {
            boolean one = 8 * at + bit < n && x[(int) (offsets[s] + 8 * at + bit)] != 0;
            int place = spec.order() == BitOrder.BIG ? 7 - bit : bit;
            value += one ? 1 << place : 0;
          }
          out.set(begin + at, value);
        }
        statuses.set(
            s,
            !good
                ? TreeStatus.OFFSETS.ordinal()
                : n > 0 && !fits ? TreeStatus.CAPACITY.ordinal() : 0);
        begin += (n + 7) / 8;
        outOffsets.set(s + 1, begin);
      }
      return new Outcome(List.of(out.output(), outOffsets.output(), statuses.output()), null);
    }

    @Override
    public PreparedCase prepare(Device device, Stream stream, OperandMemory memory) {
      return new Prepared(this, device, stream, memory);
    }
  }

  private static final class Prepared extends PreparedCase {
    private final PackBits plan;
    private final PackBits.Operands operands;

    Prepared(Case of, Device device, Stream stream, OperandMemory memory) {
      super(stream, memory, false);
      operands =
          new PackBits.Operands(
              input("x", of.spec.x(), Shape.of(of.count()), of.elements()),
              indices("offsets", of.spec.offsets(), Shape.of(of.segments() + 1), of.offsets()),
              denseOutput("out", DType.U8, Shape.of(of.bytes())),
              denseOutput("outOffsets", DType.I64, Shape.of(of.segments() + 1)),
              denseOutput("status", DType.I32, Shape.of(of.segments())));
      plan = PackBits.plan(device, of.spec);
    }

    @Override
    public void run() {
      plan.run(stream(), operands);
    }
  }

  /** Lengths around bytes and vectors, both orders, bad offsets, too little room. */
  static List<Case> small() {
    List<Case> cases = new ArrayList<>();
    for (int n = 0; n < 16; n++) {
      PackBits.Spec spec =
          new PackBits.Spec(
              n % 2 == 0 ? DType.BOOL : DType.U8,
              n % 4 < 2 ? DType.I32 : DType.I64,
              n % 8 < 4 ? BitOrder.LITTLE : BitOrder.BIG);
      List<Integer> lengths =
          switch (n % 5) {
            case 0 -> List.of(1, 0, 7, 8, 9, 31, 32, 33, 63, 64, 65, 300);
            case 1 -> List.of(40_000);
            case 2 -> Collections.nCopies(300, 5);
            case 3 -> List.of(128, 255, 3, 77);
            default -> List.of();
          };
      cases.add(new Case("segments " + n, spec, lengths, n % 3 == 2, n % 7 == 5 ? -3 : n % 2, n));
    }
    return cases;
  }

  static List<MisuseCall> misuses() {
    return List.of(
        new MisuseCall(
            "pack bits",
            "PackBits",
            MisuseCall.operands(
                "x",
                MisuseCall.Operand.in(DType.BOOL, 24).ofAnyExtents(),
                "offsets",
                MisuseCall.Operand.in(DType.I32, 4),
                "out",
                MisuseCall.Operand.out(DType.U8, 8).ofAnyExtents(),
                "outOffsets",
                MisuseCall.Operand.out(DType.I64, 4).with(MisuseCall.Missing.ALLOWED),
                "status",
                MisuseCall.Operand.out(DType.I32, 3)),
            device -> {
              var plan =
                  PackBits.plan(device, new PackBits.Spec(DType.BOOL, DType.I32, BitOrder.BIG));
              return (stream, of) ->
                  plan.run(
                      stream,
                      PackBits.Operands.of(
                              of.get("x"), of.get("offsets"), of.get("out"), of.get("status"))
                          .withOutOffsets(of.get("outOffsets")));
            }));
  }
}
