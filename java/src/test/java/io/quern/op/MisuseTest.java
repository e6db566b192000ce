package io.quern.op;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.DynamicTest.dynamicTest;

import io.quern.Backend;
import io.quern.Buffer;
import io.quern.CpuDevice;
import io.quern.CudaDevice;
import io.quern.DType;
import io.quern.Device;
import io.quern.DeviceBuffer;
import io.quern.HostBuffer;
import io.quern.Shape;
import io.quern.Stream;
import io.quern.op.MisuseCall.Operand;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.BiFunction;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * Every operand of every call, wrong in every way: the right exception says what, and nothing is
 * written.
 */
class MisuseTest {
  private static final long DIM = 4;
  private static final long VOCAB = 5;
  private static final long ROWS = 3;
  private static final long IDS = 6;
  private static final int ALIGNMENT = 16;

  /** A device whose memory a CPU cannot use, or null. */
  private static final DeviceUnderTest OTHER_KIND =
      DeviceUnderTest.backends().stream()
          .filter(under -> under.parallelism() == 0 && under.isAvailable())
          .findFirst()
          .orElse(null);

  private static final Operand WEIGHTS = Operand.in(DType.F32, IDS).with(MisuseCall.Missing.NEEDED);

  /** How a call is made wrong, and what then has to be thrown with which words in its message. */
  private record Misuse(
      String name, Spoil spoil, Class<? extends Exception> thrown, List<String> words) {
    Misuse(String name, Spoil spoil, Class<? extends Exception> thrown, String... words) {
      this(name, spoil, thrown, List.of(words));
    }
  }

  private interface Spoil {
    void in(Setting setting);
  }

  /** The calls of all operators. */
  private static List<MisuseCall> calls() {
    List<MisuseCall> calls = new ArrayList<>();
    calls.addAll(embeddings());
    calls.addAll(ScatterRowsCases.misuses());
    calls.addAll(KvCompactionCases.misuses());
    calls.addAll(TreeVerifyCases.misuseCalls());
    calls.addAll(TreeTopologyCases.misuses());
    calls.addAll(TreeMaskCases.misuses());
    calls.addAll(DynamicTreeCases.misuses());
    calls.addAll(TreeFromMaskCases.misuses());
    calls.addAll(rows());
    calls.addAll(RejectionVerifyCases.misuses());
    calls.addAll(SeededCoinsCases.misuses());
    calls.addAll(PackBitsCases.misuses());
    calls.addAll(AdjacencyFillCases.misuses());
    calls.addAll(SegmentReduceCases.misuses());
    calls.addAll(SegmentBroadcastCases.misuses());
    calls.addAll(SegmentMaxCases.misuses());
    calls.addAll(WindowPoolCases.misuses());
    calls.addAll(MergingMisuse.calls());
    calls.addAll(PartitionCases.misuses());
    calls.addAll(SourceMapCases.misuses());
    calls.addAll(DeleteGateCases.misuses());
    return calls;
  }

