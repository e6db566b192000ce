package io.quern.op;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.quern.Buffer;
import io.quern.DType;
import io.quern.Device;
import io.quern.Shape;
import io.quern.Stream;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.function.Consumer;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * Operands of {@link PonetPooling}, {@link PonetMixer}, {@link PonetChunks} and {@link
 * PonetSegments} that do not fit are refused by name. {@link MisuseTest} cannot: zeros are offsets
 * of empty sequences, of which nothing is written.
 */
class PonetMisuseTest {
  private static final int TOKENS = 6;

  static List<DeviceUnderTest> devices() {
    return DeviceUnderTest.backends();
  }

  @ParameterizedTest
  @MethodSource("devices")
  void poolingRefuses(DeviceUnderTest under) {
    try (Device device = under.open();
        Stream stream = device.openStream()) {
      PonetPooling plan = PonetPooling.plan(device, PonetPooling.Spec.of(DType.F16, 2, 8));
      Map<String, Buffer> right = new TreeMap<>();
      for (String rows : List.of("q", "k", "o", "local", "segment", "out")) {
        right.put(rows, device.allocate(DType.F16, Shape.of(TOKENS, 16)));
      }
      right.put("offsets", device.allocate(DType.I32, Shape.of(3)));
      right.put("segmentIds", device.allocate(DType.I32, Shape.of(TOKENS)));
      right.put("valid", device.allocate(DType.BOOL, Shape.of(TOKENS)));
      right.put("special", device.allocate(DType.BOOL, Shape.of(TOKENS)));
      right.put("probabilities", device.allocate(DType.F32, Shape.of(TOKENS, 2)));
      right.put("workspace", device.allocate(DType.U8, Shape.of(plan.workspaceBytes(2, TOKENS))));
      Consumer<Map<String, Buffer>> run = of -> plan.run(stream, operands(of));
      refuses(device, stream, right, List.of("valid", "special", "probabilities"), run);
      for (String read : List.of("q", "k", "o", "local", "segment")) {
        Map<String, Buffer> wrong = new TreeMap<>(right);
        wrong.put(read, right.get("out"));
        refuses("out overlaps " + read, () -> run.accept(wrong));
      }
      run.accept(right);
      stream.synchronize();
      right.values().forEach(Buffer::close);
      assertEquals(0, device.allocatedBytes());
    }
  }

  private static PonetPooling.Operands operands(Map<String, Buffer> of) {
    return new PonetPooling.Operands(
        of.get("q"),
        of.get("k"),
        of.get("o"),
        of.get("local"),
        of.get("segment"),
        of.get("offsets"),
        of.get("segmentIds"),
        of.get("valid"),
        of.get("special"),
        of.get("out"),
        of.get("probabilities"),
        of.get("workspace"));
  }

  @ParameterizedTest
  @MethodSource("devices")
  void mixerRefuses(DeviceUnderTest under) {
    try (Device device = under.open();
        Stream stream = device.openStream()) {
      PonetMixer plan = PonetMixer.plan(device, PonetPooling.Spec.of(DType.F16, 2, 8));
      Map<String, Buffer> right = new TreeMap<>();
      right.put("x", device.allocate(DType.F16, Shape.of(TOKENS, 16)));
      right.put("weight", device.allocate(DType.F32, Shape.of(80, 16)));
      right.put("bias", device.allocate(DType.F32, Shape.of(80)));
      right.put("out", device.allocate(DType.F16, Shape.of(TOKENS, 16)));
      right.put("offsets", device.allocate(DType.I32, Shape.of(3)));
      right.put("segmentIds", device.allocate(DType.I32, Shape.of(TOKENS)));
      right.put("valid", device.allocate(DType.BOOL, Shape.of(TOKENS)));
      right.put("special", device.allocate(DType.BOOL, Shape.of(TOKENS)));
      right.put("probabilities", device.allocate(DType.F32, Shape.of(TOKENS, 2)));
      right.put("workspace", device.allocate(DType.U8, Shape.of(plan.workspaceBytes(2, TOKENS))));
      Consumer<Map<String, Buffer>> run =
          of ->
              plan.run(
                  stream,
                  new PonetMixer.Operands(
                      of.get("x"),
                      of.get("weight"),
                      of.get("bias"),
                      of.get("offsets"),
                      of.get("segmentIds"),
                      of.get("valid"),
                      of.get("special"),
                      of.get("out"),
                      of.get("probabilities"),
                      of.get("workspace")));
      refuses(device, stream, right, List.of("valid", "special", "probabilities"), run);
      Map<String, Buffer> wrong = new TreeMap<>(right);
      wrong.put("x", right.get("out"));
      refuses("out overlaps x", () -> run.accept(wrong));
      refuses(
          "heads * headDim is 1040, expected at most 1024",
          () -> PonetMixer.plan(device, PonetPooling.Spec.of(DType.F32, 130, 8)));
      run.accept(right);
      stream.synchronize();
      right.values().forEach(Buffer::close);
      assertEquals(0, device.allocatedBytes());
    }
  }

