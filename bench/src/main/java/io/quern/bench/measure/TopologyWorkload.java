package io.quern.bench.measure;

import io.quern.DType;
import io.quern.Shape;
import io.quern.op.TreeMask;
import io.quern.op.TreeMaskFormat;
import io.quern.op.TreeOutputs;
import io.quern.op.TreeTopology;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SegmentAllocator;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;
import java.util.function.IntConsumer;
import java.util.stream.IntStream;
import java.util.stream.Stream;

/**
 * Depths, positions, links and ancestor bits of 64 trees of 64 nodes, and FlashInfer's packed mask
 * of the trees alone.
 */
final class TopologyWorkload {
  private static final String OPERATOR = "tree_topology";
  private static final int TREES = 64;
  private static final int NODES = 64;
  private static final ValueLayout.OfInt INT = ValueLayout.JAVA_INT;

  private final List<int[]> parents = new ArrayList<>();
  private final Workload workload;
  private final MemorySegment depth;
  private final MemorySegment positions;
  private final MemorySegment firstChild;
  private final MemorySegment nextSibling;
  private final MemorySegment bits;
  private final MemorySegment status;
  private final MemorySegment mask;
  private final MemorySegment maskStatus;

  private TopologyWorkload(SegmentAllocator memory) {
    for (int set = 0; set < TimedCase.SETS; set++) {
      SplittableRandom random = new SplittableRandom(set);
      parents.add(
          IntStream.range(0, TREES * NODES)
              .map(i -> i % NODES == 0 ? -1 : random.nextInt(i % NODES))
              .toArray());
    }
    int[] offsets = IntStream.rangeClosed(0, TREES).map(b -> b * NODES).toArray();
    Shape nodes = Shape.of(TREES * NODES);
    workload =
        new Workload(memory, OPERATOR, "64 trees of 64 nodes, links, bits, packed mask")
            .with("trees", TREES)
            .with("nodes", NODES)
            .input("parent", DType.I32, nodes, CaseInputs.place(memory, parents))
            .input(
                "offsets",
                DType.I32,
                Shape.of(TREES + 1),
                CaseInputs.place(memory, List.of(offsets)));
    depth = workload.output("depth", DType.I32, nodes);
    positions = workload.output("positions", DType.I32, nodes);
    firstChild = workload.output("firstChild", DType.I32, nodes);
    nextSibling = workload.output("nextSibling", DType.I32, nodes);
    bits = workload.output("bits", DType.U64, Shape.of(TREES * NODES, 1));
    status = workload.output("status", DType.I32, Shape.of(TREES));
    mask = workload.output("mask", DType.U8, Shape.of(TREES * NODES * NODES / Byte.SIZE));
    maskStatus = workload.output("maskStatus", DType.I32, Shape.of(TREES));
    workload
        .bytes(
            nodes.size() * Integer.BYTES
                + workload.outputs().values().stream()
                    .mapToLong(out -> out.memory().byteSize())
                    .sum())
        .loop("java-segment", this::loop)
        .runs(this::onDevice);
  }

  static Stream<TimedCase> cases() {
    return Stream.of(
        TimedCase.of(
                OPERATOR,
                "b64-n64-links-bits-packed",
                memory -> new TopologyWorkload(memory).workload)
            .quickly(true));
  }

  /** Output by output, as one would write them down: depths and bits up to the root, links. */
  private void loop(int set) {
    int[] parent = parents.get(set);
    for (int b = 0; b < TREES; b++) {
      int first = b * NODES;
      for (int i = 0; i < NODES; i++) {
        int steps = 0;
        long seen = 0;
        for (int node = i; node >= 0; node = parent[first + node]) {
          seen |= 1L << node;
          steps++;
        }
        depth.setAtIndex(INT, first + i, steps - 1);
        positions.setAtIndex(INT, first + i, steps - 1);
        bits.setAtIndex(ValueLayout.JAVA_LONG, first + i, seen);
        int child = -1;
        int sibling = -1;
        for (int j = NODES - 1; j > i; j--) {
          if (parent[first + j] == i) {
            child = j;
          }
          if (parent[first + j] == parent[first + i]) {
            sibling = j;
          }
        }
        firstChild.setAtIndex(INT, first + i, child);
        nextSibling.setAtIndex(INT, first + i, sibling);
        for (int at = 0; at < NODES; at += Byte.SIZE) {
          int packed = 0;
          for (int bit = 0; bit < Byte.SIZE; bit++) {
            packed |= (int) (seen >> at + bit & 1) << bit;
          }
          mask.set(
              ValueLayout.JAVA_BYTE, ((long) (first + i) * NODES + at) / Byte.SIZE, (byte) packed);
        }
      }
      status.setAtIndex(INT, b, 0);
      maskStatus.setAtIndex(INT, b, 0);
    }
  }

  private IntConsumer onDevice(Placement place) {
    TreeTopology topology = TreeTopology.plan(place.device(), TreeTopology.Spec.DEFAULT);
    TreeMask packed =
        TreeMask.plan(place.device(), TreeMask.Spec.of(TreeMaskFormat.PACKED, DType.U8));
    TreeOutputs outputs =
        TreeOutputs.of(place.output("status"))
            .withBits(place.output("bits"))
            .withDepth(place.output("depth"))
            .withPositions(place.output("positions"))
            .withLinks(place.output("firstChild"), place.output("nextSibling"));
    List<TreeTopology.Operands> operands =
        place.inputs("parent").stream()
            .map(set -> TreeTopology.Operands.of(set, place.input("offsets"), outputs))
            .toList();
    List<TreeMask.Operands> masks =
        place.inputs("parent").stream()
            .map(
                set ->
                    TreeMask.Operands.of(
                        set,
                        place.input("offsets"),
                        place.output("mask"),
                        place.output("maskStatus")))
            .toList();
    return set -> {
      topology.run(place.stream(), operands.get(set));
      packed.run(place.stream(), masks.get(set));
    };
  }
}