  private static List<MisuseCall> embeddings() {
    Operand table = Operand.in(DType.F32, VOCAB, DIM);
    Operand fallback = Operand.in(DType.F32, ROWS, DIM).with(MisuseCall.Missing.NEEDED);
    Operand out = Operand.out(DType.F32, ROWS, DIM);
    Operand half = Operand.out(DType.F16, ROWS, DIM);
    Operand perRow = Operand.in(DType.I32, ROWS);
    Operand longPerRow = Operand.in(DType.I64, ROWS);
    Operand tablePerBag = perRow.with(MisuseCall.Missing.NEEDED);
    Operand ids = Operand.in(DType.I32, IDS);
    Operand anyLongIds = Operand.in(DType.I64, IDS).ofAnyExtents();
    Operand offsets = Operand.in(DType.I32, ROWS + 1);
    Operand longOffsets = Operand.in(DType.I64, ROWS + 1);
    return List.of(
        new MisuseCall(
            "gather",
            "EmbeddingGather",
            MisuseCall.operands("table", table, "ids", perRow, "out", out),
            device -> {
              var plan =
                  EmbeddingGather.plan(
                      device, EmbeddingGather.Spec.of(DType.F32, VOCAB, DIM, IndexPolicy.FAIL));
              return (stream, of) ->
                  plan.run(stream, of.get("table"), of.get("ids"), of.get("out"));
            }),
        new MisuseCall(
            "gather from tables",
            "EmbeddingGather",
            MisuseCall.operands("table", table, "ids", longPerRow, "tableIds", perRow, "out", half),
            device -> {
              var plan =
                  EmbeddingGather.plan(
                      device,
                      EmbeddingGather.Spec.of(DType.F32, VOCAB, DIM, IndexPolicy.FAIL)
                          .withIds(DType.I64)
                          .withOut(DType.F16)
                          .withTables(List.of(VOCAB, VOCAB)));
              return (stream, of) ->
                  plan.run(
                      stream,
                      Arrays.asList(of.get("table"), of.get("table")),
                      of.get("ids"),
                      of.get("tableIds"),
                      of.get("out"));
            }),
        new MisuseCall(
            "bag",
            "EmbeddingBag",
            MisuseCall.operands(
                "table",
                table,
                "ids",
                ids,
                "offsets",
                longOffsets,
                "weights",
                WEIGHTS,
                "fallback",
                fallback,
                "out",
                half),
            device -> {
              var plan =
                  EmbeddingBag.plan(
                      device,
                      EmbeddingBag.Spec.of(
                              DType.F32, VOCAB, DIM, Combine.WEIGHTED_MEAN, IndexPolicy.FAIL)
                          .withIndices(DType.I32, DType.I64)
                          .withOut(DType.F16)
                          .withEmpty(EmptyBagPolicy.FALLBACK));
              return (stream, of) ->
                  plan.run(
                      stream,
                      new EmbeddingBag.Operands(
                          Arrays.asList(of.get("table")),
                          of.get("ids"),
                          of.get("offsets"),
                          null,
                          of.get("weights"),
                          of.get("fallback"),
                          of.get("out")));
            }),
        new MisuseCall(
            "bag from tables",
            "EmbeddingBag",
            MisuseCall.operands(
                "table",
                table,
                "ids",
                anyLongIds,
                "offsets",
                offsets,
                "tableIds",
                tablePerBag,
                "out",
                out),
            device -> {
              var plan =
                  EmbeddingBag.plan(
                      device,
                      EmbeddingBag.Spec.of(DType.F32, VOCAB, DIM, Combine.MAX, IndexPolicy.FAIL)
                          .withIndices(DType.I64, DType.I32)
                          .withTables(List.of(VOCAB, VOCAB)));
              return (stream, of) ->
                  plan.run(
                      stream,
                      new EmbeddingBag.Operands(
                          Arrays.asList(of.get("table"), of.get("table")),
                          of.get("ids"),
                          of.get("offsets"),
                          of.get("tableIds"),
                          of.get("weights"),
                          of.get("fallback"),
                          of.get("out")));
            }));
  }

