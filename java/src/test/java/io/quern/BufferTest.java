package io.quern;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.quern.op.DeviceUnderTest;
import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.MethodType;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

class BufferTest {
  static List<DeviceUnderTest> devices() {
    return DeviceUnderTest.backends();
  }

  @ParameterizedTest
  @MethodSource("devices")
  void copiesOfViewsReachTheirRowsOnly(DeviceUnderTest under) {
    try (Device device = under.open();
        Stream stream = device.openStream();
        Buffer matrix = device.allocate(DType.I16, Shape.of(4, 7));
        Buffer dense = device.allocate(DType.I16, Shape.of(3, 2))) {
      matrix.copyFrom(MemorySegment.ofArray(counting(28)), stream);
      Buffer view = matrix.view(8, Shape.of(3, 2), 7);
      assertEquals(7, view.rowStride());
      assertFalse(view.isDense());
      assertArrayEquals(new short[] {8, 9, 15, 16, 22, 23}, read(view, stream));

      view.copyTo(dense, stream);
      assertArrayEquals(new short[] {8, 9, 15, 16, 22, 23}, read(dense, stream));

      short[] expected = counting(28);
      short[] written = {-1, -2, -3, -4, -5, -6};
      view.copyFrom(MemorySegment.ofArray(written), stream);
      for (int i = 0; i < written.length; i++) {
        expected[8 + i / 2 * 7 + i % 2] = written[i];
      }
      assertArrayEquals(expected, read(matrix, stream));

      dense.copyTo(view, stream);
      assertArrayEquals(counting(28), read(matrix, stream));

      // A view of a view counts from its own first element.
      assertArrayEquals(new short[] {16, 23}, read(view.view(8, Shape.of(2, 1), 7), stream));
    }
  }

  @ParameterizedTest
  @MethodSource("devices")
  void viewsStayInside(DeviceUnderTest under) {
    try (Device device = under.open();
        Buffer matrix = device.allocate(DType.F32, Shape.of(4, 7))) {
      record View(long first, Shape shape, long rowStride) {}
      List<View> wrong =
          List.of(
              new View(-1, Shape.of(2), 2),
              new View(27, Shape.of(2), 2),
              new View(28, Shape.of(1), 1),
              new View(0, Shape.of(29), 29),
              new View(0, Shape.of(2, 7), 6),
              new View(0, Shape.of(5, 7), 7),
              new View(1, Shape.of(4, 7), 7),
              new View(0, Shape.of(2, 7), Long.MAX_VALUE),
              new View(Long.MAX_VALUE, Shape.of(2, 7), 7),
              new View(0, Shape.of(3, 1), Long.MIN_VALUE),
              new View(29, Shape.of(0), 0));
      for (View view : wrong) {
        IllegalArgumentException thrown =
            assertThrows(
                IllegalArgumentException.class,
                () -> matrix.view(view.first, view.shape, view.rowStride),
                view::toString);
        assertTrue(thrown.getMessage().contains("" + view.shape), thrown::getMessage);
        assertTrue(thrown.getMessage().contains("[4, 7]"), thrown::getMessage);
      }
      assertEquals(0, matrix.view(28, Shape.of(0, 7), 7).shape().size());
      assertEquals(1, matrix.view(27, Shape.of(), 1).shape().size());
    }
  }

