package io.quern;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.quern.op.DeviceUnderTest;
import io.quern.op.EmbeddingGather;
import io.quern.op.IndexPolicy;
import io.quern.op.OperatorCase;
import io.quern.op.Outcome;
import io.quern.op.PreparedCase;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

class StreamTest {
  static List<DeviceUnderTest> devices() {
    return DeviceUnderTest.backends();
  }

  @ParameterizedTest
  @MethodSource("devices")
  void aGraphDoesWhatItsCallsDo(DeviceUnderTest under) {
    try (Device device = under.open();
        Stream stream = device.openStream();
        Stream other = device.openStream()) {
      for (OperatorCase each : OperatorCase.some(40)) {
        try (PreparedCase prepared = each.prepare(device, stream, device::allocate)) {
          Outcome direct = prepared.outcome();
          prepared.poison();
          Outcome poisoned = prepared.read(null);
          try (Graph graph = stream.capture(prepared::run)) {
            assertNull(prepared.read(null).difference(poisoned), () -> "capturing ran " + each);
            assertThrows(IllegalArgumentException.class, () -> graph.launch(other));
            for (Stream on : List.of(stream, stream)) {
              prepared.poison();
              InvalidDataException fault = null;
              try {
                graph.launch(on);
                on.synchronize();
              } catch (InvalidDataException reported) {
                fault = reported;
              }
              assertNull(prepared.read(fault).difference(direct), each::toString);
            }
          }
        }
      }
      assertEquals(0, device.allocatedBytes());
    }
  }

  @ParameterizedTest
  @MethodSource("devices")
  void badDataInOneStepOfAGraphDoesNotKeepTheNextFromRunning(DeviceUnderTest under) {
    EmbeddingGather.Spec spec = EmbeddingGather.Spec.of(DType.F32, 4, 2, IndexPolicy.FAIL);
    try (Device device = under.open();
        Stream stream = device.openStream();
        Buffer table = device.allocate(DType.F32, spec.tableShape());
        Buffer bad = device.allocate(DType.I32, Shape.of(1));
        Buffer good = device.allocate(DType.I32, Shape.of(1));
        Buffer badOut = device.allocate(DType.F32, spec.outputShape(1));
        Buffer goodOut = device.allocate(DType.F32, spec.outputShape(1))) {
      EmbeddingGather gather = EmbeddingGather.plan(device, spec);
      table.copyFrom(MemorySegment.ofArray(new float[] {1, 2, 3, 4, 5, 6, 7, 8}), stream);
      bad.copyFrom(MemorySegment.ofArray(new int[] {9}), stream);
      good.copyFrom(MemorySegment.ofArray(new int[] {2}), stream);
      try (Graph graph =
          stream.capture(
              () -> {
                gather.run(stream, table, bad, badOut);
                gather.run(stream, table, good, goodOut);
              })) {
        InvalidDataException fault =
            assertThrows(
                InvalidDataException.class,
                () -> {
                  graph.launch(stream);
                  stream.synchronize();
                });
        assertEquals(9, fault.value());
        assertArrayEquals(new float[] {0, 0}, read(badOut, stream));
        assertArrayEquals(new float[] {5, 6}, read(goodOut, stream));
      }
    }
  }

  @ParameterizedTest
  @MethodSource("devices")
  void aGraphEndsWithItsStream(DeviceUnderTest under) {
    try (Device device = under.open()) {
      Stream stream = device.openStream();
      try (Graph graph = stream.capture(() -> {})) {
        stream.close();
        assertThrows(IllegalStateException.class, () -> graph.launch(stream));
      }
      Stream closing = device.openStream();
      assertThrows(IllegalStateException.class, () -> closing.capture(closing::close));
    }
  }

