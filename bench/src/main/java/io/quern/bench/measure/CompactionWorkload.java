package io.quern.bench.measure;

import io.quern.Buffer;
import io.quern.DType;
import io.quern.Shape;
import io.quern.op.KvCompaction;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SegmentAllocator;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;
import java.util.function.IntConsumer;
import java.util.stream.Stream;

/** Accepted rows of a contiguous cache of all layers, keys and values, to behind the committed. */
final class CompactionWorkload {
  private static final String OPERATOR = "kv_compaction";
  private static final int LAYERS = 32;
  private static final int HEADS = 8;
  private static final int DIM = 128;
  private static final int ROWS = 1152;

  /** Nodes of a tree of 64 that are accepted behind the root; none is where it has to go. */
  private static final int[] PATH = {0, 3, 9, 21, 40, 63};

  private final boolean inOne;
  private final List<int[]> lengths = new ArrayList<>();
  private final MemorySegment cache;
  private final Workload workload;
  private final MemorySegment newLengths;
  private final MemorySegment status;

  /**
   * @param inOne whether all layers are one buffer, or each one's keys and values are
   */
  private CompactionWorkload(SegmentAllocator memory, boolean inOne) {
    this.inOne = inOne;
    for (int set = 0; set < TimedCase.SETS; set++) {
      lengths.add(new int[] {set * (PATH[PATH.length - 1] + 5)});
    }
    Shape shape = Shape.of(2 * LAYERS, 1, HEADS, ROWS, DIM);
    MemorySegment before = memory.allocate(shape.size() * DType.F16.byteSize(), 64);
    SplittableRandom random = new SplittableRandom(1);
    for (long i = 0; i < before.byteSize() / Long.BYTES; i++) {
      before.setAtIndex(ValueLayout.JAVA_LONG, i, random.nextLong());
    }
    workload =
        new Workload(memory, OPERATOR, inOne ? "one buffer" : "a buffer a layer")
            .with("rows", PATH.length - 1)
            .with("layers", LAYERS)
            .with("heads", HEADS)
            .with("dim", DIM)
            .with("dtype", DType.F16.name())
            .bytes(2L * (PATH.length - 1) * 2 * LAYERS * HEADS * DIM * DType.F16.byteSize())
            .input(
                "path",
                DType.I32,
                Shape.of(1, PATH.length),
                CaseInputs.place(memory, List.of(PATH)))
            .input(
                "counts",
                DType.I32,
                Shape.of(1),
                CaseInputs.place(memory, List.of(new int[] {PATH.length - 1})))
            .input("lengths", DType.I32, Shape.of(1), CaseInputs.place(memory, lengths));
    cache = workload.output("cache", DType.F16, shape, before);
    newLengths = workload.output("newLengths", DType.I32, Shape.of(1));
    status = workload.output("status", DType.I32, Shape.of(1));
    workload
        .loop("java-segment", this::loop)
        .runs(this::onDevice)
        .peer(Peer.torch("kv_compact", "cache", "path", "lengths").returning("newLengths"));
  }

  /** Five rows of 32 layers. */
  static Stream<TimedCase> cases() {
    String shape = "f16-rows5-layers32-heads8-d128";
    return Stream.of(
        TimedCase.of(
                OPERATOR,
                shape + "-one-buffer",
                memory -> new CompactionWorkload(memory, true).workload)
            .quickly(true),
        TimedCase.of(
            OPERATOR,
            shape + "-64-buffers",
            memory -> new CompactionWorkload(memory, false).workload));
  }

  private void loop(int set) {
    int length = lengths.get(set)[0];
    for (long plane = 0; plane < 2 * LAYERS * HEADS; plane++) {
      for (int j = 1; j < PATH.length; j++) {
        long from = (plane * ROWS + length + PATH[j]) * DIM;
        long to = (plane * ROWS + length + j) * DIM;
        for (int d = 0; d < DIM; d++) {
          cache.setAtIndex(
              ValueLayout.JAVA_SHORT, to + d, cache.getAtIndex(ValueLayout.JAVA_SHORT, from + d));
        }
      }
    }
    newLengths.setAtIndex(ValueLayout.JAVA_INT, 0, length + PATH.length);
    status.setAtIndex(ValueLayout.JAVA_INT, 0, 0);
  }

  private IntConsumer onDevice(Placement place) {
    KvCompaction plan =
        KvCompaction.plan(place.device(), KvCompaction.Spec.contiguous(DType.F16, HEADS, DIM));
    Buffer all = place.output("cache");
    List<Buffer> caches = new ArrayList<>();
    Shape layer = Shape.of(1, HEADS, ROWS, DIM);
    for (int i = 0; i < 2 * LAYERS && !inOne; i++) {
      caches.add(all.view(i * layer.size(), layer, DIM));
    }
    List<KvCompaction.Operands> operands =
        place.inputs("lengths").stream()
            .map(
                set ->
                    KvCompaction.Operands.contiguous(
                        inOne ? List.of(all) : caches,
                        place.input("path"),
                        place.input("counts"),
                        set,
                        place.output("newLengths"),
                        place.output("status")))
            .toList();
    return set -> plan.run(place.stream(), operands.get(set));
  }
}