  @ParameterizedTest
  @MethodSource("devices")
  void copiesThatDoNotFitAreRefused(DeviceUnderTest under) {
    try (Device device = under.open();
        Stream stream = device.openStream();
        Buffer buffer = device.allocate(DType.F32, Shape.of(6));
        Buffer half = device.allocate(DType.F16, Shape.of(6));
        Buffer matrix = device.allocate(DType.F32, Shape.of(2, 3));
        Stream closed = device.openStream()) {
      closed.close();
      for (int bytes : new int[] {0, 23, 25}) {
        MemorySegment segment = MemorySegment.ofArray(new byte[bytes]);
        assertThrows(IllegalArgumentException.class, () -> buffer.copyFrom(segment, stream));
        assertThrows(IllegalArgumentException.class, () -> buffer.copyTo(segment, stream));
      }
      MemorySegment fitting = MemorySegment.ofArray(new byte[24]);
      assertThrows(
          IllegalArgumentException.class, () -> buffer.copyTo(fitting.asReadOnly(), stream));
      buffer.copyFrom(fitting.asReadOnly(), stream);
      assertThrows(IllegalArgumentException.class, () -> buffer.copyTo(half, stream));
      assertThrows(IllegalArgumentException.class, () -> buffer.copyTo(matrix, stream));
      assertThrows(IllegalArgumentException.class, () -> buffer.copyTo(buffer, stream));
      assertThrows(
          IllegalArgumentException.class,
          () -> buffer.view(0, Shape.of(3), 3).copyTo(buffer.view(2, Shape.of(3), 3), stream));
      assertThrows(NullPointerException.class, () -> buffer.copyTo((Buffer) null, stream));
      assertThrows(NullPointerException.class, () -> buffer.copyFrom(null, stream));
      assertThrows(NullPointerException.class, () -> buffer.copyFrom(fitting, null));
      assertThrows(IllegalStateException.class, () -> buffer.copyFrom(fitting, closed));
    }
  }

  @ParameterizedTest
  @MethodSource("devices")
  void aClosedBufferIsRefused(DeviceUnderTest under) {
    try (Device device = under.open();
        Stream stream = device.openStream();
        Buffer other = device.allocate(DType.F32, Shape.of(6))) {
      Buffer buffer = device.allocate(DType.F32, Shape.of(6));
      Buffer view = buffer.view(0, Shape.of(2), 2);
      view.close();
      assertFalse(buffer.isClosed(), "a view owns nothing");
      assertEquals(48, device.allocatedBytes());
      buffer.close();
      buffer.close();
      assertEquals(24, device.allocatedBytes());
      assertTrue(buffer.isClosed());
      assertTrue(view.isClosed());
      MemorySegment segment = MemorySegment.ofArray(new byte[24]);
      assertThrows(IllegalStateException.class, () -> buffer.copyFrom(segment, stream));
      assertThrows(IllegalStateException.class, () -> buffer.copyTo(segment, stream));
      assertThrows(IllegalStateException.class, () -> buffer.copyTo(other, stream));
      assertThrows(IllegalStateException.class, () -> other.copyTo(buffer, stream));
      assertThrows(IllegalStateException.class, () -> buffer.view(0, Shape.of(2), 2));
    }
  }

  @ParameterizedTest
  @MethodSource("devices")
  void sizesThatCannotBeAreRefused(DeviceUnderTest under) {
    try (Device device = under.open()) {
      assertThrows(
          IllegalArgumentException.class,
          () -> device.allocate(DType.F64, Shape.of(Long.MAX_VALUE / 4)));
      List<Throwable> refused = new ArrayList<>();
      for (long elements : new long[] {1L << 50, 1L << 59, Long.MAX_VALUE}) {
        refused.add(
            assertThrows(Throwable.class, () -> device.allocate(DType.I8, Shape.of(elements))));
      }
      for (Throwable each : refused) {
        assertTrue(
            each instanceof OutOfMemoryError
                || each instanceof CudaException
                || each instanceof IllegalArgumentException,
            each::toString);
      }
      assertEquals(0, device.allocatedBytes());
      try (Buffer empty = device.allocate(DType.F32, Shape.of(0, 5));
          Stream stream = device.openStream()) {
        empty.copyFrom(MemorySegment.ofArray(new byte[0]), stream);
        empty.copyTo(MemorySegment.ofArray(new byte[0]), stream);
      }
    }
  }

