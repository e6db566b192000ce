package io.quern.bench.measure;

import io.quern.DType;
import io.quern.Shape;
import io.quern.op.PonetMixer;
import io.quern.op.PonetPooling;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SegmentAllocator;
import java.lang.foreign.ValueLayout;
import java.util.SplittableRandom;
import java.util.function.IntConsumer;
import java.util.stream.IntStream;
import java.util.stream.Stream;

/**
 * PoNet's mixer from rows that are not projected yet, beside libtorch with all five projections.
 */
final class PonetMixerWorkload {
  private static final String OPERATOR = "ponet_mixer";
  private static final int HEADS = 12;
  private static final int HEAD_DIM = 64;
  private static final int COLUMNS = HEADS * HEAD_DIM;
  private static final int SEGMENT = 31;

  private final PonetPooling.Spec spec = PonetPooling.Spec.of(DType.F32, HEADS, HEAD_DIM);
  private final int sequences;
  private final int tokens;
  private final Workload workload;

  private PonetMixerWorkload(SegmentAllocator memory, int length, int sequences) {
    this.sequences = sequences;
    this.tokens = sequences * length;
    int perSequence = Math.ceilDiv(length, SEGMENT);
    SplittableRandom random = new SplittableRandom(length);
    workload =
        new Workload(memory, OPERATOR, "%d x %d x %d".formatted(sequences, length, COLUMNS))
            .with("length", length)
            .with("batch", sequences)
            .with("heads", HEADS)
            .with("head_dim", HEAD_DIM)
            .with("segment", SEGMENT)
            .bytes(2L * tokens * COLUMNS * Float.BYTES)
            .flops(3L * 2 * tokens * COLUMNS * COLUMNS)
            .input("x", DType.F32, spec.rowsShape(tokens), normal(memory, random, tokens, 1))
            .input(
                "weight",
                DType.F32,
                Shape.of(5L * COLUMNS, COLUMNS),
                normal(memory, random, 5 * COLUMNS, 1 / Math.sqrt(COLUMNS)))
            .input("bias", DType.F32, Shape.of(5L * COLUMNS), normal(memory, random, 5, 0.1))
            .input(
                "offsets",
                DType.I32,
                Shape.of(sequences + 1),
                memory.allocateFrom(
                    ValueLayout.JAVA_INT,
                    IntStream.rangeClosed(0, sequences).map(s -> s * length).toArray()))
            .input(
                "ids",
                DType.I32,
                Shape.of(tokens),
                memory.allocateFrom(
                    ValueLayout.JAVA_INT,
                    IntStream.range(0, tokens).map(t -> t % length / SEGMENT).toArray()))
            .input(
                "lengths",
                DType.I64,
                Shape.of((long) sequences * perSequence),
                memory.allocateFrom(
                    ValueLayout.JAVA_LONG,
                    IntStream.range(0, sequences * perSequence)
                        .map(i -> Math.min(SEGMENT, length - i % perSequence * SEGMENT))
                        .asLongStream()
                        .toArray()));
    workload.output("out", DType.F32, spec.rowsShape(tokens));
    workload
        .runs(this::onDevice)
        .peer(peer("mixer_literal", "ids"))
        .peer(peer("mixer_tuned", "lengths"));
  }

  private Peer peer(String program, String segments) {
    return Peer.torch(program, "x", "weight", "bias", segments, (long) sequences, (long) HEADS)
        .returning("out")
        .within(1e-4, 1e-4);
  }

  private static MemorySegment normal(
      SegmentAllocator memory, SplittableRandom random, long rows, double scale) {
    MemorySegment values = memory.allocate(rows * COLUMNS * Float.BYTES, 64);
    for (long i = 0; i < rows * COLUMNS; i++) {
      values.setAtIndex(ValueLayout.JAVA_FLOAT, i, (float) (scale * random.nextGaussian()));
    }
    return values;
  }

  /** Lengths from short to long, alone and in a batch. */
  static Stream<TimedCase> cases() {
    return IntStream.of(512, 4096)
        .boxed()
        .flatMap(
            length ->
                IntStream.of(1, 8)
                    .mapToObj(
                        sequences ->
                            TimedCase.of(
                                    OPERATOR,
                                    "mixer-l%d-b%d".formatted(length, sequences),
                                    memory ->
                                        new PonetMixerWorkload(memory, length, sequences).workload)
                                .quickly(sequences == 1 && length == 512)));
  }

  private IntConsumer onDevice(Placement place) {
    PonetMixer plan = PonetMixer.plan(place.device(), spec);
    var operands =
        new PonetMixer.Operands(
            place.input("x"),
            place.input("weight"),
            place.input("bias"),
            place.input("offsets"),
            place.input("ids"),
            null,
            null,
            place.output("out"),
            null,
            place.scratch(DType.U8, Shape.of(plan.workspaceBytes(sequences, tokens))));
    return set -> plan.run(place.stream(), operands);
  }
}
