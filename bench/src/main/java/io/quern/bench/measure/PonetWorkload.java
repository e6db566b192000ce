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
  private static final String ATTENTION = "softmax_attention";
  private static final int HEADS = 12;
  private static final int HEAD_DIM = 64;
  private static final int COLUMNS = HEADS * HEAD_DIM;

  /** Tokens of a segment: about a sentence. */
  private static final int SEGMENT = 31;

  /** From here on pooling is timed alone, to see that its cost grows with the length only. */
  private static final int LONGEST_OF_PEERS = 16384;

  /** The longest sequence for which softmax attention is timed: its cost grows with the square. */
  private static final int LONGEST_OF_ATTENTION = 8192;

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
      workload.input(
          name,
          DType.F32,
          spec.rowsShape(tokens),
          normal(memory, random, spec.rowsShape(tokens).size()));
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
    workload.runs(this::onDevice);
    if (length <= LONGEST_OF_PEERS) {
      workload.peer(peer("ponet_literal", "ids")).peer(peer("ponet_tuned", "lengths"));
    }
  }

  private Peer peer(String program, String segments) {
    return Peer.torch(
            program, "q", "k", "o", "local", "segment", segments, (long) sequences, (long) HEADS)
        .returning("out")
        .within(1e-4, 1e-4);
  }

  /** Lengths from short to long, alone and in a batch; attention, which pooling replaces. */
  static Stream<TimedCase> cases() {
    Stream<TimedCase> longer =
        IntStream.of(32768, 65536, 131072)
            .mapToObj(
                length ->
                    TimedCase.of(
                        OPERATOR,
                        "ponet-l%d-b1".formatted(length),
                        memory -> new PonetWorkload(memory, length, 1).workload));
    Stream<TimedCase> attention =
        IntStream.iterate(512, length -> length <= LONGEST_OF_ATTENTION, length -> 2 * length)
            .mapToObj(
                length ->
                    TimedCase.of(
                            ATTENTION,
                            "attention-l%d-b1".formatted(length),
                            memory -> attention(memory, length))
                        .quickly(length == 512));
    return Stream.of(pooling(), longer, attention).flatMap(cases -> cases);
  }

  /** Softmax attention of as many tokens, heads and columns by libtorch. */
  private static Workload attention(SegmentAllocator memory, int length) {
    Workload workload =
        new Workload(memory, ATTENTION, "%d x %d x %d".formatted(1, length, COLUMNS))
            .with("length", length)
            .with("batch", 1)
            .with("heads", HEADS)
            .with("head_dim", HEAD_DIM)
            .bytes(4L * length * COLUMNS * Float.BYTES)
            .flops(4L * length * length * COLUMNS);
    SplittableRandom random = new SplittableRandom(length);
    Shape shape = Shape.of(length, COLUMNS);
    for (String name : new String[] {"q", "k", "v"}) {
      workload.input(name, DType.F32, shape, normal(memory, random, shape.size()));
    }
    workload.output("out", DType.F32, shape);
    return workload.peer(
        Peer.torch("softmax_attention", "q", "k", "v", 1L, (long) HEADS).returning("out"));
  }

  private static MemorySegment normal(
      SegmentAllocator memory, SplittableRandom random, long count) {
    MemorySegment values = memory.allocate(count * Float.BYTES, 64);
    for (long i = 0; i < count; i++) {
      values.setAtIndex(ValueLayout.JAVA_FLOAT, i, (float) random.nextGaussian());
    }
    return values;
  }

  private static Stream<TimedCase> pooling() {
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
