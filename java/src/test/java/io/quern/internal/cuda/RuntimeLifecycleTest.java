package io.quern.internal.cuda;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.quern.Backend;
import io.quern.Buffer;
import io.quern.CpuDevice;
import io.quern.CudaException;
import io.quern.DType;
import io.quern.DeviceBuffer;
import io.quern.Event;
import io.quern.Graph;
import io.quern.Shape;
import io.quern.Stream;
import io.quern.bindings.cudart.CudaRuntime;
import io.quern.internal.cuda.Emulation.Alive;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/**
 * Devices, buffers, streams, events and graphs: what they own is released once, and nothing is used
 * after that.
 */
class RuntimeLifecycleTest {
  private static final Shape FOUR = Shape.of(4);

  private RuntimeDevice device;
  private Alive before;

  @BeforeEach
  void open() {
    device = Emulation.open();
    before = Emulation.alive();
  }

  @AfterEach
  void nothingIsLeft() {
    if (device != null) {
      device.close();
      assertEquals(before, Emulation.alive());
      assertEquals(0, device.allocatedBytes());
    }
  }

  @Test
  void describesItself() {
    assertSame(Backend.EMULATED, device.backend());
    assertEquals(0, device.ordinal());
    assertTrue(device.name().contains("compute capability 9.0"), device.name());
    assertThrows(IllegalArgumentException.class, () -> new RuntimeDevice(Backend.EMULATED, 1));
    assertThrows(IllegalArgumentException.class, () -> new RuntimeDevice(Backend.EMULATED, -1));
  }

  @Test
  void aClosedBufferHasNoAddress() {
    DeviceBuffer buffer = device.allocate(DType.F32, Shape.of(10));
    DeviceBuffer view = buffer.view(2, Shape.of(3), 3);
    assertEquals(buffer.address() + 8, view.address());
    buffer.close();
    assertThrows(IllegalStateException.class, buffer::address);
    assertThrows(IllegalStateException.class, view::address);
  }

  /** Closing announces itself before it waits for the calls that hold the memory. */
  @Test
  void heldMemoryKeepsItsAddressWhileItIsBeingClosed() throws Exception {
    DeviceMemory held = (DeviceMemory) device.allocate(DType.I32, FOUR);
    long address = held.address();
    held.memory().enter();
    Thread closer = Thread.ofPlatform().start(held::close);
    while (!held.isClosed()) {
      Thread.onSpinWait();
    }
    assertThrows(IllegalStateException.class, held::address);
    assertEquals(address, Operand.address((Buffer) held));
    held.memory().exit();
    closer.join();
  }

  @Test
  void buffersAreCounted() {
    Buffer buffer = device.allocate(DType.F32, Shape.of(10, 3));
    Buffer pinned = device.allocatePinned(DType.F16, Shape.of(5));
    Buffer empty = device.allocate(DType.I64, Shape.of(0, 7));
    assertEquals(130, device.allocatedBytes());
    pinned.view(1, Shape.of(2), 2).close(); // owns nothing
    assertFalse(pinned.isClosed());
    buffer.close();
    buffer.close();
    pinned.close();
    empty.close();
    assertTrue(buffer.isClosed());
    assertEquals(0, device.allocatedBytes());
    assertEquals(before, Emulation.alive());
  }

  @Test
  void moreThanThereIsMustFail() {
    CudaException failure =
        assertThrows(CudaException.class, () -> device.allocate(DType.U8, Shape.of(1L << 40)));
    assertEquals("cudaErrorMemoryAllocation", failure.name());
    assertTrue(failure.getMessage().contains("1099511627776 bytes"), failure.getMessage());
    assertThrows(
        IllegalArgumentException.class, () -> device.allocate(DType.F64, Shape.of(1L << 60)));
    device.allocate(DType.U8, FOUR).close();
  }