  @Test
  void aConfinedSegmentIsRefused() {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment segment = arena.allocate(24, 8);
      IllegalArgumentException refused =
          assertThrows(
              IllegalArgumentException.class,
              () -> HostBuffer.wrap(segment, DType.F32, Shape.of(6)));
      assertTrue(refused.getMessage().contains("confined"), refused::getMessage);
    }
  }

  @Test
  void aDeviceClosesAllThatItCanAndTheRestLater() {
    Device device = CpuDevice.open(Backend.SCALAR, 2);
    HostBuffer first = (HostBuffer) device.allocate(DType.F32, Shape.of(6));
    HostBuffer used = (HostBuffer) device.allocate(DType.F32, Shape.of(6));
    HostBuffer last = (HostBuffer) device.allocate(DType.F32, Shape.of(6));
    whileADowncallUses(
        used.segment(),
        () -> {
          assertThrows(IllegalStateException.class, device::close);
          assertTrue(first.isClosed());
          assertTrue(last.isClosed());
          assertFalse(used.isClosed());
          assertEquals(24, device.allocatedBytes());
        });
    device.close();
    assertTrue(used.isClosed());
    assertEquals(0, device.allocatedBytes());
  }

  @Test
  void wrappingTakesTheMemoryAsItIs() {
    try (Arena arena = Arena.ofShared()) {
      MemorySegment segment = arena.allocate(24, 8);
      HostBuffer buffer = HostBuffer.wrap(segment, DType.F32, Shape.of(2, 3));
      assertEquals(segment.address(), buffer.segment().address());
      try (Device device = CpuDevice.open(Backend.SCALAR, 1);
          Stream stream = device.openStream()) {
        buffer
            .view(3, Shape.of(1, 3), 3)
            .copyFrom(MemorySegment.ofArray(new float[] {1, 2, 3}), stream);
        assertEquals(0, device.allocatedBytes());
        assertThrows(
            IllegalArgumentException.class,
            () ->
                HostBuffer.wrap(segment.asReadOnly(), DType.F32, Shape.of(6))
                    .copyFrom(MemorySegment.ofArray(new float[6]), stream));
      }
      buffer.close();
      assertTrue(buffer.isClosed());
      assertEquals((byte) 0x3f, segment.get(JAVA_BYTE, 15), "the owner's memory lives on");
    }
  }

  @Test
  void theSegmentOfAClosedBufferIsInaccessible() {
    try (CpuDevice device = CpuDevice.open(Backend.SCALAR, 1)) {
      HostBuffer buffer = device.allocate(DType.U8, Shape.of(4));
      MemorySegment segment = buffer.segment();
      segment.set(JAVA_BYTE, 3, (byte) 1);
      assertEquals(0, segment.address() % 64);
      buffer.close();
      assertThrows(IllegalStateException.class, () -> segment.get(JAVA_BYTE, 0));
    }
  }

  private static short[] counting(int n) {
    short[] values = new short[n];
    for (int i = 0; i < n; i++) {
      values[i] = (short) i;
    }
    return values;
  }

  private static short[] read(Buffer buffer, Stream stream) {
    short[] values = new short[(int) buffer.shape().size()];
    buffer.copyTo(MemorySegment.ofArray(values), stream);
    return values;
  }

  /** Calls {@code qsort} with the segment, whose comparison runs the action. */
  private static void whileADowncallUses(MemorySegment segment, Runnable action) {
    Linker linker = Linker.nativeLinker();
    try (Arena arena = Arena.ofConfined()) {
      Runnable once =
          new Runnable() {
            private boolean ran;

            @Override
            public void run() {
              if (!ran) {
                ran = true;
                action.run();
              }
            }
          };
      MethodHandle compare =
          MethodHandles.lookup()
              .findStatic(
                  BufferTest.class,
                  "compare",
                  MethodType.methodType(
                      int.class, Runnable.class, MemorySegment.class, MemorySegment.class))
              .bindTo(once);
      MemorySegment callback =
          linker.upcallStub(
              compare,
              FunctionDescriptor.of(ValueLayout.JAVA_INT, ValueLayout.ADDRESS, ValueLayout.ADDRESS),
              arena);
      linker
          .downcallHandle(
              linker.defaultLookup().findOrThrow("qsort"),
              FunctionDescriptor.ofVoid(
                  ValueLayout.ADDRESS,
                  ValueLayout.JAVA_LONG,
                  ValueLayout.JAVA_LONG,
                  ValueLayout.ADDRESS))
          .invoke(segment, 2L, 4L, callback);
    } catch (RuntimeException | Error e) {
      throw e;
    } catch (Throwable e) {
      throw new AssertionError(e);
    }
  }

  private static int compare(Runnable action, MemorySegment a, MemorySegment b) {
    action.run();
    return 0;
  }
}
