package io.quern.internal.cuda;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.quern.Availability.Unavailable;
import io.quern.Backend;
import io.quern.Backends;
import io.quern.Buffer;
import io.quern.CudaException;
import io.quern.DType;
import io.quern.Device;
import io.quern.Event;
import io.quern.Graph;
import io.quern.InvalidDataException;
import io.quern.Preference;
import io.quern.Shape;
import io.quern.Stream;
import io.quern.bindings.cudart.CudaRuntime;
import io.quern.internal.cuda.Emulation.Alive;
import io.quern.internal.load.ForkedJvm;
import io.quern.op.Combine;
import io.quern.op.EmbeddingBag;
import io.quern.op.EmbeddingGather;
import io.quern.op.IndexPolicy;
import java.lang.foreign.MemorySegment;
import java.util.Arrays;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * CUDA calls that fail become exceptions; nothing leaks, and unless the device is lost it works on.
 */
class InjectedFaultTest {
  private static final int INVALID_CONFIGURATION = 9;

  private RuntimeDevice device;
  private Alive before;

  @BeforeEach
  void open() {
    device = Emulation.open();
    before = Emulation.alive();
  }

  @AfterEach
  void close() {
    if (device != null) {
      Emulation.reset();
      device.close();
    }
  }

  /**
   * Each call of the function in turn fails once in a session that uses everything, until a session
   * has none left to fail. Whatever the site, nothing leaks and the next session works.
   */
  @ParameterizedTest
  @ValueSource(
      strings = {
        "allocation",
        "launch",
        "cudaSetDevice",
        "cudaMallocAsync",
        "cudaHostAlloc",
        "cudaMemcpyAsync",
        "cudaMemcpy2DAsync",
        "cudaStreamCreateWithFlags",
        "cudaStreamSynchronize",
        "cudaStreamWaitEvent",
        "cudaStreamBeginCapture",
        "cudaEventCreateWithFlags",
        "cudaEventRecord",
        "cudaEventQuery",
        "cudaEventSynchronize",
        "cudaEventElapsedTime",
        "cudaGraphInstantiate",
        "cudaGraphLaunch",
        "cudaFuncGetAttributes"
      })
  void everySiteFailsOnce(String function) {
    int nth = 0;
    int failures = 0;
    boolean last = false;
    while (!last) {
      nth++;
      Emulation.inject(function, nth, CudaRuntime.cudaErrorMemoryAllocation(), false);
      try {
        session();
      } catch (CudaException e) {
        failures++;
        assertEquals(CudaRuntime.cudaErrorMemoryAllocation(), e.code(), e.getMessage());
        assertEquals("cudaErrorMemoryAllocation", e.name());
        assertNull(e.getCause());
      }
      last = Emulation.reset() == 1;
      assertEquals(before, Emulation.alive(), "after failure %d of %s".formatted(nth, function));
      session();
    }
    assertTrue(nth > 1, () -> "a session does not call " + function);
    assertTrue(failures > 0, () -> function + " failed, but nobody heard of it");
  }

  /** Opens, uses and closes one of everything. */
  private static void session() {
    try (RuntimeDevice device = new RuntimeDevice(Backend.EMULATED, 0);
        Stream stream = device.openStream();
        Event start = device.openEvent();
        Event end = device.openEvent();
        Buffer table = device.allocate(DType.F32, Shape.of(2, 3));
        Buffer ids = device.allocatePinned(DType.I32, Shape.of(2));
        Buffer out = device.allocate(DType.F32, Shape.of(2, 4))) {
      EmbeddingGather gather =
          EmbeddingGather.plan(device, EmbeddingGather.Spec.of(DType.F32, 2, 3, IndexPolicy.FAIL));
      EmbeddingBag.plan(
          device, EmbeddingBag.Spec.of(DType.F32, 2, 3, Combine.SUM, IndexPolicy.FAIL));
      Buffer rows = out.view(0, Shape.of(2, 3), 4);
      stream.record(start);
      table.copyFrom(MemorySegment.ofArray(new float[] {1, 2, 3, 4, 5, 6}), stream);
      ids.copyFrom(MemorySegment.ofArray(new int[] {1, 0}), stream);
      rows.copyFrom(MemorySegment.ofArray(new float[6]), stream);
      try (Graph graph = stream.capture(() -> gather.run(stream, table, ids, rows))) {
        graph.launch(stream);
        gather.run(stream, table, ids, rows);
        stream.record(end);
        stream.await(end);
        end.synchronize();
        assertTrue(end.isDone());
        assertTrue(end.millisSince(start) >= 0);
        float[] read = new float[6];
        rows.copyTo(MemorySegment.ofArray(read), stream);
        assertArrayEquals(new float[] {4, 5, 6, 1, 2, 3}, read);
        stream.synchronize();
      }
    }
  }