  @Test
  void closedThingsAreRefused() {
    MemorySegment data = MemorySegment.ofArray(new int[4]);
    Stream stream = device.openStream();
    Event event = device.openEvent();
    Buffer buffer = device.allocate(DType.I32, FOUR);
    Graph graph = stream.capture(() -> {});
    graph.close();
    graph.close();
    assertThrows(IllegalStateException.class, () -> graph.launch(stream));
    event.close();
    event.close();
    assertThrows(IllegalStateException.class, event::isDone);
    assertThrows(IllegalStateException.class, event::synchronize);
    assertThrows(IllegalStateException.class, () -> stream.record(event));
    assertThrows(IllegalStateException.class, () -> stream.await(event));
    buffer.close();
    assertThrows(IllegalStateException.class, () -> buffer.copyFrom(data, stream));
    assertThrows(IllegalStateException.class, () -> buffer.copyTo(data, stream));
    assertThrows(IllegalStateException.class, () -> buffer.view(0, FOUR, 4));
    stream.close();
    stream.close();
    assertThrows(IllegalStateException.class, stream::synchronize);
    assertThrows(IllegalStateException.class, () -> stream.capture(() -> {}));
    device.close();
    device.close();
    assertTrue(device.isClosed());
    assertThrows(IllegalStateException.class, () -> device.allocate(DType.I32, FOUR));
    assertThrows(IllegalStateException.class, () -> device.allocatePinned(DType.I32, FOUR));
    assertThrows(IllegalStateException.class, device::openStream);
    assertThrows(IllegalStateException.class, device::openEvent);
    assertThrows(IllegalStateException.class, () -> Stream.wrap(device, 0));
    assertThrows(IllegalStateException.class, device::kernels);
  }

  /** The state of {@link #nothingIsLeft} shows that it did. */
  @Test
  void aDeviceClosesWhatWasLeftOpen() {
    Stream stream = device.openStream();
    device.openEvent();
    device.allocate(DType.I32, FOUR);
    device.allocatePinned(DType.I32, FOUR);
    Buffer heapCopied = device.allocate(DType.I32, FOUR);
    heapCopied.copyFrom(MemorySegment.ofArray(new int[4]), stream); // makes the staging memory
    stream.capture(() -> heapCopied.copyTo(device.allocate(DType.I32, FOUR), stream));
    device.close();
    assertTrue(heapCopied.isClosed());
  }

  @Test
  void wrappedThingsStayTheirOwners() throws Throwable {
    try (Arena arena = Arena.ofConfined();
        Buffer owner = device.allocate(DType.I32, FOUR)) {
      MemorySegment out = arena.allocate(ValueLayout.ADDRESS);
      assertEquals(0, CudaRuntime.cudaStreamCreateWithFlags(out, 0));
      MemorySegment handle = out.get(ValueLayout.ADDRESS, 0);
      DeviceBuffer wrapped =
          DeviceBuffer.wrap(device, ((DeviceBuffer) owner).address(), DType.I32, FOUR);
      for (long stream : new long[] {handle.address(), 0}) {
        try (Stream engine = Stream.wrap(device, stream)) {
          wrapped.copyFrom(MemorySegment.ofArray(new int[] {1, 2, 3, (int) stream}), engine);
          int[] read = new int[4];
          owner.copyTo(MemorySegment.ofArray(read), engine);
          assertArrayEquals(new int[] {1, 2, 3, (int) stream}, read);
        }
      }
      wrapped.close();
      assertThrows(
          IllegalStateException.class,
          () -> wrapped.copyFrom(MemorySegment.ofArray(new int[4]), Stream.wrap(device, 0)));
      assertFalse(owner.isClosed());
      assertEquals(0, CudaRuntime.cudaStreamSynchronize(handle));
      assertEquals(0, CudaRuntime.cudaStreamDestroy(handle));
      assertThrows(
          IllegalArgumentException.class, () -> DeviceBuffer.wrap(device, 0, DType.I32, FOUR));
      assertThrows(
          IllegalArgumentException.class, () -> DeviceBuffer.wrap(device, 6, DType.I32, FOUR));
      DeviceBuffer.wrap(device, 0, DType.I32, Shape.of(0)).close();
    }
  }