  private static List<MisuseCall> rows() {
    Operand x = Operand.in(DType.BF16, ROWS, DIM);
    Operand kept = Operand.out(DType.F32, ROWS, 2);
    Operand optional = kept.with(MisuseCall.Missing.ALLOWED);
    Operand indices = Operand.out(DType.I32, ROWS, 2);
    Operand needed = Operand.in(DType.I64, ROWS).with(MisuseCall.Missing.NEEDED);
    Operand lists = Operand.in(DType.F32, ROWS * 2, DIM);
    Operand beams = Operand.in(DType.F32, ROWS, 2);
    return List.of(
        new MisuseCall(
            "top-k",
            "TopK",
            MisuseCall.operands("x", x, "values", optional, "indices", indices),
            device -> {
              var plan = TopK.plan(device, new TopK.Spec(DType.BF16, DIM, 2));
              return (stream, of) ->
                  plan.run(stream, of.get("x"), of.get("values"), of.get("indices"));
            }),
        new MisuseCall(
            "sample",
            "SampleRows",
            MisuseCall.operands(
                "x",
                x,
                "uniforms",
                Operand.in(DType.F32, ROWS, DIM).with(MisuseCall.Missing.NEEDED),
                "scores",
                optional,
                "values",
                optional,
                "indices",
                indices),
            device -> {
              var plan = SampleRows.plan(device, SampleRows.Spec.of(DType.BF16, DIM, 2));
              return (stream, of) ->
                  plan.run(
                      stream,
                      SampleRows.Operands.of(of.get("x"), of.get("uniforms"), of.get("indices"))
                          .with(of.get("scores"), of.get("values")));
            }),
        new MisuseCall(
            "sample by seeds",
            "SampleRows",
            MisuseCall.operands("x", x, "seeds", needed, "positions", needed, "indices", indices),
            device -> {
              var plan = SampleRows.plan(device, SampleRows.Spec.of(DType.BF16, DIM, 2));
              return (stream, of) ->
                  plan.run(
                      stream,
                      SampleRows.Operands.seeded(
                          of.get("x"), of.get("seeds"), of.get("positions"), of.get("indices")));
            }),
        new MisuseCall(
            "beams",
            "BeamExpand",
            MisuseCall.operands(
                "tokens",
                lists.with(DType.I32),
                "inputs",
                lists,
                "bias",
                lists.with(MisuseCall.Missing.ALLOWED),
                "scores",
                beams,
                "outParents",
                indices,
                "outTokens",
                indices,
                "outScores",
                kept,
                "outWeights",
                optional),
            device -> {
              var plan =
                  BeamExpand.plan(device, BeamExpand.Spec.of(BeamExpand.Mode.SUM, 2, (int) DIM, 2));
              return (stream, of) ->
                  plan.run(
                      stream,
                      BeamExpand.Operands.sum(
                              of.get("tokens"),
                              of.get("inputs"),
                              of.get("scores"),
                              of.get("outParents"),
                              of.get("outTokens"),
                              of.get("outScores"))
                          .with(of.get("bias"), of.get("outWeights")));
            }),
        new MisuseCall(
            "stochastic beams",
            "BeamExpand",
            MisuseCall.operands(
                "tokens",
                lists.with(DType.I32),
                "inputs",
                lists,
                "noisy",
                lists.with(MisuseCall.Missing.NEEDED),
                "scores",
                beams,
                "perturbed",
                beams.with(MisuseCall.Missing.NEEDED),
                "outParents",
                indices,
                "outTokens",
                indices,
                "outScores",
                kept,
                "outPerturbed",
                kept.with(MisuseCall.Missing.NEEDED)),
            device -> {
              var plan =
                  BeamExpand.plan(
                      device, BeamExpand.Spec.of(BeamExpand.Mode.STOCHASTIC, 2, (int) DIM, 2));
              return (stream, of) ->
                  plan.run(
                      stream,
                      BeamExpand.Operands.sum(
                              of.get("tokens"),
                              of.get("inputs"),
                              of.get("scores"),
                              of.get("outParents"),
                              of.get("outTokens"),
                              of.get("outScores"))
                          .withNoise(of.get("noisy"), of.get("perturbed"), of.get("outPerturbed")));
            }));
  }

  /**
   * A call set up on a device: operands of zeros, which are valid ids and offsets, and poisoned
   * outputs.
   */
  private static final class Setting implements AutoCloseable {
    final MisuseCall call;
    final Device device;
    final MisuseCall.Runner runner;
    final Map<String, Buffer> operands = new LinkedHashMap<>();
    private final Map<String, Buffer> outputs = new LinkedHashMap<>();
    final Arena arena = Arena.ofShared();
    private final List<AutoCloseable> opened = new ArrayList<>();
    private final Stream own;
    Stream stream;

    Setting(MisuseCall call, DeviceUnderTest under) {
      this.call = call;
      this.device = under.open();
      this.own = device.openStream();
      this.stream = own;
      this.runner = call.plan().on(device);
      call.operands().forEach((name, operand) -> operands.put(name, allocate(operand)));
      call.operands()
          .forEach(
              (name, operand) -> {
                if (operand.output()) {
                  Buffer out = operands.get(name);
                  out.copyFrom(MemorySegment.ofArray(PreparedCase.poison(operand.bytes())), stream);
                  outputs.put(name, out);
                }
              });
    }

    /** The only output of a call that has one. */
    Buffer out() {
      return outputs.get("out");
    }

    /** Whether no output has been written. */
    boolean isUntouched() {
      try (Stream reading = device.openStream()) {
        return outputs.entrySet().stream()
            .allMatch(
                each -> {
                  byte[] poison = PreparedCase.poison(call.operands().get(each.getKey()).bytes());
                  byte[] now = new byte[poison.length];
                  each.getValue().copyTo(MemorySegment.ofArray(now), reading);
                  return Arrays.equals(poison, now);
                });
      }
    }

