package io.quern.internal.cuda;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import com.sun.management.ThreadMXBean;
import io.quern.Backend;
import io.quern.Buffer;
import io.quern.CpuDevice;
import io.quern.DType;
import io.quern.Device;
import io.quern.InvalidDataException;
import io.quern.InvalidDataException.Kind;
import io.quern.Shape;
import io.quern.Stream;
import io.quern.op.Combine;
import io.quern.op.EmbeddingBag;
import io.quern.op.EmbeddingGather;
import io.quern.op.EmptyBagPolicy;
import io.quern.op.IndexPolicy;
import java.lang.foreign.MemorySegment;
import java.lang.management.ManagementFactory;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/**
 * Every field of the descriptors arrives: runs that use all operands give the scalar back end's
 * bits. (The operators' case tables are elsewhere.) And a run is free of allocation and waiting.
 */
class CudaKernelsTest {
  private static final int DIM = 5;
  private static final int IDS = 150;
  private static final int[] OFFSETS = {0, 0, 3, 90, 90, 150};
  private static final int BAGS = OFFSETS.length - 1;
  private static final float UNTOUCHED = -99;

  private RuntimeDevice device;
  private CpuDevice scalar;

  @BeforeEach
  void open() {
    device = Emulation.open();
    scalar = CpuDevice.open(Backend.SCALAR, 1);
  }

  @AfterEach
  void close() {
    if (device != null) {
      scalar.close();
      device.close();
    }
  }

  @ParameterizedTest
  @EnumSource(IndexPolicy.class)
  void gather(IndexPolicy policy) {
    assertArrayEquals(gatherOn(scalar, policy), gatherOn(device, policy));
  }

  /**
   * Two tables with gaps between their rows, long ids, bad ids and table ids, an output with gaps.
   */
  private static float[] gatherOn(Device device, IndexPolicy policy) {
    EmbeddingGather gather =
        EmbeddingGather.plan(
            device,
            new EmbeddingGather.Spec(
                DType.F32, DType.I64, DType.F32, List.of(7L, 4L), DIM, policy));
    try (Stream stream = device.openStream();
        Buffer first = floats(device, stream, 7 * 8, 1);
        Buffer second = floats(device, stream, 4 * 6, 2);
        Buffer ids = device.allocate(DType.I64, Shape.of(6));
        Buffer tableIds = ints(device, stream, 0, 1, 1, 0, 0, 2);
        Buffer out = device.allocate(DType.F32, Shape.of(6, 9))) {
      ids.copyFrom(MemorySegment.ofArray(new long[] {6, 3, -1, 1L << 40, -2, 0}), stream);
      float[] written = new float[6 * 9];
      Arrays.fill(written, UNTOUCHED);
      out.copyFrom(MemorySegment.ofArray(written), stream);
      try {
        gather.run(
            stream,
            List.of(first.view(0, Shape.of(7, DIM), 8), second.view(0, Shape.of(4, DIM), 6)),
            ids,
            tableIds,
            out.view(0, Shape.of(6, DIM), 9));
        stream.synchronize();
        assertNotEquals(IndexPolicy.FAIL, policy, "nobody heard of the bad ids");
      } catch (InvalidDataException bad) {
        assertEquals("EmbeddingGather", bad.operator());
        assertEquals(Kind.TABLE_ID, bad.kind());
        assertEquals(5, bad.position());
        assertEquals(2, bad.value());
        assertEquals(2, bad.limit());
      }
      out.copyTo(MemorySegment.ofArray(written), stream);
      return written;
    }
  }

  @ParameterizedTest
  @EnumSource(Combine.class)
  void bag(Combine combine) {
    for (EmptyBagPolicy empty : EmptyBagPolicy.values()) {
      for (boolean oneRow : new boolean[] {false, true}) {
        assertArrayEquals(
            bagOn(scalar, combine, empty, oneRow),
            bagOn(device, combine, empty, oneRow),
            () -> combine + " " + empty);
      }
    }
  }