  /**
   * An engine may record a stream of its own. Nobody can wait for that stream meanwhile, so nothing
   * that work from before may use is released; it can be later.
   */
  @Test
  void nothingIsReleasedWhileTheOwnerOfAWrappedStreamCaptures() {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment out = arena.allocate(ValueLayout.ADDRESS);
      assertEquals(0, CudaRuntime.cudaStreamCreateWithFlags(out, 0));
      MemorySegment handle = out.get(ValueLayout.ADDRESS, 0);
      Stream wrapped = Stream.wrap(device, handle.address());
      Stream own = device.openStream();
      Graph graph = own.capture(() -> {});
      Buffer from = device.allocate(DType.I32, FOUR);
      Buffer to = device.allocatePinned(DType.I32, FOUR);
      from.copyTo(to, wrapped);
      Alive open = Emulation.alive();
      assertEquals(
          0,
          CudaRuntime.cudaStreamBeginCapture(handle, CudaRuntime.cudaStreamCaptureModeRelaxed()));
      from.copyTo(to, wrapped);
      for (AutoCloseable each : List.of(wrapped, graph, from, to)) {
        assertThrows(IllegalStateException.class, each::close);
      }
      assertFalse(from.isClosed());
      assertEquals(open, Emulation.alive());
      assertEquals(0, CudaRuntime.cudaStreamEndCapture(handle, out));
      assertEquals(0, CudaRuntime.cudaGraphDestroy(out.get(ValueLayout.ADDRESS, 0)));
      from.copyTo(to, wrapped);
      graph.launch(own);
      to.close();
      wrapped.close();
      assertEquals(0, CudaRuntime.cudaStreamDestroy(handle));
      // The device closes the others.
    }
  }

  @Test
  void aDeviceIsClosedAgainAfterACapture() {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment out = arena.allocate(ValueLayout.ADDRESS);
      assertEquals(0, CudaRuntime.cudaStreamCreateWithFlags(out, 0));
      MemorySegment handle = out.get(ValueLayout.ADDRESS, 0);
      Stream.wrap(device, handle.address());
      device.allocate(DType.I32, FOUR);
      Alive open = Emulation.alive();
      assertEquals(
          0,
          CudaRuntime.cudaStreamBeginCapture(handle, CudaRuntime.cudaStreamCaptureModeRelaxed()));
      assertThrows(IllegalStateException.class, device::close);
      assertEquals(open, Emulation.alive());
      assertEquals(0, CudaRuntime.cudaStreamEndCapture(handle, out));
      assertEquals(0, CudaRuntime.cudaGraphDestroy(out.get(ValueLayout.ADDRESS, 0)));
      device.close();
      assertEquals(0, CudaRuntime.cudaStreamDestroy(handle));
    }
  }

  @Test
  void eventsMarkThePast() throws Exception {
    try (Stream stream = device.openStream();
        Stream second = device.openStream();
        Event early = device.openEvent();
        Event late = device.openEvent();
        RuntimeDevice otherDevice = Emulation.open();
        Event foreign = otherDevice.openEvent();
        CpuDevice cpu = CpuDevice.open(Backend.SCALAR, 1);
        Event host = cpu.openEvent()) {
      assertTrue(early.isDone());
      assertThrows(IllegalStateException.class, () -> late.millisSince(early));
      stream.record(early);
      Thread.sleep(2);
      second.await(early);
      second.record(late);
      late.synchronize();
      assertTrue(late.isDone());
      assertTrue(late.millisSince(early) >= 2, "slept between two records");
      assertThrows(IllegalArgumentException.class, () -> stream.record(foreign));
      assertThrows(IllegalArgumentException.class, () -> stream.await(host));
      assertThrows(IllegalArgumentException.class, () -> late.millisSince(host));
    }
  }

  /** A buffer that is closed under a call either lives until its end or refuses it. */
  @Test
  void closingMeetsCallsOfAnotherThread() throws Exception {
    try (Stream stream = device.openStream();
        ExecutorService executor = Executors.newSingleThreadExecutor()) {
      for (int i = 0; i < 200; i++) {
        Buffer from = device.allocate(DType.I32, FOUR);
        Buffer to = device.allocatePinned(DType.I32, FOUR);
        from.copyFrom(MemorySegment.ofArray(new int[4]), stream);
        CountDownLatch running = new CountDownLatch(1);
        Future<?> copies =
            executor.submit(
                () -> {
                  while (true) {
                    from.copyTo(to, stream);
                    running.countDown();
                  }
                });
        running.await();
        (i % 2 == 0 ? from : to).close();
        ExecutionException end = assertThrows(ExecutionException.class, copies::get);
        assertInstanceOf(IllegalStateException.class, end.getCause());
        from.close();
        to.close();
      }
    }
  }

  @Test
  void oneDeviceServesAThousandVirtualThreads() throws Exception {
    List<Future<?>> threads = new ArrayList<>();
    try (ExecutorService executor = Executors.newVirtualThreadPerTaskExecutor()) {
      for (int i = 0; i < 1000; i++) {
        int value = i;
        threads.add(
            executor.submit(
                () -> {
                  try (Stream stream = device.openStream();
                      Buffer from = device.allocate(DType.I32, Shape.of(1));
                      Buffer to = device.allocatePinned(DType.I32, Shape.of(1))) {
                    from.copyFrom(MemorySegment.ofArray(new int[] {value}), stream);
                    try (Graph graph =
                        stream.capture(
                            () -> {
                              Thread.yield(); // to another carrier
                              from.copyTo(to, stream);
                            })) {
                      graph.launch(stream);
                      int[] read = new int[1];
                      to.copyTo(MemorySegment.ofArray(read), stream);
                      assertEquals(value, read[0]);
                    }
                  }
                }));
      }
      for (Future<?> thread : threads) {
        thread.get();
      }
    }
  }
}