    Buffer allocate(Operand operand) {
      Buffer buffer = device.allocate(operand.dtype(), operand.shape());
      opened.add(buffer);
      buffer.copyFrom(MemorySegment.ofArray(new byte[(int) operand.bytes()]), stream);
      return buffer;
    }

    <R extends AutoCloseable> R keep(R resource) {
      opened.add(resource);
      return resource;
    }

    /** Memory that can be seen as buffers of any dtype, at byte offsets. */
    BiFunction<Operand, Long, Buffer> memory(long bytes) {
      if (device instanceof CudaDevice cuda) {
        DeviceBuffer base = keep(cuda.allocate(DType.U8, Shape.of(bytes)));
        base.copyFrom(MemorySegment.ofArray(new byte[(int) bytes]), stream);
        return (operand, at) ->
            DeviceBuffer.wrap(cuda, base.address() + at, operand.dtype(), operand.shape());
      }
      MemorySegment base = arena.allocate(bytes, ALIGNMENT);
      return (operand, at) ->
          HostBuffer.wrap(base.asSlice(at, operand.bytes()), operand.dtype(), operand.shape());
    }

    /** Host memory for a GPU, GPU memory for a CPU. */
    Buffer foreign(Operand operand) {
      return device instanceof CudaDevice
          ? HostBuffer.wrap(
              arena.allocate(operand.bytes(), ALIGNMENT), operand.dtype(), operand.shape())
          : keep(keep(OTHER_KIND.open()).allocate(operand.dtype(), operand.shape()));
    }

    void run() {
      runner.run(stream, operands);
    }

    @Override
    public void close() throws Exception {
      for (AutoCloseable resource : opened.reversed()) {
        resource.close();
      }
      own.close();
      assertEquals(0, device.allocatedBytes());
      device.close();
      arena.close();
    }
  }

  private static List<Misuse> misuses(MisuseCall call) {
    List<Misuse> misuses = new ArrayList<>();
    call.operands().forEach((name, operand) -> ofOperand(misuses, call, name, operand));
    misuses.add(
        new Misuse(
            "closed stream", in -> in.stream.close(), IllegalStateException.class, "closed"));
    misuses.add(
        new Misuse(
            "null stream", in -> in.stream = null, NullPointerException.class, "stream is null"));
    misuses.add(
        new Misuse(
            "stream of another device",
            in -> in.stream = in.keep(in.keep(CpuDevice.open(Backend.SCALAR, 3)).openStream()),
            IllegalArgumentException.class,
            call.op(),
            "stream",
            "expected",
            "parallelism 3"));
    if (call.name().equals("bag from tables")) {
      misuses.add(
          new Misuse(
              "weights where none belong",
              in -> in.operands.put("weights", in.allocate(WEIGHTS)),
              IllegalArgumentException.class,
              call.op(),
              "weights given",
              "expected none with MAX"));
      misuses.add(
          new Misuse(
              "a fallback where none belongs",
              in -> in.operands.put("fallback", in.allocate(call.operands().get("out"))),
              IllegalArgumentException.class,
              call.op(),
              "fallback is",
              "expected none with ZERO"));
    }
    return misuses;
  }