  @Test
  void aLaunchThatFailsNamesTheOperator() {
    try (Stream stream = device.openStream();
        Buffer table = device.allocate(DType.F32, Shape.of(2, 3));
        Buffer ids = device.allocate(DType.I32, Shape.of(1));
        Buffer out = device.allocate(DType.F32, Shape.of(1, 3))) {
      EmbeddingGather gather =
          EmbeddingGather.plan(device, EmbeddingGather.Spec.of(DType.F32, 2, 3, IndexPolicy.ZERO));
      Emulation.inject("launch", 1, INVALID_CONFIGURATION, false);
      CudaException failure =
          assertThrows(CudaException.class, () -> gather.run(stream, table, ids, out));
      assertEquals("quern_embedding_gather", failure.call());
      assertEquals("cudaErrorInvalidConfiguration", failure.name());
      ids.copyFrom(MemorySegment.ofArray(new int[1]), stream);
      gather.run(stream, table, ids, out);
      stream.synchronize();
    }
  }

  /** What could not be released is not thrown at whoever closes, who could do nothing about it. */
  @ParameterizedTest
  @ValueSource(
      strings = {
        "cudaFreeAsync",
        "cudaFreeHost",
        "cudaStreamDestroy",
        "cudaStreamIsCapturing",
        "cudaEventDestroy",
        "cudaGraphDestroy",
        "cudaGraphExecDestroy"
      })
  void closingDoesNotThrow(String function) {
    Emulation.inject(function, 1, INVALID_CONFIGURATION, false);
    session();
    assertEquals(0, Emulation.reset(), function + " was not called");
  }

  @ParameterizedTest
  @ValueSource(ints = {35, 46, 100, 101, 802, 803, 804, 999})
  void theProbeNamesTheDriversStatus(int status) {
    Emulation.inject("cudaGetDeviceCount", 1, status, false);
    Unavailable why = (Unavailable) Backends.probe().of(Backend.EMULATED);
    String name = CudaRuntime.cudaGetErrorName(status).getString(0);
    assertTrue(why.reason().startsWith("%s (%d)".formatted(name, status)), why.reason());
    assertFalse(why.hint().isEmpty());
    assertTrue(Backends.probe().isAvailable(Backend.EMULATED), "the next probe asks again");
  }

  @ParameterizedTest
  @ValueSource(
      strings = {"cudaDriverGetVersion", "cudaRuntimeGetVersion", "cudaGetDeviceProperties"})
  void theProbeNeverThrows(String function) {
    Emulation.inject(function, 1, 999, false);
    Unavailable why = (Unavailable) Backends.probe().of(Backend.EMULATED);
    assertTrue(why.reason().contains("cudaErrorUnknown (999)"), why.reason());
    assertEquals(0, Emulation.reset());
  }

  /** A lost device stays lost for the JVM, so each fault has a JVM of its own. */
  @ParameterizedTest
  @ValueSource(ints = {700, 710, 716, 719, 810, 911})
  void aLostDeviceRepeatsItsFirstCause(int status) throws Exception {
    ForkedJvm.allowed("-Dquern.emulation=" + System.getProperty("quern.emulation"))
        .run(LostDevice.class, "" + status);
  }

