package io.quern.io;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.quern.Backend;
import io.quern.CpuDevice;
import io.quern.DType;
import io.quern.HostBuffer;
import io.quern.Shape;
import io.quern.op.EmbeddingGather;
import io.quern.op.IndexPolicy;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.Channels;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.SplittableRandom;
import java.util.stream.Stream;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

class SafeTensorsTest {
  @TempDir Path folder;

  /** A file of the format: length, header, data. */
  static byte[] file(String header, byte[] data) {
    return file(header.getBytes(StandardCharsets.UTF_8), data);
  }

  static byte[] file(byte[] header, byte[] data) {
    return ByteBuffer.allocate(8 + header.length + data.length)
        .order(ByteOrder.LITTLE_ENDIAN)
        .putLong(header.length)
        .put(header)
        .put(data)
        .array();
  }

  private Path written(byte[] bytes) throws IOException {
    return Files.write(folder.resolve("case.safetensors"), bytes);
  }

  private static byte[] random(int n, long seed) {
    byte[] bytes = new byte[n];
    new SplittableRandom(seed).nextBytes(bytes);
    return bytes;
  }

  private static byte[] bytes(MemorySegment segment) {
    return segment.toArray(ValueLayout.JAVA_BYTE);
  }

  @Test
  void writesTheBytesThatTheFormatDescribes() throws IOException {
    float[] values = {0, 1, 2, 3, 4, 5};
    ByteArrayOutputStream out = new ByteArrayOutputStream();
    new SafeTensorsWriter()
        .add("attn.0", DType.F32, Shape.of(1, 2, 3), MemorySegment.ofArray(values))
        .write(Channels.newChannel(out));
    ByteBuffer data = ByteBuffer.allocate(24).order(ByteOrder.LITTLE_ENDIAN);
    data.asFloatBuffer().put(values);
    assertArrayEquals(
        file(
            "{\"attn.0\":{\"dtype\":\"F32\",\"shape\":[1,2,3],\"data_offsets\":[0,24]}}",
            data.array()),
        out.toByteArray());

    out.reset();
    new SafeTensorsWriter().metadata("framework", "pt").write(Channels.newChannel(out));
    assertArrayEquals(
        file("{\"__metadata__\":{\"framework\":\"pt\"}}     ", new byte[0]), out.toByteArray());
  }