  private static void ofOperand(
      List<Misuse> misuses, MisuseCall call, String name, Operand operand) {
    if (operand.missing() != MisuseCall.Missing.ALLOWED) {
      misuses.add(
          new Misuse(
              "null " + name,
              in -> in.operands.put(name, null),
              operand.missing() == MisuseCall.Missing.NEEDED
                  ? IllegalArgumentException.class
                  : NullPointerException.class,
              call.op(),
              name,
              "null"));
    }
    misuses.add(
        new Misuse(
            "closed " + name,
            in -> {
              Buffer closed = in.device.allocate(operand.dtype(), operand.shape());
              closed.close();
              in.operands.put(name, closed);
            },
            IllegalStateException.class,
            "closed",
            "" + operand.dtype(),
            "" + operand.shape()));
    for (DType dtype : DType.values()) {
      if (dtype != operand.dtype()) {
        misuses.add(
            new Misuse(
                name + " of " + dtype,
                in -> in.operands.put(name, in.allocate(operand.with(dtype))),
                IllegalArgumentException.class,
                call.op(),
                name,
                "" + dtype,
                "expected " + operand.dtype()));
      }
    }
    for (Shape shape : wrongShapes(operand.shape())) {
      if (operand.anyExtents() && shape.rank() == operand.shape().rank()) {
        continue;
      }
      // Other ids of a gather make its output wrong, and other outputs of a bag its offsets.
      misuses.add(
          new Misuse(
              name + " of " + shape,
              in -> in.operands.put(name, in.allocate(operand.with(shape))),
              IllegalArgumentException.class,
              call.op(),
              "has shape",
              "expected ["));
    }
    call.operands()
        .forEach(
            (outName, out) -> {
              if (out.output() && !outName.equals(name)) {
                overlaps(misuses, call, outName, out, name, operand);
              }
            });
    if (OTHER_KIND != null) {
      misuses.add(
          new Misuse(
              name + " in memory of another kind of device",
              in -> in.operands.put(name, in.foreign(operand)),
              IllegalArgumentException.class,
              call.op(),
              name,
              "expected memory of"));
    }
    hostOnly(misuses, name, operand);
  }

  /** An output that shares its last or first elements with another operand. */
  private static void overlaps(
      List<Misuse> misuses,
      MisuseCall call,
      String outName,
      Operand out,
      String name,
      Operand operand) {
    for (boolean outFirst : new boolean[] {true, false}) {
      Operand first = outFirst ? out : operand;
      Operand second = outFirst ? operand : out;
      misuses.add(
          new Misuse(
              "%s %s and over %s".formatted(outName, outFirst ? "before" : "behind", name),
              in -> {
                var memory = in.memory(first.bytes() + second.bytes());
                long at = (first.bytes() - 1) / ALIGNMENT * ALIGNMENT;
                in.operands.put(outFirst ? outName : name, memory.apply(first, 0L));
                in.operands.put(outFirst ? name : outName, memory.apply(second, at));
              },
              IllegalArgumentException.class,
              call.op(),
              // Of two outputs either may be found to overlap the other.
              operand.output() ? " overlaps " : outName + " overlaps " + name));
    }
  }

  /**
   * What only memory of the host can be: read-only, on the heap, misaligned, and foreign to a GPU.
   */
  private static void hostOnly(List<Misuse> misuses, String name, Operand operand) {
    if (operand.dtype().byteSize() > 1) {
      misuses.add(
          new Misuse(
              "misaligned " + name,
              in ->
                  HostBuffer.wrap(
                      in.arena.allocate(operand.bytes() + 1, ALIGNMENT).asSlice(1),
                      operand.dtype(),
                      operand.shape()),
              IllegalArgumentException.class,
              "not aligned",
              "" + operand.dtype()));
    }
    misuses.add(
        new Misuse(
            name + " on the heap",
            in ->
                HostBuffer.wrap(
                    MemorySegment.ofArray(new long[(int) operand.bytes() / Long.BYTES]),
                    operand.dtype(),
                    operand.shape()),
            IllegalArgumentException.class,
            "heap segment"));
    for (int more : new int[] {-1, 1}) {
      misuses.add(
          new Misuse(
              name + " in a segment of %+d byte".formatted(more),
              in ->
                  HostBuffer.wrap(
                      in.arena.allocate(operand.bytes() + more, ALIGNMENT),
                      operand.dtype(),
                      operand.shape()),
              IllegalArgumentException.class,
              "has " + (operand.bytes() + more) + " bytes",
              "expected " + operand.bytes()));
    }
  }

  private static List<Shape> wrongShapes(Shape shape) {
    List<Shape> wrong = new ArrayList<>();
    wrong.add(Shape.of());
    wrong.add(shape.append(1));
    for (int i = 0; i < shape.rank(); i++) {
      for (long more : new long[] {-1, 1}) {
        long[] dims = new long[shape.rank()];
        for (int d = 0; d < dims.length; d++) {
          dims[d] = shape.dim(d) + (d == i ? more : 0);
        }
        wrong.add(Shape.of(dims));
      }
    }
    if (shape.rank() == 2) {
      wrong.add(Shape.of(shape.size()));
      wrong.add(Shape.of(shape.dim(1), shape.dim(0)));
    }
    return wrong;
  }

