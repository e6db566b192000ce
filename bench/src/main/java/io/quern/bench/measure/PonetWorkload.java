package io.quern.bench.measure;

import io.quern.DType;
import io.quern.Shape;
import io.quern.op.PonetPooling;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SegmentAllocator;
import java.lang.foreign.ValueLayout;
import java.util.SplittableRandom;
import java.util.function.IntConsumer;
import java.util.stream.IntStream;
import java.util.stream.Stream;

/** PoNet's pooling of projected inputs of the published base size, beside libtorch in two forms. */
final class PonetWorkload {
  private static final String OPERATOR = "ponet_pooling";
  private static final int HEADS = 12;
  private static final int HEAD_DIM = 64;
  private static final int COLUMNS = HEADS * HEAD_DIM;

  /** Tokens of a segment: about a sentence. */
  private static final int SEGMENT = 31;

  private final PonetPooling.Spec spec = PonetPooling.Spec.of(DType.F32, HEADS, HEAD_DIM);
  private final int sequences;
  private final int tokens;
  private final Workload workload;

  private PonetWorkload(SegmentAllocator memory, int length, int sequences) {
    this.sequences = sequences;
    this.tokens = sequences * length;
    workload =
        new Workload(memory, OPERATOR, "%d x %d x %d".formatted(sequences, length, COLUMNS))
            .with("length", length)
            .with("batch", sequences)
            .with("heads", HEADS)
            .with("head_dim", HEAD_DIM)
            .with("segment", SEGMENT)
            .bytes(6L * tokens * COLUMNS * Float.BYTES);
    SplittableRandom random = new SplittableRandom(length);
    for (String name : new String[] {"q", "k", "o", "local", "segment"}) {
      MemorySegment rows = memory.allocate((long) tokens * COLUMNS * Float.BYTES, 64);
      for (long i = 0; i < (long) tokens * COLUMNS; i++) {
        rows.setAtIndex(ValueLayout.JAVA_FLOAT, i, (float) random.nextGaussian());
      }
      workload.input(name, DType.F32, spec.rowsShape(tokens), rows);
    }
    int perSequence = Math.ceilDiv(length, SEGMENT);
    workload
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
        .peer(peer("ponet_literal", "ids"))
        .peer(peer("ponet_tuned", "lengths"));
  }

  private Peer peer(String program, String segments) {
    return Peer.torch(
            program, "q", "k", "o", "local", "segment", segments, (long) sequences, (long) HEADS)
        .returning("out")
        .within(1e-4, 1e-4);
  }

  /** Lengths from short to long, alone and in a batch. */
  static Stream<TimedCase> cases() {
    return IntStream.of(512, 1024, 2048, 4096, 16384)
        .boxed()
        .flatMap(
            length ->
                IntStream.of(1, 8)
                    .mapToObj(
                        sequences ->
                            TimedCase.of(
                                    OPERATOR,
                                    "ponet-l%d-b%d".formatted(length, sequences),
                                    memory -> new PonetWorkload(memory, length, sequences).workload)
                                .quickly(sequences == 1 && length == 4096)));
  }

  private IntConsumer onDevice(Placement place) {
    PonetPooling plan = PonetPooling.plan(place.device(), spec);
    long bytes = plan.workspaceBytes(sequences, tokens);
    var operands =
        PonetPooling.Operands.of(
            place.input("q"),
            place.input("k"),
            place.input("o"),
            place.input("local"),
            place.input("segment"),
            place.input("offsets"),
            place.input("ids"),
            place.output("out"),
            place.scratch(DType.U8, Shape.of(bytes)));
    return set -> plan.run(place.stream(), operands);
  }
}