  @ParameterizedTest
  @MethodSource("devices")
  void chunksRefuse(DeviceUnderTest under) {
    try (Device device = under.open();
        Stream stream = device.openStream()) {
      PonetChunks plan = PonetChunks.plan(device, PonetPooling.Spec.of(DType.F16, 2, 8));
      Map<String, Buffer> right = new TreeMap<>();
      right.put("state", device.allocate(DType.U8, Shape.of(plan.stateBytes())));
      right.put("segmentMax", device.allocate(DType.F32, Shape.of(4, 16)));
      refuses(
          device,
          stream,
          right,
          List.of(),
          of -> plan.start(stream, of.get("state"), of.get("segmentMax")));
      plan.start(stream, right.get("state"), right.get("segmentMax"));

      Map<String, Buffer> queries = new TreeMap<>(Map.of("state", right.get("state")));
      queries.put("q", device.allocate(DType.F16, Shape.of(TOKENS, 16)));
      queries.put("valid", device.allocate(DType.BOOL, Shape.of(TOKENS)));
      long bytes = Math.max(16, plan.workspaceBytes(TOKENS));
      boolean wanted = plan.workspaceBytes(TOKENS) > 0;
      queries.put("workspace", device.allocate(DType.U8, Shape.of(bytes)));
      List<String> optional = wanted ? List.of("valid") : List.of("valid", "workspace");
      refuses(device, stream, queries, optional, of -> plan.queries(stream, queries(0, of)));
      refuses(
          "position is 65, expected a multiple of 64",
          () -> plan.queries(stream, queries(65, queries)));

      Map<String, Buffer> keys = new TreeMap<>(right);
      keys.put("k", device.allocate(DType.F16, Shape.of(TOKENS, 16)));
      keys.put("segment", device.allocate(DType.F16, Shape.of(TOKENS, 16)));
      keys.put("segmentIds", device.allocate(DType.I32, Shape.of(TOKENS)));
      keys.put("valid", queries.get("valid"));
      keys.put("probabilities", device.allocate(DType.F32, Shape.of(TOKENS, 2)));
      keys.put("workspace", queries.get("workspace"));
      List<String> absent = new ArrayList<>(optional);
      absent.add("probabilities");
      refuses(device, stream, keys, absent, of -> plan.keys(stream, keys(of)));

      Map<String, Buffer> fusion = new TreeMap<>(right);
      fusion.put("o", device.allocate(DType.F16, Shape.of(TOKENS, 16)));
      fusion.put("local", device.allocate(DType.F16, Shape.of(TOKENS + 1, 16)));
      fusion.put("segmentIds", keys.get("segmentIds"));
      fusion.put("valid", device.allocate(DType.BOOL, Shape.of(TOKENS + 1)));
      fusion.put("special", device.allocate(DType.BOOL, Shape.of(TOKENS + 1)));
      fusion.put("probabilities", keys.get("probabilities"));
      fusion.put("out", device.allocate(DType.F16, Shape.of(TOKENS, 16)));
      refuses(
          device,
          stream,
          fusion,
          List.of("valid", "special", "probabilities"),
          of -> plan.fuse(stream, fusion(0, of)));
      refuses("before is 1, expected 0", () -> plan.fuse(stream, fusion(1, fusion)));
      for (Map<String, Buffer> of : List.of(queries, keys, fusion)) {
        of.values().forEach(buffer -> clear(buffer, stream));
      }
      plan.start(stream, right.get("state"), right.get("segmentMax"));
      plan.queries(stream, queries(0, queries));
      plan.keys(stream, keys(keys));
      plan.fuse(stream, fusion(0, fusion));
      stream.synchronize();
      for (Map<String, Buffer> of : List.of(queries, keys, fusion)) {
        of.values().forEach(Buffer::close);
      }
      assertEquals(0, device.allocatedBytes());
    }
  }