  @TestFactory
  List<DynamicTest> misuses() {
    List<DynamicTest> tests = new ArrayList<>();
    for (DeviceUnderTest under : DeviceUnderTest.backends()) {
      if (!under.isAvailable()) {
        tests.add(dynamicTest(under.toString(), () -> under.open().close()));
        continue;
      }
      for (MisuseCall call : calls()) {
        for (Misuse misuse : misuses(call)) {
          tests.add(
              dynamicTest(
                  under + ", " + call.name() + ": " + misuse.name,
                  () -> refuses(call, misuse, under)));
        }
      }
    }
    return tests;
  }

  private static void refuses(MisuseCall call, Misuse misuse, DeviceUnderTest under)
      throws Exception {
    try (Setting setting = new Setting(call, under)) {
      Stream stream = setting.stream;
      Map<String, Buffer> right = new LinkedHashMap<>(setting.operands);
      Exception thrown =
          assertThrows(
              misuse.thrown,
              () -> {
                misuse.spoil.in(setting);
                setting.run();
              },
              misuse.name);
      for (String word : misuse.words) {
        assertTrue(thrown.getMessage().contains(word), () -> word + " in: " + thrown.getMessage());
      }
      assertTrue(setting.isUntouched(), "something was written");
      for (Buffer operand : setting.operands.values()) {
        if (operand instanceof HostBuffer spoilt
            && !spoilt.isClosed()
            && !setting.outputs.containsValue(spoilt)) {
          assertEquals(-1, mismatchWithZeros(spoilt.segment()), "something was written");
        }
      }
      if (!misuse.name.equals("closed stream")) {
        setting.stream = stream;
        setting.operands.clear();
        setting.operands.putAll(right);
        setting.run();
        stream.synchronize();
        assertFalse(setting.isUntouched(), "the right call ran");
      }
    }
  }

  private static long mismatchWithZeros(MemorySegment segment) {
    return segment.mismatch(MemorySegment.ofArray(new byte[(int) segment.byteSize()]));
  }

  static List<DeviceUnderTest> devices() {
    return DeviceUnderTest.backends();
  }

  @ParameterizedTest
  @MethodSource("devices")
  void aWrongNumberOfTablesIsRefused(DeviceUnderTest under) throws Exception {
    try (Setting in = new Setting(calls().getFirst(), under)) {
      Buffer table = in.operands.get("table");
      Buffer ids = in.operands.get("ids");
      Buffer tableIds = in.allocate(Operand.in(DType.I32, ROWS));
      Buffer offsets = in.allocate(Operand.in(DType.I32, ROWS + 1));
      EmbeddingGather.Spec two = gatherSpec().withTables(List.of(VOCAB, VOCAB));
      refuses(
          "EmbeddingGather: 1 tables, expected 2",
          () -> EmbeddingGather.plan(in.device, two).run(in.stream, table, ids, in.out()));
      refuses(
          "EmbeddingGather: 1 tables, expected 2",
          () ->
              EmbeddingGather.plan(in.device, two)
                  .run(in.stream, List.of(table), ids, tableIds, in.out()));
      refuses(
          "EmbeddingGather: 2 tables, expected 1",
          () ->
              EmbeddingGather.plan(in.device, gatherSpec())
                  .run(in.stream, List.of(table, table), ids, tableIds, in.out()));
      refuses(
          "EmbeddingBag: 2 tables, expected 1",
          () ->
              EmbeddingBag.plan(in.device, bagSpec())
                  .run(
                      in.stream,
                      EmbeddingBag.Operands.of(table, ids, offsets, in.out())
                          .withTables(List.of(table, table), tableIds)));
      assertTrue(in.isUntouched());
    }
  }

  @ParameterizedTest
  @MethodSource("devices")
  void idsWithGapsAreRefused(DeviceUnderTest under) throws Exception {
    try (Setting in = new Setting(calls().getFirst(), under)) {
      Buffer ids = in.allocate(Operand.in(DType.I32, 2, 5)).view(0, Shape.of(2, 3), 5);
      Buffer out = in.allocate(Operand.in(DType.F32, 2, 3, DIM));
      refuses(
          "EmbeddingGather: ids has row stride 5, expected dense rows of 3",
          () ->
              EmbeddingGather.plan(in.device, gatherSpec())
                  .run(in.stream, in.operands.get("table"), ids, out));
    }
  }