  /**
   * Two tables, weights where they are allowed, skipped ids, empty bags, a fallback of one row or
   * of all.
   */
  private static float[] bagOn(
      Device device, Combine combine, EmptyBagPolicy empty, boolean oneRow) {
    EmbeddingBag bag =
        EmbeddingBag.plan(
            device,
            EmbeddingBag.Spec.of(DType.F32, 9, DIM, combine, IndexPolicy.SKIP)
                .withIndices(DType.I32, DType.I64)
                .withTables(List.of(9L, 3L))
                .withEmpty(empty));
    boolean weighted = combine == Combine.SUM || combine == Combine.WEIGHTED_MEAN;
    int fallbackRows = oneRow ? 1 : BAGS;
    try (Stream stream = device.openStream();
        Buffer first = floats(device, stream, 9 * DIM, 3);
        Buffer second = floats(device, stream, 3 * DIM, 4);
        Buffer ids = ints(device, stream, new Random(5).ints(IDS, -2, 10).toArray());
        Buffer offsets = device.allocate(DType.I64, Shape.of(BAGS + 1));
        Buffer tableIds = ints(device, stream, 0, 1, 0, 1, 0);
        Buffer weights = floats(device, stream, IDS, 6);
        Buffer fallback = floats(device, stream, fallbackRows * 7, 7);
        Buffer out = device.allocate(DType.F32, Shape.of(BAGS, 6))) {
      offsets.copyFrom(
          MemorySegment.ofArray(Arrays.stream(OFFSETS).asLongStream().toArray()), stream);
      float[] written = new float[BAGS * 6];
      Arrays.fill(written, UNTOUCHED);
      out.copyFrom(MemorySegment.ofArray(written), stream);
      bag.run(
          stream,
          new EmbeddingBag.Operands(
              List.of(first.view(0, Shape.of(9, DIM), DIM), second.view(0, Shape.of(3, DIM), DIM)),
              ids,
              offsets,
              tableIds,
              weighted ? weights : null,
              empty == EmptyBagPolicy.FALLBACK
                  ? fallback.view(0, Shape.of(fallbackRows, DIM), 7)
                  : null,
              out.view(0, Shape.of(BAGS, DIM), 6)));
      out.copyTo(MemorySegment.ofArray(written), stream);
      return written;
    }
  }

  /** A view of one row may have any stride; the library must not see it. */
  @Test
  void aSingleRowMayHaveAShortStride() {
    EmbeddingGather gather =
        EmbeddingGather.plan(device, EmbeddingGather.Spec.of(DType.F32, 1, 4, IndexPolicy.FAIL));
    try (Stream stream = device.openStream();
        Buffer table = floats(device, stream, 4, 8);
        Buffer ids = ints(device, stream, 0);
        Buffer out = device.allocate(DType.F32, Shape.of(1, 4))) {
      gather.run(stream, table.view(0, Shape.of(1, 4), 0), ids, out.view(0, Shape.of(1, 4), 1));
      float[] expected = new float[4];
      float[] read = new float[4];
      table.copyTo(MemorySegment.ofArray(expected), stream);
      out.copyTo(MemorySegment.ofArray(read), stream);
      assertArrayEquals(expected, read);
    }
  }

  /**
   * Several faulty launches before a wait: the first one is reported, once, and the record is free
   * again.
   */
  @Test
  void theFirstFaultyLaunchIsReportedOnce() {
    EmbeddingGather gather =
        EmbeddingGather.plan(device, EmbeddingGather.Spec.of(DType.F32, 3, 2, IndexPolicy.FAIL));
    try (Stream stream = device.openStream();
        Buffer table = device.allocate(DType.F32, Shape.of(3, 2));
        Buffer good = ints(device, stream, 0, 1);
        Buffer bad = ints(device, stream, 2, 3);
        Buffer worse = ints(device, stream, 9, 0);
        Buffer out = device.allocate(DType.F32, Shape.of(2, 2))) {
      for (int i = 0; i < 2; i++) {
        gather.run(stream, table, good, out);
        gather.run(stream, table, bad, out);
        gather.run(stream, table, worse, out);
        InvalidDataException found =
            i == 0
                ? assertThrows(InvalidDataException.class, stream::synchronize)
                : assertThrows(
                    InvalidDataException.class,
                    () -> out.copyTo(MemorySegment.ofArray(new float[4]), stream));
        assertEquals(Kind.INDEX, found.kind());
        assertEquals(1, found.position());
        assertEquals(3, found.value());
        stream.synchronize();
      }
    }
  }

