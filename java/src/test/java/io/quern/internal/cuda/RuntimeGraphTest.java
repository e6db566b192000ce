package io.quern.internal.cuda;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.quern.Buffer;
import io.quern.CudaException;
import io.quern.DType;
import io.quern.Event;
import io.quern.Graph;
import io.quern.InvalidDataException;
import io.quern.Shape;
import io.quern.Stream;
import io.quern.bindings.cudart.CudaRuntime;
import io.quern.internal.cuda.Emulation.Alive;
import io.quern.op.EmbeddingGather;
import io.quern.op.IndexPolicy;
import java.lang.foreign.MemorySegment;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/**
 * Work is recorded without being run, and runs as often as the graph is launched, with what its
 * buffers hold then.
 */
class RuntimeGraphTest {
  private static final float[] TABLE = {0, 1, 10, 11, 20, 21};

  private RuntimeDevice device;
  private Alive before;
  private RuntimeStream stream;
  private EmbeddingGather gather;
  private Buffer table;
  private Buffer ids;
  private Buffer out;

  @BeforeEach
  void open() {
    device = Emulation.open();
    before = Emulation.alive();
    stream = device.openStream();
    gather =
        EmbeddingGather.plan(device, EmbeddingGather.Spec.of(DType.F32, 3, 2, IndexPolicy.FAIL));
    table = device.allocate(DType.F32, Shape.of(3, 2));
    ids = device.allocate(DType.I32, Shape.of(2));
    out = device.allocate(DType.F32, Shape.of(2, 2));
    table.copyFrom(MemorySegment.ofArray(TABLE), stream);
    setIds(0, 0);
    out.copyFrom(MemorySegment.ofArray(new float[4]), stream);
  }

  @AfterEach
  void close() {
    if (device != null) {
      out.close();
      ids.close();
      table.close();
      stream.close();
      device.close();
      assertEquals(before, Emulation.alive());
    }
  }

  @Test
  void replaysAPlan() {
    setIds(2, 1);
    long launches = Emulation.launches();
    try (Graph graph = stream.capture(() -> gather.run(stream, table, ids, out))) {
      assertEquals(launches, Emulation.launches());
      assertArrayEquals(new float[4], out());
      graph.launch(stream);
      assertArrayEquals(new float[] {20, 21, 10, 11}, out());
      setIds(0, 2);
      graph.launch(stream);
      assertArrayEquals(new float[] {0, 1, 20, 21}, out());
      assertEquals(launches + 2, Emulation.launches());
    }
  }

  /** On another one its bad data would be lost. */
  @Test
  void aGraphRunsOnTheStreamItWasCapturedOn() {
    setIds(1, 7);
    long launches = Emulation.launches();
    try (Graph graph = stream.capture(() -> gather.run(stream, table, ids, out));
        Stream other = device.openStream()) {
      IllegalArgumentException refused =
          assertThrows(IllegalArgumentException.class, () -> graph.launch(other));
      assertTrue(refused.getMessage().contains("stream is " + other), refused.getMessage());
      assertTrue(refused.getMessage().contains("expected " + stream), refused.getMessage());
      assertNotEquals(other.toString(), stream.toString());
      assertEquals(launches, Emulation.launches());
    }
  }

  @Test
  void badDataIsReportedByTheStream() {
    try (Graph graph = stream.capture(() -> gather.run(stream, table, ids, out))) {
      setIds(1, 7);
      graph.launch(stream);
      InvalidDataException bad = assertThrows(InvalidDataException.class, stream::synchronize);
      assertEquals(1, bad.position());
      assertEquals(7, bad.value());
      assertEquals(3, bad.limit());
      stream.synchronize(); // reported once
      graph.launch(stream);
      assertThrows(InvalidDataException.class, stream::synchronize);
    }
  }

  @Test
  void aClosedBufferOrStreamRefusesTheLaunch() {
    Graph graph = stream.capture(() -> gather.run(stream, table, ids, out));
    table.close();
    assertThrows(IllegalStateException.class, () -> graph.launch(stream));
    graph.close();
    Stream origin = device.openStream();
    Graph orphan = origin.capture(() -> {});
    origin.close();
    assertThrows(IllegalStateException.class, () -> orphan.launch(origin));
    orphan.close();
  }

  @Test
  void whatWaitsIsRefused() {
    float[] four = new float[4];
    try (Event event = device.openEvent();
        Graph empty = stream.capture(() -> {})) {
      stream
          .capture(
              () -> {
                assertRefused(stream::synchronize);
                assertRefused(() -> out.copyFrom(MemorySegment.ofArray(four), stream));
                assertRefused(() -> out.copyTo(MemorySegment.ofArray(four), stream));
                assertRefused(() -> stream.record(event));
                assertRefused(() -> stream.await(event));
                assertRefused(() -> empty.launch(stream));
                assertRefused(() -> stream.capture(() -> {}));
                gather.run(stream, table, ids, out);
              })
          .close();
    }
  }

  private static void assertRefused(Runnable call) {
    assertThrows(IllegalStateException.class, call::run);
  }

  @Test
  void anExceptionAbandonsTheCapture() {
    RuntimeException mine = new RuntimeException("mine");
    RuntimeException thrown =
        assertThrows(
            RuntimeException.class,
            () ->
                stream.capture(
                    () -> {
                      gather.run(stream, table, ids, out);
                      throw mine;
                    }));
    assertSame(mine, thrown);
    assertEquals(0, mine.getSuppressed().length);
    gather.run(stream, table, ids, out);
    assertArrayEquals(new float[] {0, 1, 0, 1}, out());
  }

  @Test
  void aCallThatCudaForbidsBreaksTheCapture() {
    MemorySegment handle = MemorySegment.ofAddress(stream.handle());
    CudaException broken =
        assertThrows(
            CudaException.class,
            () -> stream.capture(() -> CudaRuntime.cudaStreamSynchronize(handle)));
    assertEquals(CudaRuntime.cudaErrorStreamCaptureInvalidated(), broken.code());
    assertEquals("cudaStreamEndCapture", broken.call());

    RuntimeException mine = new RuntimeException("mine");
    assertThrows(
        RuntimeException.class,
        () ->
            stream.capture(
                () -> {
                  CudaRuntime.cudaStreamSynchronize(handle);
                  throw mine;
                }));
    assertTrue(mine.getSuppressed()[0] instanceof CudaException);
    gather.run(stream, table, ids, out);
    assertArrayEquals(new float[] {0, 1, 0, 1}, out());
  }

  @Test
  void buffersMayComeAndGoDuringACapture() {
    Graph graph =
        stream.capture(
            () -> {
              try (Buffer passing = device.allocate(DType.F32, Shape.of(2, 2));
                  Buffer pinned = device.allocatePinned(DType.F32, Shape.of(2, 2))) {
                gather.run(stream, table, ids, passing);
                passing.copyTo(pinned, stream);
              }
            });
    assertThrows(IllegalStateException.class, () -> graph.launch(stream));
    graph.close();
  }

  @Test
  void aStreamMayBeClosedDuringACapture() {
    Stream closing = device.openStream();
    assertThrows(IllegalStateException.class, () -> closing.capture(closing::close));
    assertTrue(((RuntimeStream) closing).isClosed());
  }

  private void setIds(int... values) {
    ids.copyFrom(MemorySegment.ofArray(values), stream);
  }

  private float[] out() {
    float[] values = new float[4];
    out.copyTo(MemorySegment.ofArray(values), stream);
    return values;
  }
}