  @ParameterizedTest
  @MethodSource("devices")
  void outputAndTableMayInterleaveButNotOverlap(DeviceUnderTest under) throws Exception {
    try (Setting in = new Setting(calls().getFirst(), under)) {
      Buffer matrix = in.keep(in.device.allocate(DType.F32, Shape.of(VOCAB, 3 * DIM)));
      float[] values = new float[(int) matrix.shape().size()];
      for (int i = 0; i < values.length; i++) {
        values[i] = i;
      }
      matrix.copyFrom(MemorySegment.ofArray(values), in.stream);
      Buffer table = matrix.view(DIM, Shape.of(VOCAB, DIM), 3 * DIM);
      Buffer ids = in.operands.get("ids");
      ids.copyFrom(MemorySegment.ofArray(new int[] {4, 0, 2}), in.stream);
      EmbeddingGather plan = EmbeddingGather.plan(in.device, gatherSpec());
      for (long first : new long[] {0, 2 * DIM}) {
        Buffer out = matrix.view(first, Shape.of(ROWS, DIM), 3 * DIM);
        plan.run(in.stream, table, ids, out);
        float[] got = new float[(int) out.shape().size()];
        out.copyTo(MemorySegment.ofArray(got), in.stream);
        assertArrayEquals(
            new float[] {52, 53, 54, 55, 4, 5, 6, 7, 28, 29, 30, 31}, got, "from " + first);
      }
      for (long first = 1; first < 2 * DIM; first++) {
        Buffer out = matrix.view(first, Shape.of(ROWS, DIM), 3 * DIM);
        refuses("EmbeddingGather: out overlaps table", () -> plan.run(in.stream, table, ids, out));
      }
    }
  }

  @ParameterizedTest
  @MethodSource("devices")
  void aClosedDeviceIsRefused(DeviceUnderTest under) {
    Device device = under.open();
    Stream stream = device.openStream();
    EmbeddingGather plan = EmbeddingGather.plan(device, gatherSpec());
    Buffer table = device.allocate(DType.F32, gatherSpec().tableShape());
    Buffer ids = device.allocate(DType.I32, Shape.of(ROWS));
    Buffer out = device.allocate(DType.F32, gatherSpec().outputShape(ROWS));
    device.close();
    assertThrows(IllegalStateException.class, () -> plan.run(stream, table, ids, out));
    assertThrows(IllegalStateException.class, () -> EmbeddingGather.plan(device, gatherSpec()));
    assertThrows(IllegalStateException.class, () -> EmbeddingBag.plan(device, bagSpec()));
    assertThrows(IllegalStateException.class, device::openStream);
    assertThrows(IllegalStateException.class, device::openEvent);
    assertThrows(IllegalStateException.class, () -> device.allocate(DType.F32, Shape.of(1)));
    assertEquals(0, device.allocatedBytes());
  }

  @Test
  void readOnlyMemoryIsForInputs() throws Exception {
    try (Setting in = new Setting(calls().getFirst(), new DeviceUnderTest(Backend.SCALAR, 1))) {
      in.call
          .operands()
          .forEach(
              (name, operand) -> {
                Buffer readOnly =
                    HostBuffer.wrap(
                        in.arena.allocate(operand.bytes(), ALIGNMENT).asReadOnly(),
                        operand.dtype(),
                        operand.shape());
                Buffer before = in.operands.put(name, readOnly);
                if (name.equals("out")) {
                  refuses("EmbeddingGather: out is read-only", in::run);
                } else {
                  in.run();
                }
                in.operands.put(name, before);
              });
    }
  }