  @Test
  void aReportOfAFailedCallIsNotMadeByTheNext() {
    EmbeddingGather.Spec spec = EmbeddingGather.Spec.of(DType.F32, 4, 2, IndexPolicy.FAIL);
    try (Device device = CpuDevice.open(Backend.SCALAR, 1);
        Stream stream = device.openStream();
        Buffer ids = device.allocate(DType.I32, Shape.of(2));
        Buffer out = device.allocate(DType.F32, spec.outputShape(2))) {
      EmbeddingGather gather = EmbeddingGather.plan(device, spec);
      Arena arena = Arena.ofShared();
      HostBuffer gone = HostBuffer.wrap(arena.allocate(32, 4), DType.F32, spec.tableShape());
      arena.close();
      ids.copyFrom(MemorySegment.ofArray(new int[] {9, 0}), stream);
      assertThrows(IllegalStateException.class, () -> gather.run(stream, gone, ids, out));
      ids.copyFrom(MemorySegment.ofArray(new int[] {0, 0}), stream);
      try (Buffer table = device.allocate(DType.F32, spec.tableShape())) {
        gather.run(stream, table, ids, out);
      }
    }
  }

  @ParameterizedTest
  @MethodSource("devices")
  void aGraphTakesItsStepsInOrder(DeviceUnderTest under) {
    EmbeddingGather.Spec spec = EmbeddingGather.Spec.of(DType.F32, 4, 2, IndexPolicy.FAIL);
    try (Device device = under.open();
        Stream stream = device.openStream();
        Buffer table = device.allocate(DType.F32, spec.tableShape());
        Buffer reversed = device.allocate(DType.I32, Shape.of(4));
        Buffer out = device.allocate(DType.F32, spec.outputShape(4))) {
      EmbeddingGather gather = EmbeddingGather.plan(device, spec);
      table.copyFrom(MemorySegment.ofArray(new float[] {1, 2, 3, 4, 5, 6, 7, 8}), stream);
      reversed.copyFrom(MemorySegment.ofArray(new int[] {3, 2, 1, 0}), stream);
      try (Graph graph =
          stream.capture(
              () -> {
                gather.run(stream, table, reversed, out);
                out.copyTo(table, stream);
              })) {
        graph.launch(stream);
        assertArrayEquals(new float[] {7, 8, 5, 6, 3, 4, 1, 2}, read(table, stream));
        graph.launch(stream);
        assertArrayEquals(new float[] {1, 2, 3, 4, 5, 6, 7, 8}, read(table, stream));
        // Operands are read when the graph is launched.
        reversed.copyFrom(MemorySegment.ofArray(new int[] {0, 0, 0, 1}), stream);
        graph.launch(stream);
        assertArrayEquals(new float[] {1, 2, 1, 2, 1, 2, 3, 4}, read(table, stream));
      }
    }
  }

  @ParameterizedTest
  @MethodSource("devices")
  void whatWaitsOrMarksCannotBeCaptured(DeviceUnderTest under) {
    try (Device device = under.open();
        Stream stream = device.openStream();
        Graph graph = stream.capture(() -> {});
        Event event = device.openEvent();
        Buffer buffer = device.allocate(DType.F32, Shape.of(2))) {
      float[] values = {1, 2};
      MemorySegment segment = MemorySegment.ofArray(values);
      List<Runnable> refused =
          List.of(
              stream::synchronize,
              () -> buffer.copyFrom(segment, stream),
              () -> buffer.copyTo(segment, stream),
              () -> stream.record(event),
              () -> stream.await(event),
              () -> graph.launch(stream),
              () -> stream.capture(() -> {}));
      for (Runnable work : refused) {
        assertThrows(IllegalStateException.class, () -> stream.capture(work).close());
        // The stream is as good as before.
        buffer.copyFrom(segment, stream);
        stream.synchronize();
      }
      assertThrows(NullPointerException.class, () -> stream.capture(null).close());
      ArithmeticException own = new ArithmeticException();
      assertSame(
          own,
          assertThrows(
              ArithmeticException.class,
              () ->
                  stream
                      .capture(
                          () -> {
                            throw own;
                          })
                      .close()));
      stream.capture(() -> {}).close();
      stream.synchronize();
    }
  }