  @ParameterizedTest
  @EnumSource
  void readsBackWhatWasWritten(DType dtype) throws IOException {
    byte[] odd = random(3, 1);
    byte[] matrix = random(5 * 7 * dtype.byteSize(), 2);
    byte[] scalar = random(dtype.byteSize(), 3);
    Path path = folder.resolve("round trip.safetensors");
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment nativeMatrix =
          arena.allocate(matrix.length).copyFrom(MemorySegment.ofArray(matrix));
      new SafeTensorsWriter()
          .metadata("note", "quote \" newline \n zero \0 snowman ☃ pair 😀")
          .metadata("", "")
          .add("odd", DType.U8, Shape.of(3), MemorySegment.ofArray(odd))
          .add("matrix ☃\n", dtype, Shape.of(5, 7), nativeMatrix)
          .add("", dtype, Shape.of(), MemorySegment.ofArray(scalar))
          .add("none", dtype, Shape.of(4, 0, 9), MemorySegment.NULL)
          .write(path);
    }
    try (SafeTensors file = SafeTensors.open(path)) {
      assertEquals(
          Map.of("note", "quote \" newline \n zero \0 snowman ☃ pair 😀", "", ""), file.metadata());
      assertEquals(List.of("odd", "matrix ☃\n", "", "none"), file.names());
      HostBuffer buffer = file.tensor("matrix ☃\n");
      assertEquals(dtype, buffer.dtype());
      assertEquals(Shape.of(5, 7), buffer.shape());
      assertTrue(buffer.segment().isReadOnly());
      assertArrayEquals(matrix, bytes(buffer.segment()));
      assertArrayEquals(odd, bytes(file.tensor("odd").segment()));
      assertArrayEquals(scalar, bytes(file.tensor("").segment()));
      assertEquals(Shape.of(), file.tensor("").shape());
      assertEquals(Shape.of(4, 0, 9), file.tensor("none").shape());
      assertEquals(0, file.info("none").byteSize());
      for (String name : file.names()) {
        assertEquals(file.segment(name).address(), file.tensor(name).segment().address(), name);
      }
    }
  }

  @Test
  void readsAFileWithoutData() throws IOException {
    Path path = written(file("{}", new byte[0]));
    try (SafeTensors file = SafeTensors.open(path)) {
      assertEquals(List.of(), file.names());
      assertEquals(Map.of(), file.metadata());
    }
    new SafeTensorsWriter()
        .add("empty", DType.F64, Shape.of(0), MemorySegment.ofArray(new double[0]))
        .write(path);
    try (SafeTensors file = SafeTensors.open(path)) {
      assertEquals(0, file.tensor("empty").segment().byteSize());
    }
  }

  @Test
  void readsTensorsInAnyOrderOfOffsets() throws IOException {
    Path path =
        written(
            file(
                """
                {"late": {"data_offsets": [2, 6], "shape": [2], "dtype": "I16"},
                 "empty": {"dtype": "F64", "shape": [0], "data_offsets": [2, 2]},
                 "early": {"dtype": "U8", "shape": [2, 1], "data_offsets": [0, 2]}}\t
                """,
                new byte[] {1, 2, 3, 4, 5, 6}));
    try (SafeTensors file = SafeTensors.open(path)) {
      assertEquals(List.of("late", "empty", "early"), file.names());
      assertArrayEquals(new byte[] {3, 4, 5, 6}, bytes(file.segment("late")));
      assertArrayEquals(new byte[] {1, 2}, bytes(file.segment("early")));
      assertEquals(new TensorInfo("late", "I16", Shape.of(2), 2, 6), file.info("late"));
    }
  }

  @Test
  void copiesATensorThatIsNotAlignedOnce() throws IOException {
    byte[] data = random(9, 4);
    Path path =
        written(
            file(
                """
                {"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},\
                "b":{"dtype":"F32","shape":[2],"data_offsets":[1,9]}}\
                """,
                data));
    try (SafeTensors file = SafeTensors.open(path)) {
      // 104 header bytes before the data: b lies at file offset 113.
      assertNotEquals(0, file.segment("b").address() % 4);
      HostBuffer b = file.tensor("b");
      assertEquals(0, b.segment().address() % 4);
      assertArrayEquals(Arrays.copyOfRange(data, 1, 9), bytes(b.segment()));
      assertTrue(b.segment().isReadOnly());
      assertEquals(b.segment().address(), file.tensor("b").segment().address());
    }
  }

  @Test
  void listsTypesThatNoBufferCanHold() throws IOException {
    Path path =
        written(
            file(
                """
                {"f8":{"dtype":"F8_E4M3","shape":[3],"data_offsets":[0,3]},\
                "f4":{"dtype":"F4","shape":[2,3],"data_offsets":[3,6]},\
                "f6":{"dtype":"F6_E3M2","shape":[4],"data_offsets":[6,9]},\
                "c":{"dtype":"C64","shape":[1],"data_offsets":[9,17]}}\
                """,
                random(17, 5)));
    try (SafeTensors file = SafeTensors.open(path)) {
      assertEquals(List.of("f8", "f4", "f6", "c"), file.names());
      assertEquals("F8_E4M3", file.info("f8").dtypeName());
      assertEquals(Optional.empty(), file.info("f8").dtype());
      assertEquals(3, file.segment("f4").byteSize());
      var refusal = assertThrows(UnsupportedOperationException.class, () -> file.tensor("f8"));
      assertTrue(refusal.getMessage().endsWith("tensor 'f8' is F8_E4M3, which no buffer can hold"));
      var missing = assertThrows(IllegalArgumentException.class, () -> file.tensor("f16"));
      assertTrue(missing.getMessage().endsWith("no tensor 'f16'"));
    }
  }

  @Test
  void closingMakesItsBuffersUnusable() throws IOException {
    Path path = folder.resolve("closed.safetensors");
    new SafeTensorsWriter()
        .add("x", DType.F32, Shape.of(2), MemorySegment.ofArray(new float[] {1, 2}))
        .write(path);
    SafeTensors file = SafeTensors.open(path);
    HostBuffer x = file.tensor("x");
    file.close();
    file.close();
    assertThrows(IllegalStateException.class, () -> x.segment().get(ValueLayout.JAVA_FLOAT, 0));
    assertThrows(IllegalStateException.class, () -> file.tensor("x"));
    assertEquals(Shape.of(2), file.info("x").shape());
  }

  @Test
  void operatorsReadTheMappingAndNoticeThatItIsClosed() throws IOException {
    Path path = folder.resolve("table.safetensors");
    float[] rows = {1, 2, 3, 4, 5, 6};
    new SafeTensorsWriter()
        .add("table", DType.F32, Shape.of(3, 2), MemorySegment.ofArray(rows))
        .add("ids", DType.I32, Shape.of(2), MemorySegment.ofArray(new int[] {2, 0}))
        .write(path);
    try (CpuDevice device = CpuDevice.open(Backend.SCALAR, 1);
        var stream = device.openStream();
        HostBuffer out = device.allocate(DType.F32, Shape.of(2, 2))) {
      SafeTensors file = SafeTensors.open(path);
      HostBuffer table = file.tensor("table");
      HostBuffer ids = file.tensor("ids");
      var gather =
          EmbeddingGather.plan(device, EmbeddingGather.Spec.of(DType.F32, 3, 2, IndexPolicy.FAIL));
      gather.run(stream, table, ids, out);
      float[] got = new float[4];
      out.copyTo(MemorySegment.ofArray(got), stream);
      assertArrayEquals(new float[] {5, 6, 1, 2}, got);
      assertThrows(
          IllegalArgumentException.class,
          () -> table.copyFrom(MemorySegment.ofArray(rows), stream),
          "read-only");
      file.close();
      assertThrows(IllegalStateException.class, () -> gather.run(stream, table, ids, out));
    }
  }

  @Test
  void aFailedWriteLeavesTheOldFileAndNoOther() throws IOException {
    Path path = folder.resolve("kept.safetensors");
    MemorySegment freed;
    try (Arena arena = Arena.ofConfined()) {
      freed = arena.allocate(4);
      new SafeTensorsWriter().add("x", DType.U8, Shape.of(4), freed).write(path);
    }
    byte[] before = Files.readAllBytes(path);
    SafeTensorsWriter writer =
        new SafeTensorsWriter()
            .add("first", DType.F64, Shape.of(1), MemorySegment.ofArray(new double[1]))
            .add("x", DType.U8, Shape.of(4), freed);
    assertThrows(IllegalStateException.class, () -> writer.write(path));
    assertArrayEquals(before, Files.readAllBytes(path));
    try (Stream<Path> files = Files.list(folder)) {
      assertEquals(List.of(path), files.toList());
    }
  }

  @Test
  void writerRefusesWhatNoReaderWouldTake() {
    MemorySegment four = MemorySegment.ofArray(new byte[4]);
    SafeTensorsWriter writer = new SafeTensorsWriter().add("x", DType.U8, Shape.of(4), four);
    for (Runnable misuse :
        List.<Runnable>of(
            () -> writer.add("x", DType.U8, Shape.of(4), four),
            () -> writer.add("__metadata__", DType.U8, Shape.of(4), four),
            () -> writer.add("short", DType.F32, Shape.of(2), four),
            () -> writer.add("long", DType.U8, Shape.of(3), four),
            () -> writer.add("part", DType.F64, Shape.of(0), four),
            () -> writer.add("overflow", DType.F64, Shape.of(1L << 61, 1), four),
            () -> writer.add("\uD800", DType.U8, Shape.of(4), four),
            () -> writer.add("rank", DType.U8, Shape.of(new long[65]), MemorySegment.NULL),
            () -> writer.metadata("key", "\uDC00"))) {
      assertThrows(IllegalArgumentException.class, misuse::run);
    }
  }

  @Test
  void readsFilesOfTheReferenceImplementation() throws IOException {
    String golden = System.getProperty("quern.golden", "");
    Assumptions.assumeFalse(golden.isEmpty(), "-Dquern.golden names no folder of golden vectors");
    List<Path> files;
    try (Stream<Path> tree = Files.walk(Path.of(golden))) {
      files = tree.filter(path -> path.toString().endsWith(".safetensors")).toList();
    }
    assertFalse(files.isEmpty());
    for (Path path : files) {
      try (SafeTensors file = SafeTensors.open(path)) {
        assertEquals("quern-golden-1", file.metadata().get("format"), path.toString());
        for (String name : file.names()) {
          assertArrayEquals(
              bytes(file.segment(name)), bytes(file.tensor(name).segment()), path + " " + name);
        }
      }
    }
  }
}