  private static PonetChunks.Queries queries(long position, Map<String, Buffer> of) {
    return new PonetChunks.Queries(
        position, of.get("q"), of.get("valid"), of.get("state"), of.get("workspace"));
  }

  private static PonetChunks.Keys keys(Map<String, Buffer> of) {
    return new PonetChunks.Keys(
        0,
        of.get("k"),
        of.get("segment"),
        of.get("segmentIds"),
        of.get("valid"),
        of.get("probabilities"),
        of.get("state"),
        of.get("segmentMax"),
        of.get("workspace"));
  }

  private static PonetChunks.Fusion fusion(int before, Map<String, Buffer> of) {
    return new PonetChunks.Fusion(
        0,
        before,
        of.get("o"),
        of.get("local"),
        of.get("segmentIds"),
        of.get("valid"),
        of.get("special"),
        of.get("state"),
        of.get("segmentMax"),
        of.get("out"),
        of.get("probabilities"));
  }

  @ParameterizedTest
  @MethodSource("devices")
  void segmentsRefuse(DeviceUnderTest under) {
    try (Device device = under.open();
        Stream stream = device.openStream()) {
      PonetSegments plan =
          PonetSegments.plan(
              device, new PonetSegments.Spec(new PonetSegments.Rule.Tokens(101, 102), DType.I64));
      Map<String, Buffer> right = new TreeMap<>();
      right.put("tokens", device.allocate(DType.I32, Shape.of(TOKENS)));
      right.put("offsets", device.allocate(DType.I64, Shape.of(3)));
      right.put("segmentIds", device.allocate(DType.I32, Shape.of(TOKENS)));
      right.put("special", device.allocate(DType.BOOL, Shape.of(TOKENS)));
      Consumer<Map<String, Buffer>> run =
          of ->
              plan.run(
                  stream,
                  of.get("tokens"),
                  of.get("offsets"),
                  of.get("segmentIds"),
                  of.get("special"));
      refuses(device, stream, right, List.of("special"), run);
      PonetSegments fixed =
          PonetSegments.plan(
              device, new PonetSegments.Spec(new PonetSegments.Rule.Fixed(2), DType.I64));
      refuses(
          "tokens given, expected none",
          () ->
              fixed.run(
                  stream,
                  right.get("tokens"),
                  right.get("offsets"),
                  right.get("segmentIds"),
                  null));
      run.accept(right);
      stream.synchronize();
      right.values().forEach(Buffer::close);
      assertEquals(0, device.allocatedBytes());
    }
  }

  /** Each operand absent, of another dtype, of another rank, closed. */
  private static void refuses(
      Device device,
      Stream stream,
      Map<String, Buffer> right,
      List<String> optional,
      Consumer<Map<String, Buffer>> run) {
    right.values().forEach(buffer -> clear(buffer, stream));
    for (String name : right.keySet()) {
      Buffer buffer = right.get(name);
      List<Buffer> others = new ArrayList<>();
      others.add(
          device.allocate(buffer.dtype() == DType.F32 ? DType.I32 : DType.F32, buffer.shape()));
      others.add(device.allocate(buffer.dtype(), buffer.shape().append(1)));
      for (Buffer other : others) {
        Map<String, Buffer> wrong = new TreeMap<>(right);
        wrong.put(name, other);
        refuses(name, () -> run.accept(wrong));
        other.close();
      }
      Buffer closed = device.allocate(buffer.dtype(), buffer.shape());
      closed.close();
      Map<String, Buffer> wrong = new TreeMap<>(right);
      wrong.put(name, closed);
      assertThrows(IllegalStateException.class, () -> run.accept(wrong), name);
      if (!optional.contains(name)) {
        wrong.put(name, null);
        NullPointerException thrown =
            assertThrows(NullPointerException.class, () -> run.accept(wrong), name);
        assertTrue(thrown.getMessage().contains(name + " is null"), thrown.getMessage());
      }
    }
  }

  private static void clear(Buffer buffer, Stream stream) {
    buffer.copyFrom(
        MemorySegment.ofArray(
            new byte[Math.toIntExact(buffer.shape().size() * buffer.dtype().byteSize())]),
        stream);
  }

  private static void refuses(String words, Runnable run) {
    IllegalArgumentException thrown = assertThrows(IllegalArgumentException.class, run::run, words);
    assertTrue(thrown.getMessage().contains(words), thrown.getMessage());
  }
}
