package io.quern.op;

import io.quern.Buffer;
import io.quern.DType;
import io.quern.Device;
import io.quern.InvalidDataException.Kind;
import io.quern.Stream;
import io.quern.op.MisuseCall.Missing;
import io.quern.op.MisuseCall.Operand;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.SplittableRandom;

/** The calls of {@link Partition} that are tested and timed. */
public final class PartitionCases {
  private PartitionCases() {}

  /**
   * A call.
   *
   * @param inverted whether the inverse is asked for
   */
  public record Case(
      String id,
      Partition.Spec spec,
      int batch,
      boolean inverted,
      IndexDistribution distribution,
      Set<Trait> traits,
      long seed)
      implements OperatorCase {
    public Case {
      traits = Set.copyOf(traits);
    }

    /** The keys; with one key about half of the elements are dropped. */
    public long[] keys() {
      SplittableRandom random = new SplittableRandom(seed);
      long[] keys = distribution.draw((int) (batch * spec.count()), spec.keys(), random);
      for (int i = 0; i < keys.length && spec.keys() == 1; i++) {
        keys[i] = random.nextInt(2) - 1;
      }
      if (traits.contains(Trait.BAD_IDS)) {
        BadIndices.amongIds(keys, spec.keys(), DType.I32, random);
      }
      return keys;
    }

    @Override
    public Outcome expected() {
      int count = (int) spec.count();
      int keyCount = (int) spec.keys();
      ReferenceRows perm = new ReferenceRows("perm", DType.I32, batch, count, false);
      ReferenceRows offsets = new ReferenceRows("offsets", DType.I32, batch, keyCount + 1L, false);
      ReferenceRows inverse = new ReferenceRows("inverse", DType.I32, batch, count, false);
      ReferenceRows.Faults faults = new ReferenceRows.Faults("Partition");
      long[] keys = keys();
      for (int i = 0; i < keys.length; i++) {
        boolean bad = keys[i] < -1 || keys[i] >= keyCount;
        if (bad && spec.policy() == IndexPolicy.FAIL) {
          faults.add(Kind.INDEX, i, keys[i], keyCount);
        }
        if (bad && spec.policy() == IndexPolicy.CLAMP && keyCount > 0) {
          keys[i] = keys[i] < 0 ? 0 : keyCount - 1;
        } else if (bad) {
          keys[i] = -1;
        }
      }
      for (int b = 0; b < batch; b++) {
        List<List<Integer>> ofKey = new ArrayList<>();
        for (int e = 0; e < keyCount; e++) {
          ofKey.add(new ArrayList<>());
        }
        for (int n = 0; n < count; n++) {
          inverse.setBits(b, n, -1);
          perm.setBits(b, n, -1);
          if (keys[b * count + n] >= 0) {
            ofKey.get((int) keys[b * count + n]).add(n);
          }
        }
        int place = 0;
        offsets.setBits(b, 0, 0);
        for (int e = 0; e < keyCount; e++) {
          for (int n : ofKey.get(e)) {
            inverse.setBits(b, n, place);
            perm.setBits(b, place++, n);
          }
          offsets.setBits(b, e + 1, place);
        }
      }
      List<Outcome.Output> outputs = new ArrayList<>(List.of(perm.output(), offsets.output()));
      if (inverted) {
        outputs.add(inverse.output());
      }
      return new Outcome(outputs, faults.lowest());
    }

    @Override
    public PreparedCase prepare(Device device, Stream stream, OperandMemory memory) {
      return new Prepared(this, device, stream, memory);
    }
  }

  private static final class Prepared extends PreparedCase {
    private final Partition plan;
    private final Partition.Operands operands;

    Prepared(Case of, Device device, Stream stream, OperandMemory memory) {
      super(stream, memory, false);
      plan = Partition.plan(device, of.spec);
      Buffer key = indices("key", DType.I32, of.spec.keyShape(of.batch), of.keys());
      Buffer perm = denseOutput("perm", DType.I32, of.spec.keyShape(of.batch));
      Buffer offsets = denseOutput("offsets", DType.I32, of.spec.offsetsShape(of.batch));
      Buffer inverse =
          of.inverted ? denseOutput("inverse", DType.I32, of.spec.keyShape(of.batch)) : null;
      long bytes = plan.workspaceBytes(of.batch);
      operands =
          new Partition.Operands(key, perm, offsets, inverse, bytes == 0 ? null : workspace(bytes));
    }

    @Override
    public void run() {
      plan.run(stream(), operands);
    }
  }

  /** A call that is right. */
  static List<MisuseCall> misuses() {
    return List.of(
        new MisuseCall(
            "partition",
            "Partition",
            MisuseCall.operands(
                "key",
                Operand.in(DType.I32, 2, 6),
                "perm",
                Operand.out(DType.I32, 2, 6),
                "offsets",
                Operand.out(DType.I32, 2, 301),
                "inverse",
                Operand.out(DType.I32, 2, 6).with(Missing.ALLOWED),
                "workspace",
                Operand.in(DType.U8, 4096).with(Missing.ALLOWED).ofAnyExtents()),
            device -> {
              var plan = Partition.plan(device, new Partition.Spec(6, 300, IndexPolicy.FAIL));
              return (stream, of) ->
                  plan.run(
                      stream,
                      new Partition.Operands(
                          of.get("key"),
                          of.get("perm"),
                          of.get("offsets"),
                          of.get("inverse"),
                          of.get("workspace")));
            }));
  }

  /** One digit and several, rows shorter and longer than a block, bad keys, no keys, no rows. */
  public static List<Case> small() {
    List<Case> cases = new ArrayList<>();
    for (int keys : new int[] {0, 1, 2, 7, 256, 257, 1000, 70_000}) {
      for (int count : new int[] {0, 1, 3, 33, 511, 1100}) {
        for (IndexPolicy policy : IndexPolicy.values()) {
          int n = cases.size();
          if (keys < 1000 || n % 3 == 0) {
            add(
                cases,
                new Partition.Spec(count, keys, policy),
                keys > 1000 ? 1 : n % 4,
                IndexDistribution.values()[n % IndexDistribution.values().length],
                n % 2 == 0 ? Set.of(Trait.BAD_IDS) : Set.of());
          }
        }
      }
    }
    for (IndexDistribution distribution : IndexDistribution.values()) {
      // More than 64 KiB, so that a CPU device shares the rows among its threads.
      add(cases, new Partition.Spec(2500, 300, IndexPolicy.FAIL), 5, distribution, Set.of());
    }
    return cases;
  }

  /** A random call. */
  static Case random(SplittableRandom random) {
    long keys = 1L << random.nextInt(12);
    return new Case(
        "random",
        new Partition.Spec(
            random.nextInt(700),
            keys - random.nextLong(keys + 1),
            IndexPolicy.values()[random.nextInt(IndexPolicy.values().length)]),
        random.nextInt(4),
        random.nextBoolean(),
        IndexDistribution.values()[random.nextInt(IndexDistribution.values().length)],
        random.nextBoolean() ? Set.of(Trait.BAD_IDS) : Set.of(),
        random.nextLong());
  }

  private static void add(
      List<Case> cases,
      Partition.Spec spec,
      int batch,
      IndexDistribution distribution,
      Set<Trait> traits) {
    int n = cases.size();
    cases.add(new Case("small-" + n, spec, batch, n % 3 != 0, distribution, traits, n));
  }
}
