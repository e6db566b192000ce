package io.quern.op;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static java.lang.foreign.ValueLayout.JAVA_SHORT;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import io.quern.Backend;
import io.quern.Buffer;
import io.quern.DType;
import io.quern.Device;
import io.quern.HostBuffer;
import io.quern.InvalidDataException;
import io.quern.Shape;
import io.quern.Stream;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.List;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.opentest4j.TestAbortedException;

/** Tables of more than 2^31 elements, in a file that has only the pages which the test writes. */
class LargeTableTest {
  private static final long ELEMENTS = (1L << 31) + 4096;

  static List<DeviceUnderTest> devices() {
    return List.of(new DeviceUnderTest(Backend.SCALAR, 1), new DeviceUnderTest(Backend.SIMD, 2));
  }

  @TempDir Path folder;

  private MemorySegment map(long bytes, Arena arena) {
    try (FileChannel file =
        FileChannel.open(
            folder.resolve("table"),
            StandardOpenOption.CREATE_NEW,
            StandardOpenOption.SPARSE,
            StandardOpenOption.READ,
            StandardOpenOption.WRITE)) {
      return file.map(FileChannel.MapMode.READ_WRITE, 0, bytes, arena);
    } catch (IOException e) {
      throw new TestAbortedException("no sparse file of " + bytes + " bytes here: " + e, e);
    }
  }

  @ParameterizedTest
  @MethodSource("devices")
  void rowsBeyondTwoToThe31AreFound(DeviceUnderTest under) {
    try (Arena arena = Arena.ofShared();
        Device device = under.open();
        Stream stream = device.openStream()) {
      MemorySegment file = map(ELEMENTS * Float.BYTES, arena);
      // Around 2^31 bytes, 2^32 bytes, 2^31 elements, and at the end.
      long[] marked = {
        0, (1L << 29) - 1, 1L << 29, 1L << 30, (1L << 31) - 1, 1L << 31, ELEMENTS - 1
      };
      for (int i = 0; i < marked.length; i++) {
        file.setAtIndex(JAVA_FLOAT, marked[i], i + 1);
      }
      gathersScalars(device, stream, file, marked);
      gathersRows(device, stream, file);
    }
  }

  /** A row per element: ids, too, need more than 31 bits. */
  private static void gathersScalars(Device device, Stream stream, MemorySegment file, long[] ids) {
    float[] expected = {1, 2, 3, 4, 5, 6, 7};
    EmbeddingGather.Spec spec =
        EmbeddingGather.Spec.of(DType.F32, ELEMENTS, 1, IndexPolicy.FAIL).withIds(DType.I64);
    try (Buffer table = HostBuffer.wrap(file, DType.F32, spec.tableShape());
        Buffer idBuffer = device.allocate(DType.I64, Shape.of(ids.length));
        Buffer out = device.allocate(DType.F32, spec.outputShape(ids.length))) {
      idBuffer.copyFrom(MemorySegment.ofArray(ids), stream);
      EmbeddingGather gather = EmbeddingGather.plan(device, spec);
      gather.run(stream, table, idBuffer, out);
      assertArrayEquals(expected, read(out, stream));

      ids[1] = ELEMENTS;
      idBuffer.copyFrom(MemorySegment.ofArray(ids), stream);
      InvalidDataException fault =
          assertThrows(InvalidDataException.class, () -> gather.run(stream, table, idBuffer, out));
      assertEquals(1, fault.position());
      assertEquals(ELEMENTS, fault.value());
      assertEquals(ELEMENTS, fault.limit());
    }
  }

  /** The same bytes as halves, in rows and in bags. */
  private static void gathersRows(Device device, Stream stream, MemorySegment file) {
    int dim = 512;
    long rows = 2 * ELEMENTS / dim;
    long[] ids = {rows - 1, (1L << 31) / dim, (1L << 32) / dim};
    for (long id : ids) {
      for (int d = 0; d < dim; d++) {
        file.setAtIndex(JAVA_SHORT, id * dim + d, Float.floatToFloat16(d % 7 + id % 5));
      }
    }
    float[] expectedRows = new float[3 * dim];
    float[] expectedSum = new float[dim];
    for (int i = 0; i < ids.length; i++) {
      for (int d = 0; d < dim; d++) {
        expectedRows[i * dim + d] = d % 7 + ids[i] % 5;
        expectedSum[d] += d % 7 + ids[i] % 5;
      }
    }
    EmbeddingGather.Spec gather =
        EmbeddingGather.Spec.of(DType.F16, rows, dim, IndexPolicy.FAIL)
            .withIds(DType.I64)
            .withOut(DType.F32);
    EmbeddingBag.Spec bag =
        EmbeddingBag.Spec.of(DType.F16, rows, dim, Combine.SUM, IndexPolicy.FAIL)
            .withIndices(DType.I64, DType.I64)
            .withOut(DType.F32);
    try (Buffer table = HostBuffer.wrap(file, DType.F16, gather.tableShape());
        Buffer idBuffer = device.allocate(DType.I64, Shape.of(ids.length));
        Buffer offsets = device.allocate(DType.I64, Shape.of(2));
        Buffer out = device.allocate(DType.F32, gather.outputShape(ids.length));
        Buffer sum = device.allocate(DType.F32, bag.outputShape(1))) {
      idBuffer.copyFrom(MemorySegment.ofArray(ids), stream);
      offsets.copyFrom(MemorySegment.ofArray(new long[] {0, ids.length}), stream);
      EmbeddingGather.plan(device, gather).run(stream, table, idBuffer, out);
      assertArrayEquals(expectedRows, read(out, stream));
      EmbeddingBag.plan(device, bag)
          .run(stream, EmbeddingBag.Operands.of(table, idBuffer, offsets, sum));
      assertArrayEquals(expectedSum, read(sum, stream));
    }
  }

  private static float[] read(Buffer buffer, Stream stream) {
    float[] values = new float[(int) buffer.shape().size()];
    buffer.copyTo(MemorySegment.ofArray(values), stream);
    return values;
  }
}