  @Test
  void nothingWhereOperandsAreExpectedIsRefused() throws Exception {
    try (Setting in = new Setting(calls().getFirst(), new DeviceUnderTest(Backend.SCALAR, 1))) {
      Buffer ids = in.operands.get("ids");
      Map<Executable, String> calls =
          Map.of(
              () -> EmbeddingBag.plan(in.device, bagSpec()).run(in.stream, null),
              "operands",
              () -> new EmbeddingBag.Operands(null, ids, ids, null, null, null, in.out()),
              "tables",
              () ->
                  EmbeddingGather.plan(in.device, gatherSpec())
                      .run(in.stream, (List<Buffer>) null, ids, ids, in.out()),
              "tables",
              () -> EmbeddingGather.plan(null, gatherSpec()),
              "device",
              () -> EmbeddingBag.plan(in.device, null),
              "spec");
      calls.forEach(
          (call, word) -> {
            NullPointerException thrown = assertThrows(NullPointerException.class, call);
            assertTrue(thrown.getMessage().contains(word), thrown::getMessage);
          });
      assertTrue(in.isUntouched());
    }
  }

  @Test
  void specsThatCannotBeAreRefused() {
    for (DType dtype : DType.values()) {
      if (!EmbeddingGatherCases.FLOATS.contains(dtype)) {
        refuses(
            "table dtype is " + dtype + ", expected F32, F16 or BF16",
            () -> EmbeddingGather.Spec.of(dtype, VOCAB, DIM, IndexPolicy.FAIL));
        refuses("out dtype is " + dtype, () -> gatherSpec().withOut(dtype));
        refuses("out dtype is " + dtype, () -> bagSpec().withOut(dtype));
      }
      if (!EmbeddingGatherCases.INDICES.contains(dtype)) {
        refuses(
            "ids dtype is " + dtype + ", expected I32 or I64", () -> gatherSpec().withIds(dtype));
        refuses("ids dtype is " + dtype, () -> bagSpec().withIndices(dtype, DType.I32));
        refuses("offsets dtype is " + dtype, () -> bagSpec().withIndices(DType.I32, dtype));
      }
    }
    List<Long> tooMany = Collections.nCopies(EmbeddingGather.MAX_TABLES + 1, VOCAB);
    for (List<Long> tables : List.of(List.<Long>of(), tooMany)) {
      refuses(tables.size() + " tables, expected 1 to 32", () -> gatherSpec().withTables(tables));
      refuses(tables.size() + " tables, expected 1 to 32", () -> bagSpec().withTables(tables));
    }
    refuses("negative extent in [-1, 4]", () -> gatherSpec().withTables(List.of(VOCAB, -1L)));
    refuses("negative extent in [-1, 4]", () -> bagSpec().withTables(List.of(-1L)));
    refuses(
        "more than 2^63 - 1 elements", () -> gatherSpec().withTables(List.of(Long.MAX_VALUE / 2)));
    for (long dim : new long[] {-1, 1L << 31, Long.MIN_VALUE, Long.MAX_VALUE}) {
      refuses(
          "dim is " + dim, () -> EmbeddingGather.Spec.of(DType.F32, VOCAB, dim, IndexPolicy.FAIL));
      refuses(
          "dim is " + dim,
          () -> EmbeddingBag.Spec.of(DType.F32, VOCAB, dim, Combine.SUM, IndexPolicy.FAIL));
    }
    for (String missing : List.of("policy", "combine", "empty", "table", "ids", "offsets", "out")) {
      NullPointerException thrown =
          assertThrows(
              NullPointerException.class,
              () ->
                  new EmbeddingBag.Spec(
                      missing.equals("table") ? null : DType.F32,
                      missing.equals("ids") ? null : DType.I32,
                      missing.equals("offsets") ? null : DType.I32,
                      missing.equals("out") ? null : DType.F32,
                      List.of(VOCAB),
                      DIM,
                      missing.equals("combine") ? null : Combine.SUM,
                      missing.equals("empty") ? null : EmptyBagPolicy.ZERO,
                      missing.equals("policy") ? null : IndexPolicy.FAIL));
      assertTrue(thrown.getMessage().contains(missing), thrown::getMessage);
    }
  }

  private static EmbeddingGather.Spec gatherSpec() {
    return EmbeddingGather.Spec.of(DType.F32, VOCAB, DIM, IndexPolicy.FAIL);
  }

  private static EmbeddingBag.Spec bagSpec() {
    return EmbeddingBag.Spec.of(DType.F32, VOCAB, DIM, Combine.SUM, IndexPolicy.FAIL);
  }

  private static void refuses(String words, Executable call) {
    IllegalArgumentException thrown = assertThrows(IllegalArgumentException.class, call);
    assertTrue(thrown.getMessage().contains(words), thrown::getMessage);
  }
}