  /** Whichever operator was the first of several on a stream. */
  @Test
  void aReportNamesTheOperator() {
    EmbeddingGather gather =
        EmbeddingGather.plan(device, EmbeddingGather.Spec.of(DType.F32, 5, 2, IndexPolicy.FAIL));
    EmbeddingBag bag =
        EmbeddingBag.plan(
            device, EmbeddingBag.Spec.of(DType.F32, 5, 2, Combine.SUM, IndexPolicy.FAIL));
    try (Stream stream = device.openStream();
        Buffer table = device.allocate(DType.F32, Shape.of(5, 2));
        Buffer bad = ints(device, stream, 0, 9);
        Buffer offsets = ints(device, stream, 0, 2);
        Buffer out = device.allocate(DType.F32, Shape.of(2, 2));
        Buffer one = device.allocate(DType.F32, Shape.of(1, 2))) {
      Runnable gathers = () -> gather.run(stream, table, bad, out);
      Runnable bags = () -> bag.run(stream, EmbeddingBag.Operands.of(table, bad, offsets, one));
      for (int i = 0; i < 300; i++) { // numbers of launches beyond the bits of the operator
        gathers.run();
      }
      for (boolean gatherFirst : new boolean[] {true, false}) {
        assertThrows(InvalidDataException.class, stream::synchronize);
        (gatherFirst ? gathers : bags).run();
        (gatherFirst ? bags : gathers).run();
        InvalidDataException found = assertThrows(InvalidDataException.class, stream::synchronize);
        assertEquals(
            (gatherFirst ? "EmbeddingGather" : "EmbeddingBag")
                + ": id at position 1 is 9, outside the table's [0, 5)",
            found.getMessage());
        gathers.run();
      }
    }
  }

  @Test
  void aRunAllocatesNothingAndDoesNotWait() {
    EmbeddingGather gather =
        EmbeddingGather.plan(device, EmbeddingGather.Spec.of(DType.F32, 4, 2, IndexPolicy.FAIL));
    EmbeddingBag bag =
        EmbeddingBag.plan(
            device, EmbeddingBag.Spec.of(DType.F32, 4, 2, Combine.MEAN, IndexPolicy.FAIL));
    try (Stream stream = device.openStream();
        Buffer table = device.allocate(DType.F32, Shape.of(4, 2));
        Buffer ids = ints(device, stream, 1, 2);
        Buffer offsets = ints(device, stream, 0, 2);
        Buffer out = device.allocate(DType.F32, Shape.of(2, 2));
        Buffer one = device.allocate(DType.F32, Shape.of(1, 2))) {
      EmbeddingBag.Operands operands = EmbeddingBag.Operands.of(table, ids, offsets, one);
      Runnable runs =
          () -> {
            gather.run(stream, table, ids, out);
            bag.run(stream, operands);
          };
      ThreadMXBean threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
      int calls = 500;
      long least = Long.MAX_VALUE;
      // The first rounds link and compile; one round without allocation proves that a run needs
      // none.
      for (int round = 0; round < 20 && least > 0; round++) {
        long waits = Emulation.synchronizations();
        long before = threads.getCurrentThreadAllocatedBytes();
        for (int i = 0; i < calls; i++) {
          runs.run();
        }
        least = Math.min(least, threads.getCurrentThreadAllocatedBytes() - before);
        assertEquals(waits, Emulation.synchronizations());
      }
      assertEquals(0, least);
    }
  }

  private static Buffer floats(Device device, Stream stream, int count, long seed) {
    float[] values = new float[count];
    Random random = new Random(seed);
    for (int i = 0; i < count; i++) {
      values[i] = random.nextFloat() - 0.5f;
    }
    Buffer buffer = device.allocate(DType.F32, Shape.of(count));
    buffer.copyFrom(MemorySegment.ofArray(values), stream);
    return buffer;
  }

  private static Buffer ints(Device device, Stream stream, int... values) {
    Buffer buffer = device.allocate(DType.I32, Shape.of(values.length));
    buffer.copyFrom(MemorySegment.ofArray(values), stream);
    return buffer;
  }
}