  @ParameterizedTest
  @MethodSource("devices")
  void whatAGraphNeedsHasToBeOpen(DeviceUnderTest under) {
    try (Device device = under.open();
        Device another = CpuDevice.open(Backend.SCALAR, 1);
        Stream foreign = another.openStream();
        Stream stream = device.openStream();
        Buffer from = device.allocate(DType.F32, Shape.of(2));
        Buffer to = device.allocate(DType.F32, Shape.of(2))) {
      from.copyFrom(MemorySegment.ofArray(new float[] {1, 2}), stream);
      to.copyFrom(MemorySegment.ofArray(new float[] {3, 4}), stream);
      Graph graph = stream.capture(() -> from.copyTo(to, stream));
      assertThrows(IllegalArgumentException.class, () -> graph.launch(foreign));
      assertThrows(NullPointerException.class, () -> graph.launch(null));
      from.close();
      assertThrows(IllegalStateException.class, () -> graph.launch(stream));
      assertArrayEquals(new float[] {3, 4}, read(to, stream));

      Graph closed = stream.capture(() -> {});
      closed.launch(stream);
      closed.close();
      closed.close();
      assertThrows(IllegalStateException.class, () -> closed.launch(stream));
      graph.close();
    }
  }

  @ParameterizedTest
  @MethodSource("devices")
  void eventsMarkPointsOfAStream(DeviceUnderTest under) {
    try (Device device = under.open();
        Device another = CpuDevice.open(Backend.SCALAR, 1);
        Stream foreign = another.openStream();
        Event foreignEvent = another.openEvent();
        Stream stream = device.openStream();
        Stream other = device.openStream();
        Event start = device.openEvent();
        Event end = device.openEvent()) {
      assertTrue(start.isDone(), "never recorded");
      start.synchronize();
      assertThrows(IllegalStateException.class, () -> end.millisSince(start));
      stream.record(start);
      assertThrows(IllegalStateException.class, () -> end.millisSince(start));
      stream.record(end);
      other.await(end);
      end.synchronize();
      assertTrue(end.isDone());
      assertTrue(end.millisSince(start) >= 0);
      assertEquals(0, start.millisSince(start));
      assertThrows(IllegalArgumentException.class, () -> foreign.record(start));
      assertThrows(IllegalArgumentException.class, () -> foreign.await(start));
      assertThrows(IllegalArgumentException.class, () -> end.millisSince(foreignEvent));
      end.close();
      end.close();
      assertThrows(IllegalStateException.class, () -> stream.record(end));
      assertThrows(IllegalStateException.class, () -> stream.await(end));
      assertThrows(IllegalStateException.class, end::isDone);
      assertThrows(IllegalStateException.class, end::synchronize);
      assertThrows(IllegalStateException.class, () -> end.millisSince(start));
      assertThrows(IllegalStateException.class, () -> start.millisSince(end));
    }
  }

  @ParameterizedTest
  @MethodSource("devices")
  void aClosedStreamIsRefused(DeviceUnderTest under) {
    try (Device device = under.open();
        Event event = device.openEvent();
        Buffer buffer = device.allocate(DType.F32, Shape.of(2))) {
      Stream stream = device.openStream();
      assertSame(device, stream.device());
      stream.close();
      stream.close();
      assertThrows(IllegalStateException.class, stream::synchronize);
      assertThrows(IllegalStateException.class, () -> stream.capture(() -> {}));
      assertThrows(IllegalStateException.class, () -> stream.record(event));
      assertThrows(IllegalStateException.class, () -> stream.await(event));
      MemorySegment target = MemorySegment.ofArray(new float[2]);
      assertThrows(IllegalStateException.class, () -> buffer.copyTo(target, stream));
      assertFalse(buffer.isClosed());
    }
  }

  private static float[] read(Buffer buffer, Stream stream) {
    float[] values = new float[(int) buffer.shape().size()];
    buffer.copyTo(MemorySegment.ofArray(values), stream);
    return values;
  }
}