  /** The main class of {@link #aLostDeviceRepeatsItsFirstCause}. */
  static final class LostDevice {
    public static void main(String[] arguments) {
      int status = Integer.parseInt(arguments[0]);
      RuntimeDevice device = Emulation.open();
      Alive before = Emulation.alive();
      Stream stream = device.openStream();
      Buffer table = device.allocate(DType.F32, Shape.of(2, 3));
      Buffer ids = device.allocate(DType.I32, Shape.of(1));
      Buffer out = device.allocate(DType.F32, Shape.of(1, 3));
      Event event = device.openEvent();
      EmbeddingGather gather =
          EmbeddingGather.plan(device, EmbeddingGather.Spec.of(DType.F32, 2, 3, IndexPolicy.ZERO));

      Emulation.inject("launch", 1, status, true);
      CudaException first =
          assertThrows(CudaException.class, () -> gather.run(stream, table, ids, out));
      assertEquals(status, first.code());
      assertNull(first.getCause());
      for (Runnable call :
          Arrays.<Runnable>asList(
              stream::synchronize,
              () -> gather.run(stream, table, ids, out),
              () -> table.copyTo(MemorySegment.ofArray(new float[6]), stream),
              () -> device.allocate(DType.F32, Shape.of(1)),
              device::openStream,
              device::openEvent,
              () -> stream.capture(() -> {}),
              () -> stream.record(event),
              event::isDone)) {
        CudaException later = assertThrows(CudaException.class, call::run);
        assertEquals(status, later.code());
        assertEquals(first, later.getCause());
      }
      device.close();
      assertEquals(before, Emulation.alive());
      CudaException reopened =
          assertThrows(CudaException.class, () -> new RuntimeDevice(Backend.EMULATED, 0));
      assertEquals(first, reopened.getCause());
      // Where the probe, which makes no context, finds it all the same, who only prefers it goes
      // on.
      Emulation.reset();
      assertThrows(CudaException.class, () -> Backends.open(Preference.require(Backend.EMULATED)));
      try (Device next = Backends.open(Preference.prefer(Backend.EMULATED, Backend.SCALAR))) {
        assertSame(Backend.SCALAR, next.backend());
      }
    }
  }

  @Test
  void checkedModeReportsAtTheCall() throws Exception {
    ForkedJvm.allowed(
            "-Dquern.emulation=" + System.getProperty("quern.emulation"), "-Dquern.checked=true")
        .run(CheckedMode.class);
  }

  /** The main class of {@link #checkedModeReportsAtTheCall}. */
  static final class CheckedMode {
    public static void main(String[] arguments) {
      try (RuntimeDevice device = Emulation.open();
          Stream stream = device.openStream();
          Buffer table = device.allocate(DType.F32, Shape.of(2, 3));
          Buffer ids = device.allocate(DType.I32, Shape.of(1));
          Buffer out = device.allocate(DType.F32, Shape.of(1, 3))) {
        EmbeddingGather gather =
            EmbeddingGather.plan(
                device, EmbeddingGather.Spec.of(DType.F32, 2, 3, IndexPolicy.FAIL));
        ids.copyFrom(MemorySegment.ofArray(new int[] {5}), stream);
        assertThrows(InvalidDataException.class, () -> gather.run(stream, table, ids, out));
        stream.synchronize(); // it was reported
        try (Graph graph = stream.capture(() -> gather.run(stream, table, ids, out))) {
          assertThrows(InvalidDataException.class, () -> graph.launch(stream));
          stream.synchronize();
        }
        Emulation.inject("cudaStreamSynchronize", 1, INVALID_CONFIGURATION, false);
        CudaException failure =
            assertThrows(CudaException.class, () -> gather.run(stream, table, ids, out));
        assertEquals("quern_embedding_gather", failure.call());
        assertThrows(InvalidDataException.class, stream::synchronize);
      }
    }
  }
}
