package io.quern.internal.cuda;

import static java.lang.foreign.ValueLayout.JAVA_INT;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import io.quern.Backend;
import io.quern.Buffer;
import io.quern.CpuDevice;
import io.quern.CudaDevice;
import io.quern.DType;
import io.quern.PinnedBuffer;
import io.quern.Shape;
import io.quern.Stream;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.Arrays;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/**
 * Copies of every kind arrive, leave the gaps between rows alone, and keep the order of the stream.
 */
class RuntimeCopyTest {
  private static final int GAP = 0x5afe;

  private CudaDevice device;
  private Stream stream;

  @BeforeEach
  void open() {
    device = Emulation.open();
    stream = device.openStream();
  }

  @AfterEach
  void close() {
    if (device != null) {
      stream.close();
      device.close();
    }
  }

  /** Shapes below, at and above the staging memory of a megabyte, with rows below and above it. */
  @ParameterizedTest
  @CsvSource({
    "0, 4, 4",
    "3, 0, 2",
    "1, 1, 1",
    "5, 7, 7",
    "5, 7, 9",
    "1, 7, 9",
    "4096, 64, 64",
    "5000, 64, 65",
    "3, 300000, 300000",
    "3, 300000, 300007",
    "2, 262144, 262145"
  })
  void hostMemoryAndBack(int rows, int width, int stride) {
    int[] values = IntStream.range(0, rows * width).map(i -> i * 31 + 7).toArray();
    for (boolean pinned : new boolean[] {false, true}) {
      int[] gaps = new int[Math.max(1, rows) * Math.max(stride, 1)];
      Arrays.fill(gaps, GAP);
      try (Buffer owner = allocate(pinned, gaps.length);
          Arena arena = Arena.ofConfined()) {
        owner.copyFrom(MemorySegment.ofArray(gaps), stream);
        Buffer view = owner.view(0, Shape.of(rows, width), stride);

        view.copyFrom(MemorySegment.ofArray(values), stream);
        assertArrayEquals(withGaps(values, rows, width, stride, gaps.length), read(owner));
        int[] back = new int[values.length];
        view.copyTo(MemorySegment.ofArray(back), stream);
        assertArrayEquals(values, back);

        owner.copyFrom(MemorySegment.ofArray(gaps), stream);
        MemorySegment source = arena.allocateFrom(JAVA_INT, values);
        view.copyFrom(source, stream);
        source.fill((byte) -1); // may be reused
        MemorySegment target = arena.allocate(JAVA_INT, values.length);
        view.copyTo(target, stream);
        assertArrayEquals(values, target.toArray(JAVA_INT));
        assertArrayEquals(withGaps(values, rows, width, stride, gaps.length), read(owner));
      }
    }
  }

  /** Every pairing of pinned and device memory, dense and strided. */
  @Test
  void bufferToBuffer() {
    int rows = 6;
    int width = 5;
    int[] values = IntStream.range(0, rows * width).toArray();
    for (boolean fromPinned : new boolean[] {false, true}) {
      for (boolean toPinned : new boolean[] {false, true}) {
        for (long fromStride : new long[] {width, width + 3}) {
          for (int toStride : new int[] {width, width + 2}) {
            int[] gaps = new int[rows * toStride];
            Arrays.fill(gaps, GAP);
            try (Buffer from = allocate(fromPinned, rows * fromStride);
                Buffer to = allocate(toPinned, gaps.length)) {
              to.copyFrom(MemorySegment.ofArray(gaps), stream);
              Buffer source = from.view(0, Shape.of(rows, width), fromStride);
              source.copyFrom(MemorySegment.ofArray(values), stream);
              source.copyTo(to.view(0, Shape.of(rows, width), toStride), stream);
              assertArrayEquals(withGaps(values, rows, width, toStride, gaps.length), read(to));
            }
          }
        }
      }
    }
  }

  @Test
  void bufferToBufferDoesNotWait() {
    try (Buffer from = allocate(false, 8);
        Buffer to = allocate(true, 8)) {
      from.copyFrom(MemorySegment.ofArray(new int[8]), stream);
      long waits = Emulation.synchronizations();
      from.copyTo(to, stream);
      assertEquals(waits, Emulation.synchronizations());
    }
  }

  /** A pinned buffer is an operand of a CPU device too, and its segment is the same memory. */
  @Test
  void pinnedMemoryIsHostMemory() {
    PinnedBuffer pinned = device.allocatePinned(DType.I32, Shape.of(2, 3));
    try (CpuDevice cpu = CpuDevice.open(Backend.SCALAR, 1);
        Stream cpuStream = cpu.openStream()) {
      pinned.view(1, Shape.of(2), 2).copyFrom(MemorySegment.ofArray(new int[] {8, 9}), cpuStream);
      assertEquals(8, pinned.segment().getAtIndex(JAVA_INT, 1));
      assertEquals(9, pinned.segment().getAtIndex(JAVA_INT, 2));
    }
    MemorySegment segment = pinned.segment();
    pinned.close();
    assertThrows(IllegalStateException.class, () -> segment.get(JAVA_INT, 0));
  }

  @Test
  void hostBuffersAndOtherDevicesAreRefused() {
    try (CpuDevice cpu = CpuDevice.open(Backend.SCALAR, 1);
        Buffer host = cpu.allocate(DType.I32, Shape.of(4));
        Buffer own = device.allocate(DType.I32, Shape.of(4));
        CudaDevice other = Emulation.open();
        Buffer foreign = other.allocate(DType.I32, Shape.of(4))) {
      MemorySegment data = MemorySegment.ofArray(new int[4]);
      assertThrows(IllegalArgumentException.class, () -> host.copyFrom(data, stream));
      assertThrows(IllegalArgumentException.class, () -> foreign.copyTo(data, stream));
      assertThrows(IllegalArgumentException.class, () -> own.copyTo(host, stream));
      assertThrows(IllegalArgumentException.class, () -> own.copyTo(foreign, stream));
    }
  }

  private Buffer allocate(boolean pinned, long elements) {
    return pinned
        ? device.allocatePinned(DType.I32, Shape.of(elements))
        : device.allocate(DType.I32, Shape.of(elements));
  }

  private int[] read(Buffer buffer) {
    int[] values = new int[(int) buffer.shape().size()];
    buffer.copyTo(MemorySegment.ofArray(values), stream);
    return values;
  }

  private static int[] withGaps(int[] values, int rows, int width, int stride, int length) {
    int[] spread = new int[length];
    Arrays.fill(spread, GAP);
    for (int row = 0; row < rows; row++) {
      System.arraycopy(values, row * width, spread, row * stride, width);
    }
    return spread;
  }
}
